package import BlockIO
import ByteCodec
import Synchronization

/// A file that takes writes and keeps only its size: for a log that nobody wants.
package final class CountingFile: BlockFile {
    package let path: String
    private let size = Mutex<UInt64>(0)

    package init(_ path: String) { self.path = path }

    package func byteCount() -> UInt64 { size.withLock { $0 } }

    package func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        guard buffer.byteCount == 0 else {
            throw IOError("read", path: path, .endOfFile(byteCount: byteCount()), offset: offset)
        }
    }

    package func write(_ bytes: RawSpan, at offset: UInt64) {
        let end = offset + UInt64(bytes.byteCount)
        size.withLock { $0 = max($0, end) }
    }

    package func resize(to byteCount: UInt64) { size.withLock { $0 = byteCount } }
    package func zero(_ range: Range<UInt64>) {}
    package func sync() {}
}
