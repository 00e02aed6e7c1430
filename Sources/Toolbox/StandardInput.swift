public import BlockIO
import Glibc

/// Standard input as a stream of bytes.
public enum StandardInput {
    public static let name = "standard input"

    /// Fills the span as far as the input goes.
    /// - Returns: how many bytes; fewer than the span has only at the end.
    public static func read(into bytes: inout MutableRawSpan) throws(IOError) -> Int {
        let failed: (count: Int, code: CInt?) = unsafe bytes.withUnsafeMutableBytes { raw in
            var done = 0
            while done < raw.count {
                let n = unsafe Glibc.read(0, raw.baseAddress! + done, raw.count - done)
                if n < 0 && errno == EINTR { continue }
                if n < 0 { return (done, errno) }
                if n == 0 { break }
                done += n
            }
            return (done, nil)
        }
        if let code = failed.code { throw IOError("read", path: name, .errno(code)) }
        return failed.count
    }

    public static var isTerminal: Bool { isatty(0) == 1 }
}
