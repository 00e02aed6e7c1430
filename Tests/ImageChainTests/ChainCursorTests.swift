import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Foundation
import Synchronization
import Testing
import VHD
import VHDX

@testable import ImageChain

/// Deep chains, and what the cursor must not read.
@Suite struct ChainCursorTests {
    /// As deep as it gets, on a thread with little stack.
    @Test func deepestOnASmallStack() throws {
        var random = SplitMix(seed: 7)
        let layers = try (0..<ImageChain.depthLimit).map { level in
            try RandomLayer(sectors: 300, hasParent: level < ImageChain.depthLimit - 1, using: &random)
        }
        // Nearly all of it comes from far below.
        for layer in layers.dropLast() {
            layer.state.withLock { state in
                for index in state.sources.indices where Int.random(in: 0..<60, using: &random) != 0 {
                    state.sources[index] = .parent
                }
            }
        }
        let expected = try expectedContents(layers)
        let result = ThreadResult()
        let done = DispatchSemaphore(value: 0)
        let thread = Thread {
            do {
                let chain = try ImageChain(leafFirst: layers)
                let bytes = try chain.bytes(at: 0, count: expected.count)
                let deepest = try chain.extents(in: chain.wholeRange, limit: .max).map(\.layer).max() ?? 0
                result.state.withLock { $0 = (bytes, deepest, nil) }
            } catch { result.state.withLock { $0.failure = "\(error)" } }
            done.signal()
        }
        thread.stackSize = 512 << 10
        thread.start()
        #expect(done.wait(timeout: .now() + 60) == .success)
        result.state.withLock {
            #expect($0.failure == nil)
            #expect($0.bytes == expected)
            #expect($0.deepest == ImageChain.depthLimit - 1)
        }
    }

    /// A table that is damaged where a layer above hides it does not keep anybody from reading.
    @Test func hiddenDamage() throws {
        var random = SplitMix(seed: 3)
        let leaf = try RandomLayer(sectors: 100, hasParent: true, using: &random)
        let below = try RandomLayer(sectors: 100, hasParent: false, using: &random)
        leaf.state.withLock { state in
            for index in 0..<100 { state.sources[index] = index < 10 || index == 50 ? .parent : .zero }
        }
        let spoiled = SpoiledLayer(below, from: 20 * 512)
        let chain = try ImageChain(leafFirst: [leaf, spoiled])
        let expected = try expectedContents([leaf, below])
        #expect(try chain.bytes(at: 0, count: 50 * 512) == Array(expected[..<(50 * 512)]))
        #expect(try chain.extents(in: 0..<50 * 512, limit: 1000).last?.extent.end == 50 * 512)
        // Sector 50 is nobody else's.
        try diskError(.format) { _ = try chain.bytes(at: 0, count: 100 * 512) }
        try diskError(.format) { _ = try chain.extents(in: 49 * 512..<51 * 512, limit: 9) }
    }

    /// Layers in which a disk is spread are not asked once a piece.
    @Test func asksRarely() throws {
        var random = SplitMix(seed: 9)
        let layers = try (0..<4).map { level in
            let layer = try RandomLayer(sectors: 4000, hasParent: level < 3, using: &random)
            layer.state.withLock { state in
                for index in state.sources.indices {
                    state.sources[index] = index % 4 == level ? .zero : level < 3 ? .parent : .hole
                }
            }
            return SpoiledLayer(layer, from: .max)
        }
        let chain = try ImageChain(leafFirst: layers)
        var count = 0
        try chain.forEachExtent(in: chain.wholeRange) { _ in count += 1 }
        #expect(count == 4000)
        #expect(layers.map(\.askedCount).reduce(0, +) < 500)
    }

    /// All layers together keep what the budget allows, and one alone what it always did.
    @Test func sharesOfTheCache() throws {
        for (count, share) in [(1, 24 << 20), (4, 6 << 20), (256, 98304)] {
            var random = SplitMix(seed: 1)
            let layers = try (0..<count).map { level in
                SpoiledLayer(
                    try RandomLayer(sectors: 1, hasParent: level < count - 1, using: &random), from: .max)
            }
            _ = try ImageChain(leafFirst: layers)
            #expect(layers.allSatisfy { $0.cacheLimit == share })
        }
    }
}

/// What came of a thread.
private final class ThreadResult: Sendable {
    let state = Mutex<(bytes: [UInt8], deepest: Int, failure: String?)>(([], 0, nil))
}

/// Another layer that cannot tell where bytes past a place are; counts what it is asked.
final class SpoiledLayer: DiskLayer {
    private let layer: any DiskLayer
    private let start: UInt64
    private let counts = Mutex((asked: 0, cacheLimit: 0))

    init(_ layer: any DiskLayer, from start: UInt64) { (self.layer, self.start) = (layer, start) }

    var file: any BlockFile { layer.file }
    var format: ImageFormat { layer.format }
    var type: ImageType { layer.type }
    var geometry: DiskGeometry { layer.geometry }
    var identity: DiskIdentity { layer.identity }
    var parentLink: ParentLink? { layer.parentLink }
    var findings: [Finding] { layer.findings }
    var hasReplayedLog: Bool { layer.hasReplayedLog }
    var askedCount: Int { counts.withLock { $0.asked } }
    var cacheLimit: Int { counts.withLock { $0.cacheLimit } }

    func limitCache(to byteCount: Int) { counts.withLock { $0.cacheLimit = byteCount } }

    func extents(in range: Range<UInt64>, limit: Int) throws(DiskError) -> [Extent] {
        counts.withLock { $0.asked += 1 }
        guard range.upperBound <= start else {
            throw DiskError(
                FormatError(FormatError.Code("TEST001"), field: "entry", offset: 0, "is damaged", section: ""),
                path: file.path)
        }
        return try layer.extents(in: range, limit: limit)
    }
}
