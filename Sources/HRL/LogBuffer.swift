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

    /// In one value, so that an append asks once whether it has it alone.
    private struct Contents {
        var runs: [Run] = []
        var usedByteCount = 0

        /// Takes the next bytes of the buffer for some of the file's.
        mutating func take(_ byteCount: Int, at fileOffset: UInt64) -> Range<Int> {
            let range = usedByteCount..<usedByteCount + byteCount
            usedByteCount = range.upperBound
            if let last = runs.last, last.fileOffset + UInt64(last.bytes.count) == fileOffset {
                runs[runs.count - 1].bytes = last.bytes.lowerBound..<range.upperBound
            } else {
                runs.append(Run(fileOffset: fileOffset, bytes: range))
            }
            return range
        }
    }

    /// So many bytes of the next piece are fetched ahead: who writes this buffer out does so on another processor.
    private static let fetchedByteCount = 4096

    private let memory: IOBuffer
    private var contents = Contents()

    init(byteCount: Int) { memory = IOBuffer(byteCount: byteCount) }

    var isEmpty: Bool { contents.usedByteCount == 0 }

    func hasRoom(for byteCount: Int) -> Bool {
        let contents = contents
        return byteCount <= memory.byteCount - contents.usedByteCount && contents.runs.count < Self.maximumRunCount
    }

    /// Takes bytes for which there is room.
    func append(_ bytes: RawSpan, at fileOffset: UInt64) {
        let range = contents.take(bytes.byteCount, at: fileOffset)
        memory.withMutableBytes(range) { $0.copy(bytes, at: 0) }
        memory.fetchForWriting(range.upperBound..<range.upperBound + Self.fetchedByteCount)
    }

    func write(to file: any BlockFile) throws(IOError) {
        let memory = self.memory
        for run in contents.runs { try file.write(memory.bytes(run.bytes), at: run.fileOffset) }
    }

    func empty() {
        contents.runs.removeAll(keepingCapacity: true)
        contents.usedByteCount = 0
    }
}
