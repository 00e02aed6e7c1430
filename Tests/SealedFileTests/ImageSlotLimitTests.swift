import BlockIO
import ByteCodec
import DiskModel
import Testing

@testable import SealedFile

/// What the slots of an image cannot become.
@Suite struct ImageSlotLimitTests {
    /// An image whose envelope was changed with its own key.
    private func file(_ change: (inout Envelope) -> Void) throws -> MemoryFile {
        let file = MemoryFile(try SlotCase().image().contents)
        let opened = try ImageEnvelopes(file, [keyFile(1)])
        var envelope = opened.envelope
        change(&envelope)
        for offset in ImageLayout.envelopeOffsets { try file.write(envelope.bytes(opened.keys), at: offset) }
        return file
    }

    private func unknown(_ byteCount: Int) -> KeySlot { KeySlot(.unknown(type: 99, body: .zeros(byteCount))) }

    private func refusal(_ body: () throws(DiskError) -> Void) -> (kind: DiskError.Kind, text: String)? {
        do throws(DiskError) { try body() } catch { return (error.kind, error.explanation) }
        return nil
    }

    @Test func thirtyTwoSlots() throws {
        let file = try file { _ in }
        var slots = try ImageSlots(of: file, secrets: [keyFile(1)])
        for octet in UInt8(4)...32 { try slots.add(keyFile(octet)) }
        let refused = refusal { () throws(DiskError) in try slots.add(keyFile(33)) }
        #expect(refused?.kind == .refused && refused?.text.contains("it has 32 slots") == true)
        try slots.write()
        for octet in UInt8(1)...33 {
            let opens = (try? ImageSlots(of: file, secrets: [keyFile(octet)])) != nil
            #expect(opens == (octet < 33))
        }
    }

    @Test func sixtyFourKiB() throws {
        // The envelope with three key files has 64 + 3 · 76 + 32 = 324 bytes.
        let file = try file { $0.slots.append(unknown(65_536 - 324 - 4 - 76)) }
        var slots = try ImageSlots(of: file, secrets: [keyFile(1)])
        try slots.add(keyFile(4))
        #expect(slots.envelope.byteCount == 65_536)
        let refused = refusal { () throws(DiskError) in try slots.add(keyFile(5)) }
        #expect(refused?.kind == .refused && refused?.text.contains("65536 bytes") == true)
        try slots.write()
        let again = try ImageSlots(of: file, secrets: [keyFile(4)])
        #expect(again.envelope.slots.count == 5 && again.envelope.slots[3] == slots.envelope.slots[3])
    }

    @Test func theLastSlotStays() throws {
        let file = try file { $0.slots.append(unknown(5)) }
        let before = file.allBytes
        var slots = try ImageSlots(of: file, secrets: [keyFile(1)])
        for indices in [[0, 1, 2, 3], [0, 1, 2]] as [Set<Int>] {
            let refused = refusal { () throws(DiskError) in try slots.remove(indices) }
            #expect(refused?.kind == .refused && refused?.text.contains("no slot would be left") == true)
        }
        for index in [4, -1, .max - 1] {
            let refused = refusal { () throws(DiskError) in try slots.remove([index]) }
            #expect(refused?.kind == .outOfRange)
        }
        try slots.write()
        #expect(file.allBytes == before)
    }

    @Test func endlessSequence() throws {
        let file = try file { $0.headerSequence = .max }
        let before = file.allBytes
        var slots = try ImageSlots(of: file, secrets: [keyFile(1)])
        try slots.remove([0])
        let refused = refusal { () throws(DiskError) in try slots.write() }
        #expect(refused?.kind == .refused && file.allBytes == before)
    }

    /// Flags that may be ignored are kept.
    @Test func compatibleFlags() throws {
        let file = try file { $0.compatibleFlags = 0xa5 }
        var slots = try ImageSlots(of: file, secrets: [keyFile(1)])
        try slots.remove([0])
        try slots.write()
        #expect(try ImageSlots(of: file, secrets: [keyFile(2)]).envelope.compatibleFlags == 0xa5)
    }

    @Test func streamsAreRefused() throws {
        let file = MemoryFile()
        var offset: UInt64 = 0
        let writer = try SealedStreamWriter(for: [keyFile(1)]) { (bytes) throws(IOError) in
            try file.write(bytes, at: offset)
            offset += UInt64(bytes.byteCount)
        }
        try writer.finish()
        let refused = refusal { () throws(DiskError) in _ = try ImageSlots(of: file, secrets: [keyFile(1)]) }
        #expect(refused?.kind == .refused && refused?.text.contains("unseal FILE | seal") == true)
    }
}
