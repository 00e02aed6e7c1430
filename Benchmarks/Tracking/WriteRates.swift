import ByteCodec
import ChangeLog
import DiskModel
import Glibc
import ImageChain

/// Rates of a disk's writes without tracking and with it.
struct WriteRates {
    private let folder: WorkFolder
    private let byteCount: UInt64
    private let rounds: Int

    /// One writing of the whole disk.
    private struct Rate {
        /// Flushes included.
        var mebibytesPerSecond: Double
        /// CPU time of the thread that writes, and of all threads: on a busy machine these say more.
        var threadNanoseconds: Double
        var processNanoseconds: Double
    }

    init(_ folder: WorkFolder, _ byteCount: UInt64, rounds: Int) {
        (self.folder, self.byteCount, self.rounds) = (folder, byteCount, rounds)
    }

    func run(small: Bool, large: Bool) throws {
        guard small || large else { return }
        print(
            "| image | piece | plain, MiB/s | tracked, MiB/s | tracked / plain | wanted | "
                + "CPU a piece, µs: plain, tracked: writer, all |")
        print("|---|---|---|---|---|---|---|")
        for format in [ImageFormat.raw, .vhdx] {
            for isNew in [false, true] {
                for (pieceByteCount, wanted) in [(4 << 10, 0.75), (1 << 20, 0.45)]
                where pieceByteCount == 4 << 10 ? small : large {
                    try compare(format, isNew: isNew, pieceByteCount, wanted: wanted)
                }
            }
        }
    }

    private func compare(_ format: ImageFormat, isNew: Bool, _ pieceByteCount: Int, wanted: Double) throws {
        defer { folder.clean() }
        let image = BenchImage(path: folder.imagePath, format: format, byteCount: byteCount)
        var (plain, tracked): ([Rate], [Rate]) = ([], [])
        for _ in 0..<rounds {
            if isNew || plain.isEmpty { try makeImage(image, isNew: isNew) }
            plain.append(try plainRate(image, pieceByteCount))
            if isNew { try makeImage(image, isNew: true) }
            tracked.append(try trackedRate(image, pieceByteCount))
            folder.removeLogs()
        }
        func middle(_ rates: [Rate], _ field: (Rate) -> Double) -> Double { median(rates.map(field)) }
        let (a, b) = (middle(plain) { $0.mebibytesPerSecond }, middle(tracked) { $0.mebibytesPerSecond })
        let microseconds = [
            middle(plain) { $0.threadNanoseconds }, middle(tracked) { $0.threadNanoseconds },
            middle(tracked) { $0.processNanoseconds },
        ].map { rounded($0 / 1000 * Double(pieceByteCount) / Double(byteCount)) }
        print(
            "| \(format), \(isNew ? "new" : "written before") | \(pieceByteCount >> 10) KiB | \(Int(a)) | \(Int(b)) | "
                + "\(rounded(b / a)) | \(wanted) | \(microseconds[0]), \(microseconds[1]), \(microseconds[2]) |")
    }

    private func makeImage(_ image: BenchImage, isNew: Bool) throws {
        folder.clean()
        try image.create()
        if !isNew { try image.fill() }
    }

    // Each in a function of its own: the files are let go of at its end, and the lock on the image with them.

    private func plainRate(_ image: BenchImage, _ pieceByteCount: Int) throws -> Rate {
        let disk = try image.open()
        let rate = try rate(of: disk, pieceByteCount)
        try disk.close()
        return rate
    }

    private func trackedRate(_ image: BenchImage, _ pieceByteCount: Int) throws -> Rate {
        let parts = TrackedDisk.Parts(try image.open(), in: folder.logs, imageName: folder.imageName)
        let disk = try TrackedDisk.open(parts)
        let rate = try rate(of: disk, pieceByteCount)
        try disk.close()
        return rate
    }

    private func rate(of disk: any VirtualDisk, _ pieceByteCount: Int) throws -> Rate {
        let (thread, process) = (nanoseconds(CLOCK_THREAD_CPUTIME_ID), nanoseconds(CLOCK_PROCESS_CPUTIME_ID))
        let started = ContinuousClock.now
        try write(disk, pieceByteCount)
        return Rate(
            mebibytesPerSecond: Double(byteCount >> 20) / (started.duration(to: .now) / .seconds(1)),
            threadNanoseconds: nanoseconds(CLOCK_THREAD_CPUTIME_ID) - thread,
            processNanoseconds: nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - process)
    }

    private func write(_ disk: any VirtualDisk, _ pieceByteCount: Int) throws {
        let piece = [UInt8](repeating: 0x5a, count: pieceByteCount)
        let count = byteCount / UInt64(pieceByteCount)
        // A step that shares no factor with the number of pieces meets each once.
        let step: UInt64 = pieceByteCount < 1 << 20 ? 40_503 : 1
        var flushed = ContinuousClock.now
        var index: UInt64 = 0
        for number in 0..<count {
            try disk.write(piece.rawBytes, at: index * UInt64(pieceByteCount))
            index = (index + step) % count
            guard number % 256 == 0 || pieceByteCount >= 1 << 20 else { continue }
            try Interruption.check()
            let now = ContinuousClock.now
            if flushed.duration(to: now) >= .seconds(1) {
                try disk.flush()
                flushed = now
            }
        }
        try disk.flush()
    }

    private func nanoseconds(_ clock: clockid_t) -> Double {
        var time = timespec()
        _ = unsafe clock_gettime(clock, &time)
        return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
    }
}
