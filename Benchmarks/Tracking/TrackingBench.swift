import BlockIO
import ByteCodec
import ChangeLog
import DiskModel
import Dispatch
import Glibc
import ImageChain
import RawDisk
import Synchronization
import VHDX

/// Measures what tracking costs a disk's writes, and how long a log switch holds them.
///
/// Usage: tracking-bench FOLDER [MIB [ROUNDS]]
///
/// Writes all of an image of MIB MiB (256), whose space is there already or not, in pieces of 4 KiB in a scattered order and
/// of 1 MiB in order, flushing every second; ROUNDS times (5) without tracking and with it, in turn. Prints medians. FOLDER
/// needs three times the space; what is written there is removed.
@main struct TrackingBench {
    static func main() throws {
        let arguments = CommandLine.arguments
        guard arguments.count >= 2 else {
            print("usage: tracking-bench FOLDER [MIB [ROUNDS]]")
            exit(2)
        }
        let byteCount = (arguments.count > 2 ? UInt64(arguments[2]) ?? 256 : 256) << 20
        let rounds = arguments.count > 3 ? Int(arguments[3]) ?? 5 : 5
        let bench = Bench(folder: arguments[1], byteCount: max(byteCount, 4 << 20))
        print("| image | piece | plain, MiB/s | tracked, MiB/s | tracked / plain | wanted |")
        print("|---|---|---|---|---|---|")
        for format in [ImageFormat.raw, .vhdx] {
            for isNew in [false, true] {
                for (pieceByteCount, wanted) in [(4 << 10, 0.75), (1 << 20, 0.45)] {
                    try bench.compare(format, isNew: isNew, pieceByteCount, rounds: rounds, wanted: wanted)
                }
            }
        }
        try bench.measureSwitches()
    }
}

private struct Bench {
    let folder: String
    let byteCount: UInt64

    var imagePath: String { folder + "/tracking-bench.img" }

    func compare(
        _ format: ImageFormat, isNew: Bool, _ pieceByteCount: Int, rounds: Int, wanted: Double
    ) throws {
        defer { clean() }
        var (plain, tracked): ([Double], [Double]) = ([], [])
        for _ in 0..<rounds {
            if isNew || plain.isEmpty { try makeImage(format, isNew: isNew) }
            plain.append(try plainRate(format, pieceByteCount))
            if isNew { try makeImage(format, isNew: true) }
            tracked.append(try trackedRate(format, pieceByteCount))
            removeLogs()
        }
        let (a, b) = (median(plain), median(tracked))
        print(
            "| \(format), \(isNew ? "new" : "written before") | \(pieceByteCount >> 10) KiB | \(round(a)) | \(round(b)) | \(round(b / a)) | \(wanted) |"
        )
    }

    // Each in a function of its own: the files are let go of at its end, and the lock on the image with them.

    private func plainRate(_ format: ImageFormat, _ pieceByteCount: Int) throws -> Double {
        let disk = try open(format)
        let rate = try rate(of: disk, pieceByteCount)
        try disk.close()
        return rate
    }

    private func trackedRate(_ format: ImageFormat, _ pieceByteCount: Int) throws -> Double {
        let parts = TrackedDisk.Parts(try open(format), in: HostFolder(folder), imageName: "tracking-bench.img")
        let disk = try TrackedDisk.open(parts)
        let rate = try rate(of: disk, pieceByteCount)
        try disk.close()
        return rate
    }

    private func round(_ value: Double) -> String {
        let hundredths = Int((value * 100).rounded())
        return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
    }

    private func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

    /// MiB a second of writing the whole disk, flushes included.
    private func rate(of disk: any VirtualDisk, _ pieceByteCount: Int) throws -> Double {
        let piece = [UInt8](repeating: 0x5a, count: pieceByteCount)
        let count = byteCount / UInt64(pieceByteCount)
        // A step that shares no factor with the number of pieces meets each once.
        let step: UInt64 = pieceByteCount < 1 << 20 ? 40_503 : 1
        let started = ContinuousClock.now
        var flushed = started
        var index: UInt64 = 0
        for number in 0..<count {
            try disk.write(piece.rawBytes, at: index * UInt64(pieceByteCount))
            index = (index + step) % count
            guard number % 256 == 0 || pieceByteCount >= 1 << 20 else { continue }
            let now = ContinuousClock.now
            if flushed.duration(to: now) >= .seconds(1) {
                try disk.flush()
                flushed = now
            }
        }
        try disk.flush()
        return Double(byteCount >> 20) / (started.duration(to: .now) / .seconds(1))
    }

    /// Two threads write 4 KiB each to its own disk of a group, while logs are switched ten times a second.
    func measureSwitches() throws {
        var disks: [TrackedDisk] = []
        for index in 0..<2 {
            let name = "tracking-bench.img.\(index)"
            let file = try PosixFile("\(folder)/\(name)", .create)
            try file.resize(to: byteCount / 2)
            let layer = try RawLayer(file)
            let chain = try ImageChain(leafFirst: [layer], writableLeaf: layer)
            disks.append(try TrackedDisk.open(TrackedDisk.Parts(chain, in: HostFolder(folder), imageName: name)))
        }
        defer { clean() }
        let group = try TrackedGroup("tracking-bench.img", disks, records: HostFolder(folder))
        let writers = disks.map { Writer($0, pieceCount: byteCount / 2 / 4096) }
        for writer in writers { writer.start() }
        var holds: [Double] = []
        for cycle in 1...UInt64(20) {
            usleep(100_000)
            holds.append(try group.switchLogs(cycle: cycle).holdDuration / .milliseconds(1))
        }
        let writeCount = writers.map { $0.stop() }.reduce(0, +)
        try group.close()
        print(
            "log switches of 2 disks under \(writeCount) writes of 4 KiB: writers held "
                + "\(round(median(holds))) ms (median), \(round(holds.max() ?? 0)) ms (most)")
    }

    // MARK: Image

    private func makeImage(_ format: ImageFormat, isNew: Bool) throws {
        clean()
        try create(format)
        if !isNew { try fill(format) }
    }

    private func create(_ format: ImageFormat) throws {
        let file = try PosixFile(imagePath, .create)
        if format == .raw {
            try file.resize(to: byteCount)
        } else {
            try NewImage(format: format, type: .dynamic, virtualByteCount: byteCount, created: 0).create(on: file)
        }
        try file.sync()
    }

    private func fill(_ format: ImageFormat) throws {
        let disk = try open(format)
        let piece = [UInt8](repeating: 0x5a, count: 1 << 20)
        for offset in stride(from: 0, to: byteCount, by: 1 << 20) { try disk.write(piece, at: offset) }
        try disk.close()
    }

    private func open(_ format: ImageFormat) throws -> ImageChain {
        let file = try PosixFile(imagePath, .write)
        let layer: any WritableDiskLayer = format == .raw ? try RawLayer(file) : try VHDXLayer(writing: file)
        return try ImageChain(leafFirst: [layer], writableLeaf: layer)
    }

    private func removeLogs() {
        let logs = HostFolder(folder)
        for name in (try? logs.names()) ?? [] where name.hasPrefix("tracking-bench.img.") { try? logs.remove(name) }
    }

    private func clean() {
        removeLogs()
        _ = unsafe unlink(imagePath)
    }
}

/// A thread that writes until it is told to stop.
private final class Writer: Sendable {
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
