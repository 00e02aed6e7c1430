import BlockIO
import ByteCodec
import Synchronization

/// A file that takes writes and keeps only its size: for a log that nobody wants.
final class CountingFile: BlockFile {
    let path: String
    private let size = Mutex<UInt64>(0)

    init(_ path: String) { self.path = path }

    func byteCount() -> UInt64 { size.withLock { $0 } }

    func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        guard buffer.byteCount == 0 else {
            throw IOError("read", path: path, .endOfFile(byteCount: byteCount()), offset: offset)
        }
    }

    func write(_ bytes: RawSpan, at offset: UInt64) {
        let end = offset + UInt64(bytes.byteCount)
        size.withLock { $0 = max($0, end) }
    }

    func resize(to byteCount: UInt64) { size.withLock { $0 = byteCount } }
    func zero(_ range: Range<UInt64>) {}
    func sync() {}
}
