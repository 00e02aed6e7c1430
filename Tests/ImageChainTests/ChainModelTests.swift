import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing

@testable import ImageChain

/// Chains of layers in random shapes against the plain model.
@Suite struct ChainModelTests {
    static let seeds: [UInt64] = [1, 2, 3, 4, UInt64.random(in: 0 ... .max)]

    private func layers(_ random: inout SplitMix) throws -> [RandomLayer] {
        let depth = Int.random(in: 1...5, using: &random)
        let sector = Bool.random(using: &random) ? 512 : 4096
        return try (0..<depth).map { level in
            try RandomLayer(
                sectors: Int.random(in: 1...80, using: &random), sectorByteCount: sector, hasParent: level < depth - 1,
                using: &random)
        }
    }

    private func range(_ size: Int, _ random: inout SplitMix) -> Range<UInt64> {
        let a = Int.random(in: 0...size, using: &random)
        let b = min(size, a + Int.random(in: 0...(Bool.random(using: &random) ? 700 : size), using: &random))
        return UInt64(a)..<UInt64(b)
    }

    @Test(arguments: seeds) func reads(_ seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        for round in 0..<12 {
            let layers = try layers(&random)
            let chain = try ImageChain(leafFirst: layers)
            let expected = try expectedContents(layers)
            for _ in 0..<25 {
                let range = range(expected.count, &random)
                let slice = Array(expected[Int(range.lowerBound)..<Int(range.upperBound)])
                let note: Comment = "seed \(seed), round \(round), \(range)"
                try #require(try bytes(chain, range) == slice, note)
                let limit = [1, 2, 3, 1000].randomElement(using: &random)!
                try #require(try bytesByExtents(chain, range, limit: limit) == slice, note)
                try #require(try bytesByStream(chain, range) == slice, note)
            }
        }
    }

    /// Read into a buffer that held something else: what is zero must be written as such.
    private func bytes(_ chain: ImageChain, _ range: Range<UInt64>) throws -> [UInt8] {
        var result = [UInt8](repeating: 0xcc, count: Int(range.upperBound - range.lowerBound))
        var raw = result.mutableRawBytes
        try chain.read(into: &raw, at: range.lowerBound)
        return result
    }

    /// The bytes by `extents`, with all that it promises checked on the way.
    private func bytesByExtents(_ chain: ImageChain, _ range: Range<UInt64>, limit: Int) throws -> [UInt8] {
        var result: [UInt8] = []
        var position = range.lowerBound
        while position < range.upperBound {
            let extents = try chain.extents(in: position..<range.upperBound, limit: limit)
            try #require(!extents.isEmpty && extents.count <= limit, "\(extents.count) for \(limit)")
            for (index, mapped) in extents.enumerated() {
                let extent = mapped.extent
                try #require(extent.offset == position && extent.byteCount > 0 && extent.end <= range.upperBound)
                try #require(extent.source != .parent)
                try #require(mapped.file === chain.layers[mapped.layer].file)
                if index > 0, extents[index - 1].layer == mapped.layer {
                    var pair = [extents[index - 1].extent]
                    pair.appendRun(extent)
                    try #require(pair.count == 2, "runs that go on are not joined")
                }
                if case .file(let offset) = extent.source {
                    result += try mapped.file.bytes(at: offset, count: Int(extent.byteCount))
                } else {
                    result += [UInt8].zeros(Int(extent.byteCount))
                }
                position = extent.end
            }
        }
        return result
    }

    private func bytesByStream(_ chain: ImageChain, _ range: Range<UInt64>) throws -> [UInt8] {
        var result: [UInt8] = []
        try DiskStream(chain).run(range) { offset, bytes in
            try #require(offset == range.lowerBound + UInt64(result.count))
            result += [UInt8](copying: bytes)
        } zeros: { offset, count in
            try #require(offset == range.lowerBound + UInt64(result.count))
            result += [UInt8].zeros(Int(count))
        }
        return result
    }

    @Test(arguments: seeds) func writes(_ seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        for round in 0..<12 {
            let layers = try layers(&random)
            let below = try layers.dropFirst().map { try $0.file.bytes(at: 0, count: Int($0.file.byteCount())) }
            let chain = try ImageChain(leafFirst: layers, writableLeaf: layers[0])
            var model = try expectedContents(layers)
            for step in 0..<40 {
                let range = range(model.count, &random)
                let places = Int(range.lowerBound)..<Int(range.upperBound)
                if Bool.random(using: &random) {
                    let bytes = random.bytes(places.count)
                    try chain.write(bytes, at: range.lowerBound)
                    model.replaceSubrange(places, with: bytes)
                } else {
                    try chain.writeZeroes(range)
                    model.replaceSubrange(places, with: [UInt8].zeros(places.count))
                }
                try #require(
                    try chain.bytes(at: 0, count: model.count) == model,
                    "seed \(seed), round \(round), step \(step): \(range)")
            }
            #expect(try layers.dropFirst().map { try $0.file.bytes(at: 0, count: Int($0.file.byteCount())) } == below)
        }
    }

    /// Zeroing inside one sector, up to its end, across an edge, and nothing.
    @Test(arguments: [
        (100, 200), (0, 1), (511, 512), (511, 513), (100, 1000), (512, 512), (700, 700), (1, 1535), (0, 1536),
    ])
    func smallZeroes(_ start: UInt64, _ end: UInt64) throws {
        var random = SplitMix(seed: 1)
        let base = try RandomLayer(sectors: 3, hasParent: false, using: &random)
        let chain = try ImageChain(leafFirst: [base], writableLeaf: base)
        try chain.write([UInt8](repeating: 0xee, count: 1536), at: 0)
        try chain.writeZeroes(start..<end)
        var expected = [UInt8](repeating: 0xee, count: 1536)
        for place in Int(start)..<Int(end) { expected[place] = 0 }
        #expect(try chain.bytes(at: 0, count: 1536) == expected)
    }

    @Test func bounds() throws {
        var random = SplitMix(seed: 1)
        let base = try RandomLayer(sectors: 3, hasParent: false, using: &random)
        let child = try RandomLayer(sectors: 2, hasParent: true, using: &random)
        let chain = try ImageChain(leafFirst: [child, base], writableLeaf: child)
        let size: UInt64 = 1024
        try diskError(.outOfRange) { _ = try chain.extents(in: size - 1..<size + 1, limit: 9) }
        try diskError(.outOfRange) { _ = try chain.extents(in: size + 512..<size + 513, limit: 9) }
        try diskError(.outOfRange) { _ = try chain.bytes(at: size - 1, count: 2) }
        try diskError(.outOfRange) { _ = try chain.bytes(at: .max, count: 2) }
        try diskError(.outOfRange) { try chain.write([1, 2], at: size - 1) }
        try diskError(.outOfRange) { try chain.write([1, 2], at: .max) }
        try diskError(.outOfRange) { try chain.writeZeroes(0..<size + 1) }
        try diskError(.outOfRange) { try chain.writeZeroes(0..<UInt64.max) }
        #expect(try chain.extents(in: size..<size, limit: 9).isEmpty)
        #expect(try chain.bytes(at: size, count: 0) == [])
        try chain.write([], at: size)
    }

    @Test func visitsEveryExtent() throws {
        var random = SplitMix(seed: 5)
        let base = try RandomLayer(sectors: 20_000, hasParent: false, using: &random)
        let chain = try ImageChain(leafFirst: [base])
        var position: UInt64 = 0
        var count = 0
        try chain.forEachExtent(in: chain.wholeRange) { mapped in
            #expect(mapped.extent.offset == position)
            position = mapped.extent.end
            count += 1
        }
        #expect(position == chain.geometry.virtualByteCount)
        #expect(count > 4096, "more than one call's worth was wanted")
    }
}
