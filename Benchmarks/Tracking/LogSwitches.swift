import BlockIO
import ByteCodec
import ChangeLog
import Dispatch
import DiskModel
import Glibc
import ImageChain
import RawDisk
import Synchronization

/// How long log switches hold writers: two threads write 4 KiB each to its own disk of a group, while logs are switched
/// ten times a second.
struct LogSwitches {
    private let folder: WorkFolder
    private let byteCount: UInt64

    init(_ folder: WorkFolder, _ byteCount: UInt64) { (self.folder, self.byteCount) = (folder, byteCount) }

    func run() throws {
        defer { folder.clean() }
        let disks = try (0..<2).map { try makeDisk("\(folder.imageName).\($0)") }
        let group = try TrackedGroup(folder.imageName, disks, records: folder.logs)
        let writers = disks.map { DiskWriter($0, pieceCount: byteCount / 2 / 4096) }
        for writer in writers { writer.start() }
        var holds: [Double] = []
        for cycle in 1...UInt64(20) where !Interruption.hasCome {
            usleep(100_000)
            holds.append(try group.switchLogs(cycle: cycle).holdDuration / .milliseconds(1))
            // Two threads that write without pause would fill the folder.
            removeClosedLogs(disks)
        }
        let writeCount = writers.map { $0.stop() }.reduce(0, +)
        try group.close()
        try Interruption.check()
        print(
            "log switches of 2 disks under \(writeCount) writes of 4 KiB: writers held "
                + "\(rounded(median(holds))) ms (median), \(rounded(holds.max() ?? 0)) ms (most)")
    }

    private func makeDisk(_ name: String) throws -> TrackedDisk {
        let file = try PosixFile("\(folder.path)/\(name)", .create)
        try file.resize(to: byteCount / 2)
        let layer = try RawLayer(file)
        let chain = try ImageChain(leafFirst: [layer], writableLeaf: layer)
        return try TrackedDisk.open(TrackedDisk.Parts(chain, in: folder.logs, imageName: name))
    }

    private func removeClosedLogs(_ disks: [TrackedDisk]) {
        let kept = Set(disks.flatMap { [$0.imageName, $0.imageName + ".hrl", $0.imageName + ".hrl.new"] })
        for name in (try? folder.logs.names()) ?? [] where name.hasSuffix(".hrl") && !kept.contains(name) {
            try? folder.logs.remove(name)
        }
    }
}

/// A thread that writes until it is told to stop.
private final class DiskWriter: Sendable {
    private let disk: TrackedDisk
    private let pieceCount: UInt64
    private let isDone = Atomic(false)
    private let writeCount = Atomic(0)
    private let ended = DispatchSemaphore(value: 0)

    init(_ disk: TrackedDisk, pieceCount: UInt64) { (self.disk, self.pieceCount) = (disk, pieceCount) }

    func start() { DispatchQueue(label: "writer").async { self.run() } }

    private func run() {
        defer { ended.signal() }
        let piece = [UInt8](repeating: 0x5a, count: 4096)
        var index: UInt64 = 0
        while !isDone.load(ordering: .relaxed) {
            do { try disk.write(piece.rawBytes, at: index * 4096) } catch { return print("\(error)") }
            index = (index + 40_503) % pieceCount
            writeCount.add(1, ordering: .relaxed)
        }
    }

    /// - Returns: how many writes it was.
    func stop() -> Int {
        isDone.store(true, ordering: .relaxed)
        ended.wait()
        return writeCount.load(ordering: .relaxed)
    }
}
