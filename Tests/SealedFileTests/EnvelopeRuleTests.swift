import ByteCodec
import Cipher
import Testing

@testable import SealedFile

/// Hostile envelopes: every count and length at its bounds, under a right code, so that nothing but the rule refuses them.
@Suite struct EnvelopeRuleTests {
    static let keyFile = SlotKey.keyFile(EnvelopeTests.secret([UInt8](repeating: 0x5A, count: 32)))
    static let random = RandomSource { bytes in
        for place in 0..<bytes.byteCount { bytes.store(UInt8(0x33), at: place, .big) }
    }

    static func made(_ kind: SealedKind = .image, slots: Int = 1) throws -> (envelope: Envelope, keys: ContainerKeys) {
        try Envelope.create(
            kind, chunkByteCount: kind == .image ? 16_384 : 65_536,
            for: Array(repeating: keyFile, count: slots), creationTime: 1, random: random)
    }

    /// The bytes of an envelope after a change, under a right code.
    static func changed(
        _ kind: SealedKind = .image, _ change: (inout [UInt8]) -> Void
    ) throws -> [UInt8] {
        let (envelope, keys) = try made(kind)
        var bytes = envelope.bytes(keys)
        bytes.removeLast(32)
        change(&bytes)
        return bytes + HMACSHA256.code(bytes.rawBytes, key: keys.headerKey.bytes)
    }

    static func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, _ bytes: inout [UInt8], _ offset: Int) {
        var raw = bytes.mutableRawBytes
        raw.store(value, at: offset, .little)
    }

    /// The code with which bytes are refused; nil where they are parsed, and then open with the key file.
    static func code(_ bytes: [UInt8]) -> FormatError.Code? {
        do throws(FormatError) {
            let envelope = try Envelope(bytes.rawBytes)
            #expect(throws: Never.self) { try EnvelopeTests.keys(envelope, [keyFile], bytes) }
            return nil
        } catch { return error.code }
    }

    static func code<T: FixedWidthInteger & BitwiseCopyable>(
        _ value: T, at offset: Int, _ kind: SealedKind = .image
    ) throws -> FormatError.Code? {
        code(try changed(kind) { store(value, &$0, offset) })
    }

    @Test func heads() throws {
        let good = try Self.changed { _ in }
        #expect(Self.code(good) == nil && good.count == 64 + 4 + 72 + 32)
        for place in 0..<8 { #expect(try Self.code(UInt8(0), at: place) == .sealedSignature) }
        for count in 0..<64 { #expect(Self.code(Array(good[..<count])) == .sealedSignature) }
        for value in [0, 2, 0x101, UInt16.max] {
            #expect(try Self.code(value, at: 8) == .sealedVersion)
            #expect(try Self.code(value, at: 10) == .sealedVersion)
        }
        for bit in 0..<32 { #expect(try Self.code(UInt32(1) << UInt32(bit), at: 20) == .sealedVersion) }
        for value in [0, 3, 0x102, UInt16.max] { #expect(try Self.code(value, at: 12) == .sealedEnvelope) }
    }

    @Test func lengths() throws {
        let length = UInt32(try Self.changed { _ in }.count)
        for value in [0, 1, 63, 64, 95, 96, length - 1, length + 1, 65_536, 65_537, 1 << 31, .max] {
            #expect(try Self.code(value, at: 16) == .sealedEnvelope, "\(value)")
        }
        // The header alone already says whether the length is one.
        for (value, isOne) in [(95, false), (96, true), (65_536, true), (65_537, false), (UInt32.max, false)] {
            let bytes = try Self.changed { Self.store(value, &$0, 16) }
            #expect(((try? Envelope.byteCount(inHeader: bytes.rawBytes)) != nil) == isOne, "\(value)")
        }
    }

    @Test func chunks() throws {
        for value in [UInt32(4096), 8192, 16_384, 32_768, 65_536] { #expect(try Self.code(value, at: 28) == nil) }
        for value in [UInt32(0), 1, 512, 2048, 4095, 4097, 12_288, 65_535, 65_537, 131_072, 1 << 31, .max] {
            #expect(try Self.code(value, at: 28) == .sealedEnvelope, "\(value)")
            #expect(try Self.code(value, at: 28, .stream) == .sealedEnvelope, "\(value)")
        }
        #expect(try Self.code(UInt32(16_384), at: 28, .stream) == .sealedEnvelope)
        #expect(try Self.code(UInt32(65_536), at: 28, .stream) == nil)
    }

    @Test func slotCounts() throws {
        for value in [UInt16(33), 34, 0x8000, .max] { #expect(try Self.code(value, at: 14) == .sealedEnvelope) }
        #expect(try Self.code(UInt16(0), at: 14) == .sealedErased)
        // More than there are: the next would begin in the code.
        for value in [UInt16(2), 32] { #expect(try Self.code(value, at: 14) == .sealedSlot) }
        for count in [1, 2, 31, 32] {
            let (envelope, keys) = try Self.made(slots: count)
            let bytes = envelope.bytes(keys)
            #expect(Self.code(bytes) == nil)
            guard count > 1 else { continue }
            // Fewer than there are: bytes are left.
            var fewer = Array(bytes.dropLast(32))
            Self.store(UInt16(count - 1), &fewer, 14)
            #expect(Self.code(fewer + HMACSHA256.code(fewer.rawBytes, key: keys.headerKey.bytes)) == .sealedEnvelope)
        }
    }

    @Test func slotLengths() throws {
        for type in [UInt16(1), 2, 3, 4] {
            for length in [UInt16(0), 1, 71, 73, 75, 77, 79, 81, 72, 76, 80, 0x8000, .max] {
                let bytes = try Self.changed { bytes in
                    Self.store(type, &bytes, 64)
                    Self.store(length, &bytes, 66)
                }
                if type == 3, length == 72 { continue }
                #expect(Self.code(bytes) == .sealedSlot, "type \(type), \(length) bytes")
            }
        }
        // A body that ends with the last byte before the code; a head that does not.
        for extra in 1...8 {
            let bytes = try Self.changed { bytes in
                bytes += [UInt8](repeating: 0, count: extra)
                Self.store(UInt16(2), &bytes, 14)
                if extra >= 4 {
                    Self.store(UInt16(9), &bytes, 140)
                    Self.store(UInt16(extra - 4), &bytes, 142)
                }
                Self.store(UInt32(bytes.count + 32), &bytes, 16)
            }
            #expect(Self.code(bytes) == (extra < 4 ? .sealedSlot : nil), "\(extra)")
        }
    }

    /// What a file asks for is refused before anything is computed.
    @Test func costs() throws {
        func code(_ type: UInt16, _ cost: [UInt8]) throws -> FormatError.Code? {
            try Self.code(
                Self.changed { bytes in
                    let body = cost + .zeros(72)
                    bytes += [UInt8(type), 0, UInt8(body.count), 0] + body
                    Self.store(UInt16(2), &bytes, 14)
                    Self.store(UInt32(bytes.count + 32), &bytes, 16)
                })
        }
        for log2N in UInt8.min...UInt8.max {
            #expect(try code(1, [log2N, 8, 1, 0]) == ((14...20).contains(log2N) ? nil : .sealedCost), "2^\(log2N)")
            #expect(try code(1, [17, log2N, 1, 0]) == (log2N == 8 ? nil : .sealedCost))
            #expect(try code(1, [17, 8, log2N, 0]) == ((1...4).contains(log2N) ? nil : .sealedCost))
            #expect(try code(1, [17, 8, 1, log2N]) == (log2N == 0 ? nil : .sealedCost))
        }
        let (least, most) = (KeySlot.acceptedIterations.lowerBound, KeySlot.acceptedIterations.upperBound)
        #expect(least == 210_000)
        for iterations in [0, 1, least - 1, least, most, most + 1, 1 << 31, .max] {
            let bytes = (0..<4).map { UInt8(truncatingIfNeeded: iterations >> UInt32(8 * $0)) }
            #expect(
                try code(2, bytes) == (least <= iterations && iterations <= most ? nil : .sealedCost), "\(iterations)")
        }
    }

    /// Slots of types to come, and compatible flags, are kept when the envelope is written again.
    @Test func unknownIsKept() throws {
        for type in [UInt16(0), 5, 0x8000, .max] {
            for count in [0, 1, 5000, 65_000] {
                let bytes = try Self.changed { bytes in
                    Self.store(UInt32(0x8000_0001), &bytes, 24)
                    Self.store(UInt16(2), &bytes, 14)
                    bytes += [UInt8(type & 0xFF), UInt8(type >> 8), UInt8(count & 0xFF), UInt8(count >> 8)]
                    bytes += (0..<count).map { UInt8(truncatingIfNeeded: $0) }
                    Self.store(UInt32(bytes.count + 32), &bytes, 16)
                }
                #expect(Self.code(bytes) == nil)
                let envelope = try Envelope(bytes.rawBytes)
                #expect(envelope.slots.count == 2 && envelope.slots[1].type == type)
                #expect(envelope.bytes(try EnvelopeTests.keys(envelope, [Self.keyFile], bytes)) == bytes)
            }
        }
    }

    /// Where an error is, as people look for it in the file.
    @Test func offsets() throws {
        let bytes = try Self.changed { Self.store(UInt16(71), &$0, 66) }
        do throws(FormatError) {
            _ = try Envelope(bytes.rawBytes, at: 65_536)
            Issue.record("was parsed")
        } catch { #expect(error.offset == 65_536 + 66 && error.code == .sealedSlot) }
    }
}
