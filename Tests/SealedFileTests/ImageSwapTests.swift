import BlockIO
import ByteCodec
import Cipher
import DiskModel
import FaultInjection
import Synchronization
import Testing

@testable import SealedFile

/// Parts of containers that have the same keys, exchanged: copies that went on apart, and containers with one master key.
@Suite struct ImageSwapTests {
    private static let chunk: UInt64 = 4096
    private static let layout = ImageLayout(chunkByteCount: 4096, journalByteCount: 262_144)

    struct Image {
        var contents: MemoryFile.Contents
        var disk: [UInt8]
        var anchor: Anchor
    }

    /// One container, copied, and then each copy changed in the same places, the same number of times.
    private static func forks(isClosed: Bool) throws -> [Image] {
        let base = MemoryFile()
        let image = try makeImage(on: base)
        for index in UInt64(0)..<100 {
            try image.write([UInt8](repeating: UInt8(index), count: 4096), at: index * chunk)
        }
        try image.close()
        return try [UInt8(150), 200].map { octet in
            let file = MemoryFile(base.contents)
            let fork = try SealedImage(writing: file, secrets: [keyFile()], random: fixedRandom(UInt64(octet)))
            for index in [UInt64(1), 2, 90] {
                try fork.write([UInt8](repeating: octet, count: 4096), at: index * chunk)
                try fork.sync()
            }
            try fork.write([UInt8](repeating: octet, count: 4096), at: 100 * chunk)
            if isClosed { try fork.close() } else { try fork.sync() }
            return Image(contents: file.contents, disk: try fork.everything(), anchor: fork.anchor)
        }
    }

    private static func put(_ range: Range<UInt64>, of source: Image, into target: Image) -> MemoryFile.Contents {
        var contents = target.contents
        contents.write(source.contents.bytes(range).rawBytes, at: range.lowerBound)
        return contents
    }

    private static func chunkPlace(_ index: UInt64) -> Range<UInt64> {
        layout.offset(ofChunk: index)..<layout.offset(ofChunk: index) + chunk
    }

    /// Pages, groups, roots, journal and what lies behind it, by name.
    private static var parts: [(String, Range<UInt64>)] {
        let pages = [PageID(level: 0, number: 0), PageID(level: 0, number: 1), PageID(level: 1, number: 0)]
        var parts = (pages + [PageID(level: 2, number: 0)]).map { page in
            ("page \(page.number) of level \(page.level)", layout.offset(of: page)..<layout.offset(of: page) + 4096)
        }
        parts.append(("group 0", layout.offset(of: pages[0])..<chunkPlace(83).upperBound))
        parts.append(("pages and group 0", layout.dataOffset..<chunkPlace(83).upperBound))
        parts.append(("roots", 131_072..<393_216))
        parts += ImageLayout.rootOffsets.map { ("root at \($0)", $0..<$0 + 131_072) }
        parts.append(("journal", 393_216..<layout.dataOffset))
        parts.append(("roots and journal", 131_072..<layout.dataOffset))
        return parts
    }

    @Test func closedForksAreNotMixed() throws {
        let forks = try Self.forks(isClosed: true)
        #expect(forks[0].anchor.generation == forks[1].anchor.generation)
        #expect(forks[0].anchor.containerID == forks[1].anchor.containerID)
        for (source, target) in [(forks[0], forks[1]), (forks[1], forks[0])] {
            for index in [UInt64(1), 2, 90, 100] {
                let found = try ImageAttackTests.outcome(Self.put(Self.chunkPlace(index), of: source, into: target))
                #expect(found == nil, "chunk \(index)")
            }
            for (name, range) in Self.parts {
                let found = try ImageAttackTests.outcome(Self.put(range, of: source, into: target))
                // A closed image does not need its journal; its roots are two, and equal in what they say.
                let isSpare = name == "journal" || name.hasPrefix("root at")
                #expect(isSpare ? found == nil || found == target.disk : found == nil, "\(name)")
            }
        }
    }

    /// Their journals still lead from the common root to each one's contents.
    @Test func openForksAreNotMixed() throws {
        let forks = try Self.forks(isClosed: false)
        var refused = 0
        for (source, target) in [(forks[0], forks[1]), (forks[1], forks[0])] {
            for (name, range) in Self.parts {
                let mixed = Self.put(range, of: source, into: target)
                let found = try ImageAttackTests.outcome(mixed)
                if found == nil { refused += 1 }
                #expect(found == nil || found == source.disk || found == target.disk, "\(name)")
                // With the anchor nothing but its contents.
                let kept = try ImageAttackTests.outcome(mixed, anchor: target.anchor)
                #expect(kept == nil || kept == target.disk, "\(name)")
            }
            // Chunk 100 was free, and stands in its place: each journal's record knows its own.
            let journal = Self.put(393_216..<Self.layout.dataOffset, of: source, into: target)
            let reader = try openImage(journal)
            #expect(throws: IOError.self) { try reader.bytes(at: 100 * Self.chunk, count: 4096) }
            #expect(throws: DiskError.self) { try openImage(journal, anchor: target.anchor) }
            let swapped = Self.put(Self.chunkPlace(100), of: source, into: target)
            #expect(try ImageAttackTests.outcome(swapped) == nil)
        }
        #expect(refused > 0)
    }

    /// Containers whose master key, nonces and contents are the same, and that differ by their ids alone: every key comes from
    /// the id, too.
    @Test func oneMasterKeyIsNoCommonKey() throws {
        let images = try [UInt8(1), 2].map { octet in
            let drawn = Mutex(false)
            let rest = fixedRandom(3)
            let random = RandomSource { bytes in
                let isID = drawn.withLock { drawn in
                    defer { drawn = true }
                    return !drawn
                }
                let count = bytes.byteCount
                let octets = isID ? [UInt8](repeating: octet, count: count) : rest.bytes(count)
                bytes.copy(octets.rawBytes, at: 0)
            }
            let file = MemoryFile()
            let image = try SealedImage.create(
                on: file, for: [keyFile()], chunkByteCount: 4096, journalByteCount: 262_144, creationTime: 0,
                random: random)
            for index in UInt64(0)..<90 { try image.write([UInt8](repeating: 9, count: 4096), at: index * Self.chunk) }
            try image.close()
            return (image.keys, Image(contents: file.contents, disk: try image.everything(), anchor: image.anchor))
        }
        let masterKeys = images.map { hexadecimal($0.0.masterKey) }
        let dataKeys = images.map { hexadecimal($0.0.dataKey) }
        #expect(masterKeys[0] == masterKeys[1] && dataKeys[0] != dataKeys[1])
        let (source, target) = (images[0].1, images[1].1)
        #expect(source.disk == target.disk)
        let whole = [
            ("chunk 1", Self.chunkPlace(1)), ("chunks and pages", Self.layout.dataOffset..<target.contents.byteCount),
        ]
        for (name, range) in Self.parts + whole {
            let found = try ImageAttackTests.outcome(Self.put(range, of: source, into: target))
            let isSpare = name == "journal" || name.hasPrefix("root at")
            #expect(isSpare ? found == target.disk : found == nil, "\(name)")
        }
    }

    /// Another container's envelope, sealed for the same key file: in one copy, and in both.
    @Test func envelopes() throws {
        let (target, source) = (try Self.made(1), try Self.made(2))
        let copies = ImageLayout.envelopeOffsets.map { $0..<$0 + ImageLayout.envelopeAreaByteCount }
        var both = target
        for copy in copies {
            let one = Self.put(copy, of: source, into: target)
            let found = try ImageAttackTests.outcome(one)
            #expect(found == nil || found == target.disk)
            both.contents = Self.put(copy, of: source, into: both)
        }
        #expect(try ImageAttackTests.outcome(both.contents) == nil)
        // A copy that has the other's place is the same container's still.
        var doubled = target
        doubled.contents.write(target.contents.bytes(copies[1]).rawBytes, at: 0)
        #expect(try ImageAttackTests.outcome(doubled.contents) == target.disk)
        // A stream's envelope.
        let stream = try StreamSamples.sealed([1, 2, 3], secret: keyFile())
        let envelope = Array(stream[StreamSamples.Layout(stream).envelope])
        for copy in copies {
            doubled.contents.write(envelope.rawBytes, at: copy.lowerBound)
        }
        #expect(try ImageAttackTests.outcome(doubled.contents) == nil)
    }

    private static func made(_ seed: UInt64) throws -> Image {
        let file = MemoryFile()
        let image = try makeImage(on: file, seed: seed)
        try image.write([UInt8](repeating: 5, count: 50_000), at: 0)
        try image.close()
        return Image(contents: file.contents, disk: try image.everything(), anchor: image.anchor)
    }

    /// Pages of which one part is the older one, as a disk tears them: refused in a closed image.
    @Test func tornPages() throws {
        let (old, _, new, _, _) = try ImageAttackTests.versions()
        for level in 0...2 {
            let start = Self.layout.offset(of: PageID(level: level, number: 0))
            for border in stride(from: UInt64(512), to: 4096, by: 512) {
                for range in [start..<start + border, start + border..<start + 4096] {
                    var torn = new
                    torn.write(old.bytes(range).rawBytes, at: range.lowerBound)
                    // Where the older one differs in the other part only, nothing was torn.
                    guard torn.bytes(range) != new.bytes(range) else { continue }
                    #expect(try ImageAttackTests.outcome(torn) == nil, "level \(level), \(border)")
                }
            }
        }
        // A root block: the other one counts.
        for offset in ImageLayout.rootOffsets {
            var torn = new
            torn.write(old.bytes(offset..<offset + 64).rawBytes, at: offset)
            #expect(try ImageAttackTests.outcome(torn) != nil)
        }
    }
}
