public import BlockIO
public import Glibc
import Synchronization

/// A file whose n-th changing call (write, zero, resize, sync), and every one after it, fails; a failing write leaves its
/// first half, rounded down to 512 bytes, behind. Reads go on working unless asked otherwise.
public final class FailingFile: BlockFile {
    private let base: any BlockFile
    private let left: Mutex<Int>
    private let code: CInt
    private let failsReads: Bool
    private let recovers: Bool

    /// - Parameters:
    ///   - after: how many changing calls (or reads, with `failsReads`) still succeed.
    ///   - code: the errno; ENOSPC for a full disk, EIO for a broken one.
    ///   - recovers: only one call fails, later ones succeed again.
    public init(
        _ base: any BlockFile, after: Int, code: CInt = EIO, failsReads: Bool = false, recovers: Bool = false
    ) {
        self.base = base
        left = Mutex(after)
        self.code = code
        self.failsReads = failsReads
        self.recovers = recovers
    }

    /// Whether the failure has happened.
    public var hasFailed: Bool { left.withLock { $0 < 0 } }
    public var path: String { base.path }

    private func fails() -> Bool {
        left.withLock {
            $0 -= 1
            return recovers ? $0 == -1 : $0 < 0
        }
    }
    private func failure(_ call: String, _ offset: UInt64? = nil) -> IOError {
        IOError(call, path: path, .errno(code), offset: offset)
    }

    public func byteCount() throws(IOError) -> UInt64 { try base.byteCount() }

    public func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        if failsReads, fails() { throw failure("pread", offset) }
        try base.read(into: &buffer, at: offset)
    }

    public func write(_ bytes: RawSpan, at offset: UInt64) throws(IOError) {
        if fails() {
            let half = bytes.byteCount / 2 / 512 * 512
            if half > 0 { try base.write(bytes.extracting(0..<half), at: offset) }
            throw failure("pwrite", offset)
        }
        try base.write(bytes, at: offset)
    }

    public func resize(to byteCount: UInt64) throws(IOError) {
        if fails() { throw failure("ftruncate", byteCount) }
        try base.resize(to: byteCount)
    }

    public func zero(_ range: Range<UInt64>) throws(IOError) {
        if fails() { throw failure("fallocate", range.lowerBound) }
        try base.zero(range)
    }

    public func sync() throws(IOError) {
        if fails() { throw failure("fdatasync") }
        try base.sync()
    }

    public func data(from offset: UInt64) throws(IOError) -> Range<UInt64>? { try base.data(from: offset) }
}
