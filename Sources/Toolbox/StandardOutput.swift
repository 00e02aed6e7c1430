public import BlockIO
import ByteCodec
import CPlatform
import Glibc

/// Buffered bytes to a descriptor. A reader that has gone away ends the process by SIGPIPE, quietly.
public final class OutputStream {
    private var buffer: [UInt8] = []
    private let descriptor: CInt
    private static let flushCount = 1 << 16

    public init(descriptor: CInt = 1) {
        self.descriptor = descriptor
        buffer.reserveCapacity(Self.flushCount + 4096)
    }

    public var isTerminal: Bool { isatty(descriptor) == 1 }

    public func write(_ text: String) throws(OutputFailure) {
        buffer += text.utf8
        if buffer.count >= Self.flushCount { try flush() }
    }

    /// Appends through `body` to the buffer.
    public func append(_ body: (inout [UInt8]) -> Void) throws(OutputFailure) {
        body(&buffer)
        if buffer.count >= Self.flushCount { try flush() }
    }

    public func line(_ text: String = "") throws(OutputFailure) { try write(text + "\n") }

    public func line(_ value: JSONValue) throws(OutputFailure) {
        try append { bytes in
            value.write(to: &bytes)
            bytes.append(UInt8(ascii: "\n"))
        }
    }

    /// Bytes past the buffer, for bulk data.
    public func write(_ bytes: RawSpan) throws(OutputFailure) {
        try flush()
        try send(bytes)
    }

    /// Bytes that may be on their way to the reader when all has been sent: what a pipe holds. Of other outputs but files,
    /// which have a copy, it cannot be told.
    public var heldByteCount: UInt64 {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { return .max }
        switch status.st_mode & S_IFMT {
        case S_IFREG, S_IFCHR, S_IFBLK: return 0
        case S_IFIFO:
            let size = vt_pipe_size(descriptor)
            return size > 0 ? UInt64(size) : .max
        default: return .max
        }
    }

    /// Bytes of a host file, from file to output inside the kernel; false when these two do not allow it, with nothing
    /// sent. Until the output's reader has them a writer of the file changes them still; see `heldByteCount`.
    /// - Throws: `IOError` when the file ends before.
    public func send(_ file: PosixFile, from offset: UInt64, byteCount: UInt64) throws -> Bool {
        try flush()
        var done: UInt64 = 0
        while done < byteCount {
            let sent = file.withDescriptor { vt_send_file(descriptor, $0, offset + done, byteCount - done) }
            switch sent {
            case 1...: done += UInt64(sent)
            case 0:
                throw IOError("sendfile", path: file.path, .endOfFile(byteCount: try file.byteCount()), offset: offset)
            case -Int64(EAGAIN):
                var poller = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = unsafe poll(&poller, 1, -1)
            case _ where done == 0: return false
            default: throw OutputFailure(code: CInt(-sent))
            }
        }
        return true
    }

    public func flush() throws(OutputFailure) {
        guard !buffer.isEmpty else { return }
        let pending = buffer
        try send(pending.rawBytes)
        buffer.removeAll(keepingCapacity: true)
    }

    private func send(_ bytes: RawSpan) throws(OutputFailure) {
        let failed: CInt? = unsafe bytes.withUnsafeBytes { raw in
            var done = 0
            while done < raw.count {
                let n = unsafe Glibc.write(descriptor, raw.baseAddress! + done, raw.count - done)
                if n < 0 && errno == EINTR { continue }
                if n < 0 && errno == EAGAIN {
                    var poller = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    _ = unsafe poll(&poller, 1, -1)
                    continue
                }
                if n <= 0 { return n == 0 ? EIO : errno }
                done += n
            }
            return nil
        }
        if let failed { throw OutputFailure(code: failed) }
    }
}

/// Writing the results failed.
public struct OutputFailure: Error, CustomStringConvertible {
    public var code: CInt
    public var description: String { unsafe "standard output: write: \(String(cString: strerror(code)))" }
}

/// One line on standard error, whatever names and findings are in it.
public func printError(_ line: String) {
    let bytes = Array((printable(line) + "\n").utf8)
    _ = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(2, $0.baseAddress, $0.count) }
}
