import BlockIO
import ByteCodec

/// Data of small writes on its way into a log, gathered so that the file sees few large writes.
///
/// `@unchecked`: filled only under the writer's lock, and only while nobody writes it out; whoever writes it out has it
/// alone until it is given back under the lock.
final class LogBuffer: @unchecked Sendable {
    /// A piece of the buffer that stands in one run of the file.
    private struct Run {
        var fileOffset: UInt64
        var bytes: Range<Int>
    }

    /// What is between runs are the places of blocks and holes; with more of them than this the buffer counts as full.
    private static let maximumRunCount = 4096

    private let memory: IOBuffer
    private var runs: [Run] = []
    private var usedByteCount = 0

    init(byteCount: Int) { memory = IOBuffer(byteCount: byteCount) }

    var isEmpty: Bool { usedByteCount == 0 }

    func hasRoom(for byteCount: Int) -> Bool {
        byteCount <= memory.byteCount - usedByteCount && runs.count < Self.maximumRunCount
    }

    /// Takes bytes for which there is room.
    func append(_ bytes: RawSpan, at fileOffset: UInt64) {
        let range = usedByteCount..<usedByteCount + bytes.byteCount
        memory.withMutableBytes(range) { $0.copy(bytes, at: 0) }
        usedByteCount = range.upperBound
        if let last = runs.last, last.fileOffset + UInt64(last.bytes.count) == fileOffset {
            runs[runs.count - 1].bytes = last.bytes.lowerBound..<range.upperBound
        } else {
            runs.append(Run(fileOffset: fileOffset, bytes: range))
        }
    }

    func write(to file: any BlockFile) throws(IOError) {
        let memory = self.memory
        for run in runs { try file.write(memory.bytes(run.bytes), at: run.fileOffset) }
    }

    func empty() {
        runs.removeAll(keepingCapacity: true)
        usedByteCount = 0
    }
}
