import BlockIO
import ByteCodec
import ChangeLog
import Dispatch
import DiskModel
import ImageChain
import RawDisk
import Synchronization

/// What scattered first writes cost where a dirty map has to be durable before each.
struct FirstWrites {
    /// 64 GiB in 2^20 regions of 64 KiB; sparse.
    private static let diskByteCount: UInt64 = 64 << 30
    private static let writeCount = 2048

    private let folder: WorkFolder
    private let rounds: Int

    init(_ folder: WorkFolder, rounds: Int) { (self.folder, self.rounds) = (folder, rounds) }

    func run() throws {
        print(
            "| first writes of 4 KiB, scattered over | threads | map flushes a write | µs a write | marked / written |")
        print("|---|---|---|---|---|")
        for (name, spread) in [("1 GiB", UInt64(1) << 30), ("64 GiB", Self.diskByteCount)] {
            for threadCount in [1, 8] { try measure(name, spread, threadCount) }
        }
    }

    private func measure(_ name: String, _ spread: UInt64, _ threadCount: Int) throws {
        var (times, flushes, marked): ([Double], [Double], [Double]) = ([], [], [])
        for _ in 0..<rounds {
            try Interruption.check()
            defer { folder.clean() }
            let (disk, map, file) = try makeDisk()
            let before = file.syncCount
            let started = ContinuousClock.now
            write(disk, spread, threadCount)
            times.append(started.duration(to: .now) / .microseconds(1) / Double(Self.writeCount))
            flushes.append(Double(file.syncCount - before) / Double(Self.writeCount))
            marked.append(Double(map.dirtyByteCount) / Double(Self.writeCount * 4096))
            try disk.close()
        }
        print(
            "| \(name) | \(threadCount) | \(rounded(median(flushes))) | \(rounded(median(times))) | "
                + "\(rounded(median(marked))) |")
    }

    private func makeDisk() throws -> (TrackedDisk, DirtyMap, CountedFile) {
        let image = try PosixFile(folder.imagePath, .create)
        try image.resize(to: Self.diskByteCount)
        let layer = try RawLayer(image)
        let chain = try ImageChain(leafFirst: [layer], writableLeaf: layer)
        let file = CountedFile(try PosixFile(DirtyMap.path(ofImage: folder.imagePath), .create))
        let map = try DirtyMap.create(on: file, virtualByteCount: Self.diskByteCount)
        var parts = TrackedDisk.Parts(chain, in: folder.logs, imageName: folder.imageName)
        parts.map = map
        return (try TrackedDisk.open(parts), map, file)
    }

    /// Each region of the spread at most once, by steps that share no factor with their number.
    private func write(_ disk: TrackedDisk, _ spread: UInt64, _ threadCount: Int) {
        let regionCount = spread >> 16
        let group = DispatchGroup()
        for thread in 0..<threadCount {
            // A queue of its own each, so that there are as many threads as asked for, however few the processors.
            DispatchQueue(label: "writer \(thread)").async(group: group) {
                let piece = [UInt8](repeating: 0x5a, count: 4096)
                for number in stride(from: thread, to: Self.writeCount, by: threadCount) where !Interruption.hasCome {
                    let region = UInt64(number) * 611_953 % regionCount
                    do { try disk.write(piece.rawBytes, at: region << 16) } catch { return print("\(error)") }
                }
            }
        }
        group.wait()
    }
}

/// Counts flushes of a file.
private final class CountedFile: BlockFile {
    private let file: any BlockFile
    private let count = Atomic(0)
    var syncCount: Int { count.load(ordering: .relaxed) }

    init(_ file: any BlockFile) { self.file = file }

    var path: String { file.path }
    func byteCount() throws(IOError) -> UInt64 { try file.byteCount() }
    func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        try file.read(into: &buffer, at: offset)
    }
    func write(_ bytes: RawSpan, at offset: UInt64) throws(IOError) { try file.write(bytes, at: offset) }
    func resize(to byteCount: UInt64) throws(IOError) { try file.resize(to: byteCount) }
    func zero(_ range: Range<UInt64>) throws(IOError) { try file.zero(range) }
    func sync() throws(IOError) {
        count.add(1, ordering: .relaxed)
        try file.sync()
    }
}
