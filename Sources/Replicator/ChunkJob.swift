import BlockIO
import ByteCodec
import Digest
import DiskModel
import Dispatch

/// How a disk is divided for copying and hashing.
///
/// The digest of a chunk is the SHA-256 of its units that hold anything but zeros, each preceded by its number in the
/// chunk (8 bytes, little-endian). A chunk of zeros has none. So holes cost nothing, and the digest depends on the
/// contents only, not on how an image stores them.
enum ChunkGeometry {
    static let chunkByteCount: UInt64 = 4 << 20
    static let unitByteCount = 64 << 10
    /// The grain in which zeros are left out of a copy.
    static let pageByteCount = 4096
}

/// One chunk on its way: read and hashed on another thread, then used by the one that asked.
///
/// `@unchecked`: fields are set before `start`, touched by the worker until `done` is signalled, and by the asker after.
final class ChunkJob: @unchecked Sendable {
    /// The chunk's bytes; valid in units that `runs` lie in.
    private(set) lazy var buffer = IOBuffer(byteCount: Int(ChunkGeometry.chunkByteCount))
    private let hash = Digest(.sha256)
    private let done = DispatchSemaphore(value: 0)

    private(set) var index: UInt64 = 0
    private(set) var byteCount = 0
    private var pieces: [MappedExtent] = []
    private(set) var failure: (any Error)?
    /// Nil for a chunk of zeros.
    private(set) var digest: [UInt8]?
    /// Parts of the chunk that hold anything but zeros, in order, in whole pages.
    private(set) var runs: [Range<Int>] = []

    /// Where the chunk begins on the disk.
    var offset: UInt64 { index * ChunkGeometry.chunkByteCount }
    var end: UInt64 { offset + UInt64(byteCount) }

    /// Begins a chunk of a disk.
    func set(_ index: UInt64, diskByteCount: UInt64) {
        self.index = index
        byteCount = Int(min(ChunkGeometry.chunkByteCount, diskByteCount - index * ChunkGeometry.chunkByteCount))
        pieces.removeAll(keepingCapacity: true)
    }

    /// Adds a run of stored bytes that lies in the chunk.
    func add(_ piece: MappedExtent) { pieces.append(piece) }

    func start(on queue: DispatchQueue) {
        queue.async {
            do { try self.work() } catch { self.failure = error }
            self.done.signal()
        }
    }

    /// - Throws: what reading threw.
    func wait() throws {
        done.wait()
        // The worker may hold this job a moment longer. It must not hold the files: their locks go with them, and another
        // part of the run may want to write next.
        pieces.removeAll(keepingCapacity: true)
        if let failure { throw failure }
    }

    private func work() throws {
        (failure, digest) = (nil, nil)
        runs.removeAll(keepingCapacity: true)
        // One bit a unit that may hold anything: 64 units a chunk.
        var touched: UInt64 = 0
        var position = 0
        for piece in pieces {
            guard case .file(let fileOffset) = piece.extent.source else { continue }
            let start = Int(piece.extent.offset - offset)
            let end = start + Int(piece.extent.byteCount)
            clear(position..<start)
            do {
                try buffer.withMutableBytes(start..<end) { (bytes) throws(IOError) in
                    try piece.file.read(into: &bytes, at: fileOffset)
                }
            } catch { throw DiskError(error, doing: "reading the disk at \(piece.extent.offset)") }
            for unit in start / ChunkGeometry.unitByteCount...(end - 1) / ChunkGeometry.unitByteCount {
                touched |= 1 << UInt64(unit)
            }
            position = end
        }
        clear(position..<byteCount)
        hashUnits(touched)
    }

    private func clear(_ range: Range<Int>) {
        guard !range.isEmpty else { return }
        buffer.withMutableBytes(range) { $0.zero(0..<$0.byteCount) }
    }

    private func hashUnits(_ touched: UInt64) {
        let buffer = self.buffer
        var isZeroChunk = true
        for unit in 0..<64 where touched & (1 << UInt64(unit)) != 0 {
            let start = unit * ChunkGeometry.unitByteCount
            let range = start..<min(start + ChunkGeometry.unitByteCount, byteCount)
            guard !isZero(buffer.bytes(range)) else { continue }
            isZeroChunk = false
            var number = [UInt8].zeros(8)
            var raw = number.mutableRawBytes
            raw.store(UInt64(unit), at: 0, .little)
            hash.update(number.rawBytes)
            hash.update(buffer.bytes(range))
            findRuns(range)
        }
        if !isZeroChunk { digest = hash.finish() }
    }

    private func findRuns(_ unit: Range<Int>) {
        let buffer = self.buffer
        forEachNonzeroRun(in: buffer.bytes(unit), granularity: ChunkGeometry.pageByteCount) { part in
            let run = unit.lowerBound + part.lowerBound..<unit.lowerBound + part.upperBound
            if let last = runs.last, last.upperBound == run.lowerBound {
                runs[runs.count - 1] = last.lowerBound..<run.upperBound
            } else {
                runs.append(run)
            }
        }
    }
}
