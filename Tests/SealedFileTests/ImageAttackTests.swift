import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Foundation
import Synchronization
import Testing

@testable import SealedFile

/// What somebody can do to a container without its key: everything is refused, or has no effect.
@Suite struct ImageAttackTests {
    static let chunk: UInt64 = 4096
    static let layout = ImageLayout(chunkByteCount: 4096, journalByteCount: 262_144)

    /// Two groups with data, zeros and nothing; the second version overwrites some chunks, writes others for the first time,
    /// and wraps the journal.
    static func versions(seed: UInt64 = 1) throws -> (
        old: MemoryFile.Contents, oldDisk: [UInt8], new: MemoryFile.Contents, newDisk: [UInt8], anchors: [Anchor]
    ) {
        let file = MemoryFile()
        let image = try makeImage(on: file, seed: seed)
        for index in UInt64(0)..<100 where index % 7 != 3 {
            try image.write([UInt8](repeating: UInt8(index), count: 4096), at: index * chunk)
        }
        try image.zero(10 * chunk..<12 * chunk)
        try image.close()
        let (old, oldDisk, oldAnchor) = (file.contents, try image.everything(), image.anchor)
        let writer = try SealedImage(writing: file, secrets: [keyFile()], random: fixedRandom(seed + 100))
        for round in UInt64(0)..<40 {
            for index in UInt64(0)..<6 {
                try writer.write([UInt8](repeating: UInt8(100 + round), count: 4096), at: (index * 16 + 1) * chunk)
            }
            try writer.sync()
        }
        try writer.write([UInt8](repeating: 200, count: 4096), at: 3 * chunk)
        try writer.close()
        return (old, oldDisk, file.contents, try writer.everything(), [oldAnchor, writer.anchor])
    }

    /// What reading it all comes to: nil where it is refused.
    static func outcome(_ contents: MemoryFile.Contents, anchor: Anchor? = nil) throws -> [UInt8]? {
        do { return try openImage(contents, anchor: anchor).everything() } catch {
            guard isRefusal(error) else { throw error }
            return nil
        }
    }

    private static func moved(
        _ contents: MemoryFile.Contents, _ range: Range<UInt64>, from source: MemoryFile.Contents,
        at offset: UInt64? = nil
    ) -> MemoryFile.Contents {
        var contents = contents
        let start = offset ?? range.lowerBound
        contents.write(source.bytes(start..<start + UInt64(range.count)).rawBytes, at: range.lowerBound)
        return contents
    }
    private static func place(_ index: UInt64) -> Range<UInt64> {
        let start = layout.offset(ofChunk: index)
        return start..<start + chunk
    }
    private static func place(_ page: PageID) -> Range<UInt64> {
        let start = layout.offset(of: page)
        return start..<start + 4096
    }
    private static let roots: Range<UInt64> = 131_072..<393_216

    @Test func chunksArePutNowhereElse() throws {
        let (old, _, new, disk, _) = try Self.versions()
        let other = try Self.versions(seed: 2).new
        #expect(try Self.outcome(new) == disk)
        // Two chunks of one container exchanged; one put back; one of another container.
        var swapped = Self.moved(new, Self.place(1), from: new, at: Self.place(2).lowerBound)
        swapped = Self.moved(swapped, Self.place(2), from: new, at: Self.place(1).lowerBound)
        #expect(try Self.outcome(swapped) == nil)
        #expect(try Self.outcome(Self.moved(new, Self.place(1), from: old)) == nil)
        #expect(try Self.outcome(Self.moved(new, Self.place(1), from: other)) == nil)
        // With the entry, too: the page does not fit then.
        let page = Self.moved(new, Self.place(PageID(level: 0, number: 0)), from: old)
        #expect(try Self.outcome(Self.moved(page, Self.place(1), from: old)) == nil)
        // All other chunks can be read on.
        let reader = try openImage(swapped)
        #expect(try reader.bytes(at: 4 * Self.chunk, count: 4096) == [UInt8](repeating: 4, count: 4096))
        let error = #expect(throws: IOError.self) { try reader.bytes(at: Self.chunk + 5, count: 1) }
        #expect(error?.reason == .notAuthentic && DiskError(error!).kind == .key)
    }

    @Test func pagesArePutNowhereElse() throws {
        let (old, _, new, _, _) = try Self.versions()
        let other = try Self.versions(seed: 2).new
        for level in 0...2 {
            let id = PageID(level: level, number: 0)
            #expect(try Self.outcome(Self.moved(new, Self.place(id), from: old)) == nil, "level \(level) put back")
            #expect(try Self.outcome(Self.moved(new, Self.place(id), from: other)) == nil)
            #expect(
                try Self.outcome(
                    Self.moved(new, Self.place(id), from: new, at: Self.place(PageID(level: 0, number: 1)).lowerBound))
                    == nil)
            var zeroed = new
            zeroed.zero(Self.place(id))
            #expect(try Self.outcome(zeroed) == nil, "level \(level) gone")
        }
    }

    @Test func partsAreNotRolledBack() throws {
        let (old, oldDisk, new, disk, anchors) = try Self.versions()
        // A whole group with its page; everything but the root; the root alone; the root with the journal.
        let group = Self.place(PageID(level: 0, number: 0)).lowerBound..<Self.place(83).upperBound
        #expect(try Self.outcome(Self.moved(new, group, from: old)) == nil)
        let all = Self.layout.dataOffset..<min(old.byteCount, new.byteCount)
        #expect(try Self.outcome(Self.moved(new, all, from: old)) == nil)
        #expect(try Self.outcome(Self.moved(new, Self.roots, from: old)) == nil)
        #expect(try Self.outcome(Self.moved(new, 131_072..<Self.layout.dataOffset, from: old)) == nil)
        // One of the two blocks put back: the other is newer.
        for offset in ImageLayout.rootOffsets {
            #expect(try Self.outcome(Self.moved(new, offset..<offset + 131_072, from: old)) == disk)
        }
        // The whole: only an anchor tells.
        #expect(try Self.outcome(old) == oldDisk)
        #expect(try Self.outcome(old, anchor: anchors[0]) == oldDisk)
        #expect(try Self.outcome(old, anchor: anchors[1]) == nil)
        #expect(try Self.outcome(new, anchor: anchors[0]) == disk)
        #expect(try Self.outcome(new, anchor: anchors[1]) == disk)
    }

    /// The first root block leads to an empty disk, which no page contradicts but those that are there and should not be.
    @Test func theFirstRootIsNotPutBack() throws {
        let file = MemoryFile()
        let image = try makeImage(on: file)
        let first = file.contents
        for round in UInt8(0)..<60 {
            try image.write([UInt8](repeating: round, count: 8192), at: 0)
            try image.sync()
        }
        try image.close()
        #expect(try Self.outcome(Self.moved(file.contents, Self.roots, from: first)) == nil)
    }

    @Test func anchorsTellForksAndContainers() throws {
        let (old, _, new, _, anchors) = try Self.versions()
        let file = MemoryFile(old)
        let fork = try SealedImage(writing: file, secrets: [keyFile()])
        try fork.write([1], at: 0)
        while fork.anchor.generation < anchors[1].generation {
            try fork.write([2], at: 0)
            try fork.sync()
        }
        #expect(try Self.outcome(file.contents, anchor: anchors[1]) == nil, "the same generation, other contents")
        // Passed by some commits that are still in the journal.
        try fork.write([3], at: 0)
        try fork.sync()
        #expect(try Self.outcome(file.contents, anchor: anchors[1]) == nil)
        #expect(try Self.outcome(file.contents, anchor: fork.anchor) != nil)
        let other = try Self.versions(seed: 2).anchors[1]
        #expect(try Self.outcome(new, anchor: other) == nil)
    }

    /// Commit records of earlier laps, and of another container, are none.
    @Test func recordsAreNotReplayed() throws {
        let file = MemoryFile()
        let image = try makeImage(on: file)
        var snapshots: [MemoryFile.Contents] = []
        for round in UInt8(0)..<80 {
            try image.write([UInt8](repeating: round, count: 4096), at: UInt64(round % 5) * Self.chunk)
            try image.sync()
            snapshots.append(file.contents)
        }
        let disk = try image.everything()
        let journal = ImageLayout.journalOffset..<Self.layout.dataOffset
        let last = snapshots[79]
        let head = image.state.withLock { $0.head } % 262_144
        // Each old record where the next one is looked for.
        for old in snapshots {
            for offset in stride(from: UInt64(0), to: 262_144, by: 4096) {
                let start = journal.lowerBound + offset
                guard old.bytes(start + 32..<start + 40) == RecordHead.knownSignature else { continue }
                let target = journal.lowerBound + head
                let changed = Self.moved(last, target..<min(target + 8192, journal.upperBound), from: old, at: start)
                #expect(try openImage(changed).everything() == disk)
            }
        }
        // The journal of another container; it is a container's own, at an earlier time.
        let other = MemoryFile()
        let second = try makeImage(on: other, seed: 2)
        try second.write([9], at: 0)
        try second.sync()
        let fresh = MemoryFile()
        _ = try makeImage(on: fresh)
        #expect(try Self.outcome(Self.moved(fresh.contents, journal, from: other.contents)) == [])
        for number in stride(from: 0, to: 79, by: 7) {
            let found = try Self.outcome(Self.moved(last, journal, from: snapshots[number]), anchor: image.anchor)
            #expect(found == nil || found == disk, "an old journal")
        }
    }

    @Test func everyTruncationIsRefused() throws {
        let (_, _, new, disk, _) = try Self.versions()
        var borders: Set<UInt64> = [0, 63, 64, 65_536, 131_072, 262_144, 393_216, new.byteCount - 1]
        for border in stride(from: UInt64(0), to: new.byteCount, by: 4096) { borders.insert(border) }
        for border in borders {
            var cut = new
            cut.resize(to: border)
            #expect(try Self.outcome(cut) == nil, "cut to \(border)")
            // With zeros in the place of what was cut off.
            cut.resize(to: new.byteCount)
            let found = try Self.outcome(cut)
            #expect(found == nil || found == disk, "zeros from \(border)")
        }
        var longer = new
        longer.resize(to: new.byteCount + 999)
        #expect(try Self.outcome(longer) == disk)
    }

    /// A small image with data, zeros and commits; its disk after each of these.
    private static func flippable(isClosed: Bool) throws -> (MemoryFile.Contents, disks: [[UInt8]], anchor: Anchor) {
        let file = MemoryFile()
        let image = try makeImage(on: file)
        for index in [UInt64(0), 1, 5, 84] {
            try image.write([UInt8](repeating: UInt8(index + 1), count: 4096), at: index * chunk)
        }
        try image.sync()
        var disks = [[], try image.everything()]
        try image.write([UInt8](repeating: 77, count: 9000), at: 100)
        try image.zero(5 * chunk..<6 * chunk)
        try image.sync()
        disks.append(try image.everything())
        if isClosed { try image.close() }
        return (file.contents, isClosed ? [disks[2]] : disks, image.anchor)
    }

    /// Changes every byte where something stands, one at a time, and looks at what is read then; in the zeros of the rest, one of
    /// 512. All of these as well with `VHDTOOLS_LONG_TESTS` set.
    private static func forEachFlip(_ contents: MemoryFile.Contents, _ body: (MemoryFile.Contents) throws -> Void)
        throws
    {
        let takesAll = ProcessInfo.processInfo.environment["VHDTOOLS_LONG_TESTS"] != nil
        var random = SplitMix(seed: 51)
        for start in stride(from: UInt64(0), to: contents.byteCount, by: 512) {
            let end = min(start + 512, contents.byteCount)
            let isZeros = isZero(contents.bytes(start..<end).rawBytes)
            for offset in start..<(isZeros && !takesAll ? start + 1 : end) {
                var changed = contents
                let octets = [contents.bytes(offset..<offset + 1)[0] ^ UInt8.random(in: 1...255, using: &random)]
                changed.write(octets.rawBytes, at: offset)
                try body(changed)
            }
        }
    }

    /// Every byte of a small image that was closed, changed once: refused, or exactly what was committed.
    @Test func everyByteFlipped() throws {
        let (contents, disks, _) = try Self.flippable(isClosed: true)
        var (refused, unchanged) = (0, 0)
        try Self.forEachFlip(contents) { changed in
            guard let found = try Self.outcome(changed) else { return refused += 1 }
            try #require(found == disks[0])
            unchanged += 1
        }
        print("sealed image, every byte: \(refused) refused, \(unchanged) unchanged")
        #expect(refused > 15_000 && unchanged > 1000, "\(refused) refused, \(unchanged) unchanged")
    }

    /// The same where commits stand in the journal: an earlier one at most, and with an anchor not that.
    @Test func everyByteOfAnOpenImageFlipped() throws {
        let (contents, disks, anchor) = try Self.flippable(isClosed: false)
        var (refused, last, earlier) = (0, 0, 0)
        try Self.forEachFlip(contents) { changed in
            guard let found = try Self.outcome(changed) else { return refused += 1 }
            if found == disks[2] { return last += 1 }
            try #require(disks.contains(found))
            try #require(Self.outcome(changed, anchor: anchor) == nil)
            earlier += 1
        }
        print("sealed image with commits, every byte: \(refused) refused, \(last) unchanged, \(earlier) earlier")
        #expect(refused > 15_000 && last > 500 && earlier > 300, "\(refused) \(last) \(earlier)")
    }

    @Test func otherSecretsAreRefused() throws {
        let file = MemoryFile()
        try makeImage(on: file).close()
        for secrets in [[keyFile(8)], []] {
            let error = #expect(throws: DiskError.self) { try SealedImage(reading: file, secrets: secrets) }
            #expect(error?.kind == .key)
        }
        _ = try SealedImage(reading: file, secrets: [keyFile(8), keyFile()])
        let error = #expect(throws: DiskError.self) {
            try SealedImage(reading: MemoryFile([UInt8](repeating: 5, count: 400_000)), secrets: [keyFile()])
        }
        #expect(error?.formatError?.code == .sealedSignature)
    }
}
