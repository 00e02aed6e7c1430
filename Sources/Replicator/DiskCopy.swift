import BlockIO
import ByteCodec
import DiskModel
import Glibc

/// Copies a disk into a sink, hashing on the way.
struct DiskCopy {
    private let disk: any VirtualDisk
    private let sink: any CopySink
    private let surroundings: Surroundings

    init(_ disk: any VirtualDisk, _ sink: any CopySink, _ surroundings: Surroundings) {
        (self.disk, self.sink, self.surroundings) = (disk, sink, surroundings)
    }

    /// - Parameter marked: told after each mark: all below so many bytes is durable, and how many were written since.
    func run(name: String, _ marked: (UInt64, UInt64) throws -> Void) throws {
        let size = disk.geometry.virtualByteCount
        let watcher = surroundings.watcher
        watcher.begin("\(name): copying", size)
        watcher.advance(sink.start)
        var digests: [ChunkDigest] = []
        var written: UInt64 = 0
        var last = Self.seconds()
        func mark(_ byte: UInt64) throws {
            try sink.mark(digests, durable: byte)
            try marked(byte, written)
            digests.removeAll(keepingCapacity: true)
            (written, last) = (0, Self.seconds())
        }
        try ChunkScan(disk).run(from: sink.start) { job in
            if let digest = job.digest {
                let buffer = job.buffer
                for run in job.runs {
                    try sink.write(buffer.bytes(run), at: job.offset + UInt64(run.lowerBound))
                    written += UInt64(run.count)
                }
                digests.append(ChunkDigest(index: job.index, digest: digest))
            }
            watcher.advance(job.end)
            if written >= surroundings.markByteCount || Self.seconds() - last >= surroundings.markSeconds {
                try mark(job.end)
            }
        }
        try mark(size)
        try sink.finish()
        watcher.advance(size)
    }

    private static func seconds() -> Double {
        var time = timespec()
        _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
