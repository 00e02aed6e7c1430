import BlockIO
import ByteCodec
import DiskModel
import FaultInjection

@testable import SealedFile

/// A change of a sealed image's slots, of which key files with these octets are the secrets: 1, 2 and 3 before it.
struct SlotCase: Sendable, CustomStringConvertible {
    var adds: [UInt8] = []
    /// From 0.
    var removes: Set<Int> = []
    var start = Start.closed

    /// What the file is like before.
    enum Start: String, Sendable {
        case closed
        /// With commits in the journal.
        case pending
        /// One of the copies of the envelope is damaged.
        case firstDamaged, secondDamaged
        /// A former change, which took secret 9 away, was cut off between its steps; it is finished before this one.
        case unfinished
        /// The envelope has some sectors, so that it can be torn.
        case long
    }

    static let octetsBefore: [UInt8] = [1, 2, 3]
    var octetsAfter: [UInt8] {
        Self.octetsBefore.enumerated().filter { !removes.contains($0.offset) }.map(\.element) + adds
    }
    var keptOctets: [UInt8] { Self.octetsBefore.filter(octetsAfter.contains) }
    var removedOctets: [UInt8] { Self.octetsBefore.filter { !octetsAfter.contains($0) } + [9] }

    var description: String { "+\(adds) -\(removes.sorted()) \(start.rawValue)" }

    static let all: [SlotCase] = [
        SlotCase(adds: [4]), SlotCase(adds: [4, 5], start: .pending),
        SlotCase(removes: [2], start: .pending), SlotCase(removes: [0, 1], start: .secondDamaged),
        SlotCase(adds: [4], removes: [0, 2], start: .firstDamaged),
        SlotCase(adds: [4], removes: [1], start: .unfinished),
        SlotCase(adds: [4], start: .long), SlotCase(removes: [0], start: .long),
    ]

    /// The image before the change, and what the disk inside holds.
    func image() throws -> (contents: MemoryFile.Contents, disk: [UInt8]) {
        let file = MemoryFile()
        let octets = Self.octetsBefore + (start == .unfinished ? [9] : [])
        let image = try SealedImage.create(
            on: file, for: octets.map { keyFile($0) }, chunkByteCount: 4096, journalByteCount: 262_144, creationTime: 0,
            random: fixedRandom(8))
        var random = SplitMix(seed: 4)
        for _ in 0..<4 {
            try image.write(random.bytes(9000), at: UInt64.random(in: 0..<60_000, using: &random))
            try image.sync()
        }
        if start != .pending { try image.close() }
        switch start {
        case .closed, .pending: break
        case .firstDamaged: try file.write([1, 2, 3], at: 80)
        case .secondDamaged: try file.write([1, 2, 3], at: 65_536 + 5)
        case .unfinished: try Self.cutOff(file)
        case .long:
            let opened = try ImageEnvelopes(file, [keyFile(1)])
            var envelope = opened.envelope
            envelope.slots.append(KeySlot(.unknown(type: 99, body: random.bytes(2000))))
            for offset in ImageLayout.envelopeOffsets { try file.write(envelope.bytes(opened.keys), at: offset) }
        }
        return (file.contents, try image.everything())
    }

    /// Takes slot 3 away, without the second step.
    private static func cutOff(_ file: MemoryFile) throws {
        let former = try file.bytes(at: 0, count: 65_536)
        var slots = try ImageSlots(of: file, secrets: [keyFile(1)], random: fixedRandom(3))
        try slots.remove([3])
        try slots.write()
        try file.write(former, at: 0)
    }

    /// Does it, marked 1 when it is done.
    func perform(on file: RecordingFile, dropping: FlushedStep? = nil) throws {
        var slots = try ImageSlots(
            of: UnsyncedFile(file, dropping: dropping), secrets: [keyFile(2), keyFile(3)], random: fixedRandom(5))
        try slots.finish()
        file.mark(0)
        try slots.remove(removes)
        for octet in adds { try slots.add(keyFile(octet)) }
        try slots.write()
        file.mark(1)
    }

    struct Lost: Error, CustomStringConvertible { let description: String }

    /// That a file is the image before the change, during it, or, where that is known, after it.
    func check(_ file: MemoryFile.Contents, _ disk: [UInt8], isDone: Bool) throws {
        let file = MemoryFile(file)
        func opens(_ octet: UInt8) throws -> Bool {
            do throws(DiskError) { _ = try ImageEnvelopes(file, [keyFile(octet)]) } catch {
                guard error.kind == .key else { throw error }
                return false
            }
            return true
        }
        let kept = isDone ? octetsAfter : keptOctets
        for octet in kept where try !opens(octet) {
            throw Lost(description: "\(self): secret \(octet) does not open it")
        }
        for octet in removedOctets where try isDone && opens(octet) {
            throw Lost(description: "\(self): secret \(octet) opens it when the change is done")
        }
        // They all lead to the same keys, which the envelope's code proves.
        guard try SealedImage(reading: file, secrets: [keyFile(kept[0])]).everything() == disk else {
            throw Lost(description: "\(self): the contents are others")
        }
    }
}
