import BlockIO
import ByteCodec

/// The bytes of a stream, from its start to its end; those of a file from other places, too.
final class StreamInput {
    typealias Source = (inout MutableRawSpan) throws(IOError) -> Int

    private let source: Source
    private let window: StreamWindow?
    /// Bytes taken; or, of a file, where the next is.
    private(set) var offset: UInt64 = 0
    private var isAtEnd = false

    init(_ source: @escaping Source) { (self.source, window) = (source, nil) }

    init(_ window: StreamWindow) {
        source = { (bytes) throws(IOError) in try window.read(into: &bytes) }
        self.window = window
    }

    /// Goes on at another place of the file, which may be behind its end.
    func move(to offset: UInt64) {
        guard let window else { preconditionFailure("only a file has other places") }
        window.move(to: offset)
        (self.offset, isAtEnd) = (offset, false)
    }

    /// Fills a range as far as there are bytes.
    /// - Returns: how many; fewer than asked for at the end only.
    func fill(_ buffer: IOBuffer, _ range: Range<Int>) throws(IOError) -> Int {
        try buffer.withMutableBytes(range) { (bytes) throws(IOError) in try fill(&bytes) }
    }

    /// Up to `byteCount` bytes.
    func bytes(_ byteCount: Int) throws(IOError) -> [UInt8] {
        var result = [UInt8].zeros(byteCount)
        var raw = result.mutableRawBytes
        let count = try fill(&raw)
        return Array(result.prefix(count))
    }

    private func fill(_ bytes: inout MutableRawSpan) throws(IOError) -> Int {
        var done = 0
        while done < bytes.byteCount, !isAtEnd {
            let count = try bytes.withPart(done..<bytes.byteCount) { (rest) throws(IOError) in try source(&rest) }
            precondition(count >= 0 && count <= bytes.byteCount - done, "a source gives what there is room for")
            isAtEnd = count == 0
            done += count
        }
        offset += UInt64(done)
        return done
    }
}
