import BlockIO
import ByteCodec
import DiskModel
import Dispatch

/// Goes through a disk once, in order, by chunks that several threads read and hash ahead. Holes are passed over in one
/// step however long they are. Memory: `jobCount` chunks.
struct ChunkScan {
    private static let jobCount = 4

    private let disk: any VirtualDisk
    private let queue = DispatchQueue(label: "chunks", attributes: .concurrent)
    private let jobs = (0..<jobCount).map { _ in ChunkJob() }

    init(_ disk: any VirtualDisk) { self.disk = disk }

    /// Visits every chunk from `start`, a chunk's beginning, that stores anything; those of zeros have no digest.
    func run(from start: UInt64, _ body: (ChunkJob) throws -> Void) throws {
        var flow = Flow(jobs: jobs, queue: queue)
        // Nothing may still write into the buffers when this returns.
        defer { flow.abandon() }
        let size = disk.geometry.virtualByteCount
        var position = start
        while position < size {
            let extents = try disk.extents(in: position..<size, limit: 1024)
            for mapped in extents {
                if case .file = mapped.extent.source { try flow.take(mapped, size, body) }
            }
            position = extents[extents.count - 1].extent.end
        }
        try flow.finish(body)
    }

    /// A ring of jobs: the oldest is used before its place is taken again.
    private struct Flow {
        let jobs: [ChunkJob]
        let queue: DispatchQueue
        var next = 0
        var running = 0
        /// The chunk being put together, in `jobs[next]`.
        var open: UInt64?

        mutating func take(_ mapped: MappedExtent, _ size: UInt64, _ body: (ChunkJob) throws -> Void) throws {
            var rest = mapped
            while rest.extent.byteCount > 0 {
                let index = rest.extent.offset / ChunkGeometry.chunkByteCount
                let end = (index + 1) * ChunkGeometry.chunkByteCount
                var piece = rest
                piece.extent.byteCount = min(rest.extent.byteCount, end - rest.extent.offset)
                if open != index {
                    try begin()
                    if running == jobs.count { try useOldest(body) }
                    jobs[next].set(index, diskByteCount: size)
                    open = index
                }
                jobs[next].add(piece)
                rest.extent.offset += piece.extent.byteCount
                rest.extent.byteCount -= piece.extent.byteCount
                if case .file(let offset) = rest.extent.source {
                    rest.extent.source = .file(offset: offset + piece.extent.byteCount)
                }
            }
        }

        private mutating func begin() throws {
            guard open != nil else { return }
            jobs[next].start(on: queue)
            (next, running, open) = ((next + 1) % jobs.count, running + 1, nil)
        }

        private mutating func useOldest(_ body: (ChunkJob) throws -> Void) throws {
            let oldest = jobs[(next + jobs.count - running) % jobs.count]
            running -= 1
            try oldest.wait()
            try body(oldest)
        }

        mutating func finish(_ body: (ChunkJob) throws -> Void) throws {
            try begin()
            while running > 0 { try useOldest(body) }
        }

        mutating func abandon() {
            while running > 0 {
                try? jobs[(next + jobs.count - running) % jobs.count].wait()
                running -= 1
            }
        }
    }
}
