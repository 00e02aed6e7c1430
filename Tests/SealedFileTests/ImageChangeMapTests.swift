import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing

@testable import SealedFile

/// What was changed since an anchor: put onto the old contents it makes the new ones.
@Suite struct ImageChangeMapTests {
    private struct Past {
        var anchor: Anchor
        var disk: [UInt8]
    }

    private func ranges(_ image: SealedImage, since anchor: Anchor) throws -> [Range<UInt64>] {
        var result: [Range<UInt64>] = []
        try image.forEachChangedRange(since: anchor) { result.append($0) }
        return result
    }

    private func check(_ image: SealedImage, _ past: Past, _ disk: [UInt8]) throws {
        let ranges = try ranges(image, since: past.anchor)
        for (left, right) in zip(ranges, ranges.dropFirst()) { #expect(left.upperBound < right.lowerBound) }
        var made = past.disk.count > disk.count ? Array(past.disk.prefix(disk.count)) : past.disk
        made += [UInt8].zeros(disk.count - made.count)
        for range in ranges {
            #expect(range.lowerBound % 4096 == 0 && (range.upperBound % 4096 == 0 || range.upperBound == disk.count))
            made.replaceSubrange(
                Int(range.lowerBound)..<Int(range.upperBound), with: disk[Int(range.lowerBound)..<Int(range.upperBound)]
            )
        }
        let isEqual = made == disk
        #expect(isEqual, "since \(past.anchor.generation)")
    }

    /// Random commits with checkpoints between them; at each every former state becomes the present one. What was never changed
    /// is not told.
    @Test(arguments: [UInt64(1), 2, 3]) func agreesWithAModel(seed: UInt64) throws {
        let file = MemoryFile()
        var image = try makeImage(on: file)
        var random = SplitMix(seed: seed)
        var pasts = [Past(anchor: image.anchor, disk: [])]
        for round in 0..<40 {
            for _ in 0..<3 {
                // Some groups; what is far away is in `exactRanges`.
                let group = UInt64.random(in: 0..<3, using: &random) * 84
                let start = (group + UInt64.random(in: 0..<90, using: &random)) * 4096
                switch UInt64.random(in: 0..<6, using: &random) {
                case 0..<3: try image.write(random.bytes(Int.random(in: 1...9000, using: &random)), at: start + 77)
                case 3, 4: try image.zero(start + 1..<start + 20_000)
                default: try image.resize(to: UInt64.random(in: 0...400_000, using: &random))
                }
            }
            try image.sync()
            if round % 7 == 0 {
                try image.close()
                image = try SealedImage(writing: file, secrets: [keyFile()])
            }
            let disk = try image.everything()
            for past in pasts { try check(image, past, disk) }
            pasts.append(Past(anchor: image.anchor, disk: disk))
            #expect(try ranges(image, since: image.anchor).isEmpty)
            if round % 10 == 0 { pasts = pasts.suffix(6) }
        }
    }

    /// Only chunks that were written, zeroed or cut off since; neighbours as one run, though a page ends between them.
    @Test func exactRanges() throws {
        let file = MemoryFile()
        let image = try makeImage(on: file)
        let chunk: UInt64 = 4096
        try image.write([UInt8](repeating: 1, count: 200 * 4096), at: 0)
        try image.sync()
        let anchor = image.anchor
        try image.write([2], at: 5 * chunk)
        try image.write([2, 2], at: 84 * chunk - 1)
        try image.zero(100 * chunk..<102 * chunk)
        #expect(try ranges(image, since: anchor).isEmpty, "not yet committed")
        try image.sync()
        let far = 84 * 126 * 126 * chunk
        try image.write([3], at: far)
        try image.sync()
        let expected = [
            5 * chunk..<6 * chunk, 83 * chunk..<85 * chunk, 100 * chunk..<102 * chunk, far..<far + 1,
        ]
        #expect(try ranges(image, since: anchor) == expected)
        let reader = try openImage(file.contents, anchor: anchor)
        #expect(try ranges(reader, since: anchor) == expected)
    }

    @Test func otherAnchors() throws {
        let file = MemoryFile()
        let image = try makeImage(on: file)
        try image.write([1], at: 0)
        try image.sync()
        let (old, now) = (file.contents, image.anchor)
        try image.write([2], at: 0)
        try image.sync()
        let other = try makeImage(on: MemoryFile(), seed: 99)
        let changed = Anchor(
            containerID: now.containerID, generation: now.generation, rootDigest: [UInt8](repeating: 1, count: 32))
        for (reader, anchor) in [
            (try openImage(old), image.anchor), (try openImage(old), changed), (image, other.anchor),
        ] {
            let kind: DiskError.Kind?
            do throws(DiskError) {
                try reader.forEachChangedRange(since: anchor) { _ in }
                kind = nil
            } catch { kind = error.kind }
            #expect(kind == .key)
        }
        #expect(try ranges(image, since: now) == [0..<1])
    }
}
