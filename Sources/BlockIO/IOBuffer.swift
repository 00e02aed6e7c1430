import ByteCodec
import CPlatform
import Glibc

/// A page-aligned buffer of fixed size, for bulk I/O; one owner at a time, uninitialised pages are never seen because it
/// starts zeroed.
@safe public final class IOBuffer {
    private let memory: UnsafeMutableRawBufferPointer
    public var byteCount: Int { unsafe memory.count }

    public init(byteCount: Int) {
        unsafe memory = .allocate(byteCount: max(1, byteCount), alignment: 4096)
        _ = unsafe memset(memory.baseAddress!, 0, memory.count)
    }

    deinit { unsafe memory.deallocate() }

    /// The bytes of a range. Traps outside the buffer.
    @_lifetime(borrow self)
    public func bytes(_ range: Range<Int>) -> RawSpan {
        let part = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: memory[range]))
        return unsafe _overrideLifetime(part, borrowing: self)
    }

    /// Runs `body` on the writable bytes of a range. Traps outside the buffer.
    public func withMutableBytes<Failure: Error, Result>(
        _ range: Range<Int>, _ body: (inout MutableRawSpan) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        var part = unsafe MutableRawSpan(_unsafeBytes: UnsafeMutableRawBufferPointer(rebasing: memory[range]))
        return try body(&part)
    }

    /// Begins to fetch a range that is written soon, so that the writing need not wait for another processor's cache; cut
    /// to the buffer.
    public func fetchForWriting(_ range: Range<Int>) {
        let part = range.clamped(to: 0..<byteCount)
        let start = unsafe memory.baseAddress! + part.lowerBound
        unsafe vt_fetch_for_writing(start, part.count)
    }

    /// Fills the first `count` bytes from a file.
    public func fill(_ count: Int, from file: any BlockFile, at offset: UInt64) throws(IOError) {
        try withMutableBytes(0..<count) { (bytes) throws(IOError) in try file.read(into: &bytes, at: offset) }
    }
}
