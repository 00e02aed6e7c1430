import BlockIO
import ByteCodec
import DiskModel
import Dispatch
import FaultInjection
import Synchronization
import Testing
import ToolTesting

@testable import ImageChain

/// A chain is read while it is merged.
@Suite struct LiveMergeTests {
    /// What readers saw.
    private final class Watch: Sendable {
        struct Seen: Sendable {
            var rounds = 0
            var wrong: [String] = []
            /// Depths of the chain that rounds began and ended with.
            var depths: Set<Int> = []
        }
        let seen = Mutex(Seen())
        let isOver = Atomic<Bool>(false)

        /// Returns when readers have been there so many times more, at most ten seconds later.
        func wait(forReads count: Int) {
            let start = seen.withLock { $0.rounds }
            for _ in 0..<10_000 where seen.withLock({ $0.rounds }) < start + count {
                _ = DispatchSemaphore(value: 0).wait(timeout: .now() + .milliseconds(1))
            }
        }
    }

    private func path(_ name: String, _ scratch: Scratch, _ format: ImageFormat) -> String {
        scratch.path("\(name).\(format == .vhd ? "vhd" : "vhdx")")
    }

    /// A base and three children of 6 MiB, each with runs and zeros of its own.
    private func chain(_ format: ImageFormat, _ scratch: Scratch, _ random: inout SplitMix) throws -> [String] {
        let size: UInt64 = 6 << 20
        let paths = ["base", "one", "two", "three"].map { path($0, scratch, format) }
        let base = NewImage(format: format, type: .dynamic, virtualByteCount: size, created: 1_700_000_000)
        try base.create(on: try PosixFile(paths[0], .create))
        for (index, path) in paths.enumerated() {
            if index > 0 {
                let snapshot = try Snapshot(of: paths[index - 1], as: path)
                try snapshot.create(on: try PosixFile(path, .create), created: 1_700_000_000)
            }
            let disk = try ImageChain.open(writing: path)
            for _ in 0..<30 {
                let start = UInt64.random(in: 0..<size - 70_000, using: &random)
                try disk.write(random.bytes(Int.random(in: 1...65536, using: &random)), at: start)
            }
            try disk.writeZeroes(size / 2..<size / 2 + 300_000)
            try disk.close()
        }
        return paths
    }

    @Test(arguments: [ImageFormat.vhd, .vhdx], [false, true])
    func readersSeeTheSame(_ format: ImageFormat, keeps: Bool) throws {
        var random = SplitMix(seed: 21)
        let scratch = try Scratch(inMemory: true)
        let paths = try chain(format, scratch, &random)
        let whole = try ImageChain.open(paths[3])
        let expected = try whole.bytes(at: 0, count: Int(whole.geometry.virtualByteCount))
        let merge = try Merge(paths[3], into: paths[0], plansOnly: false)
        let disk = merge.disk
        let watch = Watch()
        let readers = DispatchGroup()
        for number in 0..<3 {
            DispatchQueue.global().async(group: readers) { Self.read(disk, expected, watch, seed: UInt64(number)) }
        }
        // Readers come by between any two pieces, and after the end.
        try merge.perform(keepsFiles: keeps) { _, _ in watch.wait(forReads: 2) }
        watch.wait(forReads: 8)
        watch.isOver.store(true, ordering: .relaxed)
        readers.wait()
        let seen = watch.seen.withLock { $0 }
        #expect(seen.wrong.isEmpty, "\(seen.wrong.prefix(3))")
        #expect(seen.rounds > 20)
        #expect(seen.depths.contains(4) && seen.depths.contains(1), "\(seen.depths)")
        #expect(disk.layers.count == 1)
        let after = try ImageChain.open(paths[0]).bytes(at: 0, count: expected.count)
        #expect(after == expected)
        print("merge under readers, \(format)\(keeps ? ", kept" : ""): \(seen.rounds) reads, 0 wrong")
    }

    private static func read(_ disk: LiveDisk, _ expected: [UInt8], _ watch: Watch, seed: UInt64) {
        var random = SplitMix(seed: seed)
        while !watch.isOver.load(ordering: .relaxed) {
            let start = Int.random(in: 0..<expected.count - 1, using: &random)
            let count = Int.random(in: 1...min(200_000, expected.count - start), using: &random)
            let depth = disk.layers.count
            let found = try? disk.bytes(at: UInt64(start), count: count)
            let isRight = found == Array(expected[start..<start + count])
            watch.seen.withLock { seen in
                seen.rounds += 1
                seen.depths.insert(depth)
                if !isRight { seen.wrong.append("\(start)+\(count), \(depth) layers") }
            }
        }
    }
}
