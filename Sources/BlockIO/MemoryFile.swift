import ByteCodec
import Glibc
import Synchronization

/// A sparse file in memory.
public final class MemoryFile: BlockFile {
    /// The whole contents as a value: cheap to copy, pages are shared until written.
    public struct Contents: Sendable {
        public var pages = PageMap()
        public var byteCount: UInt64 = 0

        public init() {}
        public init(_ bytes: [UInt8]) { write(bytes.rawBytes, at: 0) }

        public mutating func write(_ bytes: RawSpan, at offset: UInt64) {
            guard bytes.byteCount > 0 else { return }
            pages.write(bytes, at: offset)
            byteCount = max(byteCount, offset + UInt64(bytes.byteCount))
        }
        public mutating func resize(to count: UInt64) {
            if count < byteCount { pages.zero(count..<byteCount) }
            byteCount = count
        }
        public mutating func zero(_ range: Range<UInt64>) {
            pages.zero(range.clamped(to: 0..<byteCount))
        }
        public func bytes(_ range: Range<UInt64>) -> [UInt8] {
            var result = [UInt8].zeros(Int(range.upperBound - range.lowerBound))
            var raw = result.mutableRawBytes
            pages.read(into: &raw, at: range.lowerBound)
            return result
        }
        public var allBytes: [UInt8] { bytes(0..<byteCount) }
    }

    public let path: String
    private let state: Mutex<Contents>

    public init(_ contents: Contents = Contents(), path: String = "(memory)") {
        state = Mutex(contents)
        self.path = path
    }
    public convenience init(_ bytes: [UInt8], path: String = "(memory)") { self.init(Contents(bytes), path: path) }

    /// A snapshot of the contents.
    public var contents: Contents { state.withLock { $0 } }
    public var allBytes: [UInt8] { contents.allBytes }

    public func byteCount() -> UInt64 { state.withLock { $0.byteCount } }

    public func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        guard buffer.byteCount > 0 else { return }
        let contents = self.contents
        guard let range = checkedRange(offset, UInt64(buffer.byteCount)), range.upperBound <= contents.byteCount else {
            throw IOError("read", path: path, .endOfFile(byteCount: contents.byteCount), offset: offset)
        }
        contents.pages.read(into: &buffer, at: offset)
    }

    public func write(_ bytes: RawSpan, at offset: UInt64) throws(IOError) {
        guard let range = checkedRange(offset, UInt64(bytes.byteCount)), range.upperBound <= UInt64(Int64.max) else {
            throw IOError("write", path: path, .errno(EFBIG), offset: offset)
        }
        state.withLock { $0.write(bytes, at: offset) }
    }

    public func resize(to byteCount: UInt64) { state.withLock { $0.resize(to: byteCount) } }
    public func zero(_ range: Range<UInt64>) { state.withLock { $0.zero(range) } }
    public func sync() {}

    public func data(from offset: UInt64) -> Range<UInt64>? {
        let contents = self.contents
        guard offset < contents.byteCount, let held = contents.pages.held(from: offset),
            held.lowerBound < contents.byteCount
        else { return nil }
        return held.clamped(to: offset..<contents.byteCount)
    }
}
