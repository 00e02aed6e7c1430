import BlockIO
import ByteCodec
import Cipher
import DiskModel
import Foundation
import Testing

@testable import SealedFile

/// Envelopes come back as they were written, open with each of their secrets, and with no other.
@Suite struct EnvelopeTests {
    static func secret(_ bytes: [UInt8]) -> SecretBytes { SecretBytes(copying: bytes.rawBytes) }

    static func keys(_ envelope: Envelope, _ secrets: [SlotKey], _ bytes: [UInt8]) throws(CipherError) -> ContainerKeys
    {
        try envelope.keys(secrets, confirming: bytes.rawBytes)
    }

    @Test func vectors() throws {
        if ProcessInfo.processInfo.environment["VHDTOOLS_WRITE_VECTORS"] != nil {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            let all = try EnvelopeVector.inputs.map { try $0.filled() }
            try encoder.encode(all).write(to: URL(fileURLWithPath: EnvelopeVector.path))
        }
        let stored = try EnvelopeVector.stored()
        #expect(stored.count == EnvelopeVector.inputs.count)
        for (vector, input) in zip(stored, EnvelopeVector.inputs) {
            let filled = try input.filled()
            #expect(filled == vector, "\(vector.name)")
        }
    }

    /// Parsing gives what was written; each secret alone leads to the same keys.
    @Test func opens() throws {
        for vector in try EnvelopeVector.stored() {
            let bytes = octets(vector.envelope)
            let envelope = try Envelope(bytes.rawBytes)
            #expect(try Envelope.byteCount(inHeader: bytes.rawBytes.extracting(0..<64)) == bytes.count)
            #expect(envelope.kind.rawValue == vector.kind && envelope.chunkByteCount == vector.chunkSize)
            #expect(envelope.containerID == Array(octets(vector.random)[..<16]))
            #expect(envelope.creationTime == vector.creationTime && envelope.headerSequence == 1)
            #expect(envelope.slots.count == vector.secrets.count)
            #expect(envelope == (try vector.made().envelope))
            for secret in vector.secrets {
                let keys = try Self.keys(envelope, [secret.slotKey()], bytes)
                #expect(envelope.bytes(keys) == bytes)
                #expect(hexadecimal(keys.masterKey) == hexadecimal(Array(octets(vector.random)[16..<48])))
                #expect(hexadecimal(keys.dataKey) == vector.dataKey)
            }
        }
    }

    @Test func structures() {
        #expect(EnvelopeHeader().serialized().count == 64 && SlotHeader().serialized().count == 4)
        let offsets = Dictionary(
            uniqueKeysWithValues: EnvelopeHeader().dumped().map { ($0.name, $0.offset) })
        #expect(
            offsets == [
                "Signature": 0, "Version": 8, "Suite": 10, "Kind": 12, "SlotCount": 14, "EnvelopeLength": 16,
                "IncompatibleFlags": 20, "CompatibleFlags": 24, "ChunkSize": 28, "ContainerId": 32,
                "HeaderSequence": 48,
                "CreationTime": 56,
            ])
    }

    /// All keys of a container differ, and differ from those of another one with the same master key.
    @Test func keysAreApart() {
        let masterKey = Self.secret([UInt8](repeating: 7, count: 32))
        var found: Set<String> = []
        for kind in [SealedKind.stream, .image] {
            for id in [[UInt8](repeating: 1, count: 16), [UInt8](repeating: 2, count: 16)] {
                let keys = ContainerKeys(masterKey: masterKey, kind: kind, containerID: id)
                for key in [keys.headerKey, keys.pageKey, keys.journalKey, keys.streamKey, keys.dataKey] {
                    found.insert(hexadecimal(key))
                }
            }
        }
        #expect(found.count == 20)
    }

    // MARK: Other secrets

    /// Whatever is wrong, a secret or the code, is the same error.
    @Test func wrongKeysAreOneError() throws {
        let wrong: [SlotKey] = [
            .passphrase(Self.secret(Array("correct horse battery stapl".utf8)), .standard),
            .passphrase(Self.secret([]), .standard), .keyFile(Self.secret([UInt8](repeating: 1, count: 48))),
            .keyFile(Self.secret([])), .keyFile(Self.secret([UInt8](repeating: 0x6B, count: 31))),
            .identity(try Identity()), .recipient(try Identity().recipient),
        ]
        for vector in try EnvelopeVector.stored() {
            let bytes = octets(vector.envelope)
            let envelope = try Envelope(bytes.rawBytes)
            // Each alone, but for the passphrases, which take their time.
            for secrets in wrong.dropFirst(2).map({ [$0] }) + [wrong, []] {
                #expect(throws: CipherError.notAuthentic) { try Self.keys(envelope, secrets, bytes) }
            }
            // The right secret among wrong ones; with it, but another code.
            let right = try #require(try vector.secrets.last?.slotKey())
            #expect(throws: Never.self) { try Self.keys(envelope, wrong + [right], bytes) }
            var broken = bytes
            broken[bytes.count - 1] ^= 1
            #expect(throws: CipherError.notAuthentic) { try Self.keys(envelope, [right], broken) }
        }
    }

    /// What cannot be derived is the same error for streams and images.
    @Test func refusalsAreAlike() throws {
        let secrets = [SlotKey.passphrase(Self.secret([1]), .scrypt(log2N: 21))]
        let image = #expect(throws: DiskError.self) {
            try SealedImage.create(on: MemoryFile(), for: secrets, creationTime: 0)
        }
        let stream = #expect(throws: DiskError.self) {
            try SealedStreamWriter(for: secrets, path: "(memory)") { (_) throws(IOError) in }
        }
        #expect(image?.kind == .refused && stream?.kind == .refused)
        #expect(image?.explanation == stream?.explanation && image?.explanation.contains("too little memory") == true)
    }

    /// What nobody would open again is not made.
    @Test func refusesToSeal() throws {
        func create(_ key: SlotKey) throws(CipherError) {
            _ = try Envelope.create(
                .stream, chunkByteCount: 65_536, for: [key], creationTime: 0, random: .system)
        }
        let passphrase = Self.secret([1])
        for cost in [SlotKey.PassphraseCost.scrypt(log2N: 13), .scrypt(log2N: 21), .scrypt(log2N: 255)] {
            #expect(throws: CipherError.derivationFailed) { try create(.passphrase(passphrase, cost)) }
        }
        for iterations in [
            0, KeySlot.acceptedIterations.lowerBound - 1, KeySlot.acceptedIterations.upperBound + 1, .max,
        ] {
            #expect(throws: CipherError.derivationFailed) {
                try create(.passphrase(passphrase, .pbkdf2(iterations: iterations)))
            }
        }
        for count in [0, 1, 31] {
            #expect(throws: CipherError.invalidKey) { try create(.keyFile(Self.secret(.zeros(count)))) }
        }
        #expect(throws: CipherError.invalidKey) { try create(.recipient(Recipient(publicKey: .zeros(32)))) }
        #expect(throws: Never.self) { try create(.keyFile(Self.secret(.zeros(32)))) }
    }

    // MARK: Changed bytes

    /// Opens changed bytes; nil where they are refused.
    static func opened(_ bytes: [UInt8], _ secrets: [SlotKey]) -> Envelope? {
        guard let envelope = try? Envelope(bytes.rawBytes) else { return nil }
        return (try? keys(envelope, secrets, bytes)) == nil ? nil : envelope
    }

    /// Every bit of an envelope without passphrases.
    @Test func everyBitCounts() throws {
        for vector in try EnvelopeVector.stored() where vector.secrets.allSatisfy({ $0.passphrase == nil }) {
            let bytes = octets(vector.envelope)
            let secrets = try vector.secrets.map { try $0.slotKey() }
            #expect(Self.opened(bytes, secrets) != nil)
            for bit in 0..<8 * bytes.count {
                var changed = bytes
                changed[bit / 8] ^= 1 << UInt8(bit % 8)
                #expect(Self.opened(changed, secrets) == nil, "\(vector.name), bit \(bit)")
            }
            for count in 0..<bytes.count { #expect(Self.opened(Array(bytes[..<count]), secrets) == nil) }
            #expect(Self.opened(bytes + [0], secrets) == nil)
        }
    }

    /// The bytes of a passphrase's slot. What stands before and behind it is as in other envelopes.
    @Test(arguments: ["scrypt", "pbkdf2"]) func slotBytesCount(_ name: String) throws {
        let vector = try #require(try EnvelopeVector.stored().first { $0.name == name })
        let bytes = octets(vector.envelope)
        let secrets = try vector.secrets.map { try $0.slotKey() }
        #expect(Self.opened(bytes, secrets) != nil)
        // Salt and wrapped key are as in a key file's slot, of which every bit is tried: some places of them stand for all.
        for place in Array(64..<72) + stride(from: 72, to: bytes.count, by: 16) {
            var changed = bytes
            // Of the costs a bit that makes them too high, rather than one that takes half a minute.
            changed[place] ^= 0x80
            #expect(Self.opened(changed, secrets) == nil, "byte \(place)")
        }
    }
}
