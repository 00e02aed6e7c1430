import ByteCodec

/// Positioned I/O on a random-access run of bytes. Reads and writes are whole or they throw; all calls are safe from
/// several threads at once, writers being responsible for not overlapping.
public protocol BlockFile: AnyObject, Sendable {
    /// For messages.
    var path: String { get }

    func byteCount() throws(IOError) -> UInt64

    /// Fills the buffer from `offset`.
    /// - Throws: `IOError` with `.endOfFile` when the file ends before.
    func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError)

    /// Writes at `offset`; the file grows where it ends before, and what lies between reads as zeros.
    func write(_ bytes: RawSpan, at offset: UInt64) throws(IOError)

    /// Cuts the file, or lengthens it with zeros.
    func resize(to byteCount: UInt64) throws(IOError)

    /// Makes a range read as zeros, giving space back where the medium can; never changes the size, so the part of
    /// the range past the end of the file stays absent.
    func zero(_ range: Range<UInt64>) throws(IOError)

    /// Returns when everything written, zeroed and resized before is durable.
    func sync() throws(IOError)

    /// The first range at or after `offset` that may hold other bytes than zero; nil when there is none up to the end.
    func data(from offset: UInt64) throws(IOError) -> Range<UInt64>?

    /// The host file behind it when bytes at an offset here are the same bytes at the same offset there, so that bulk
    /// copies can go from file to file; nil otherwise.
    var hostFile: PosixFile? { get }

    /// The host file that it is kept in, in whatever form; nil where there is none.
    var storage: PosixFile? { get }
}

extension BlockFile {
    public var hostFile: PosixFile? { nil }

    public var storage: PosixFile? { hostFile }

    public func data(from offset: UInt64) throws(IOError) -> Range<UInt64>? {
        let end = try byteCount()
        return offset < end ? offset..<end : nil
    }

    /// `count` bytes from `offset`. The caller has bounded `count`.
    public func bytes(at offset: UInt64, count: Int) throws(IOError) -> [UInt8] {
        var result = [UInt8].zeros(count)
        var raw = result.mutableRawBytes
        try read(into: &raw, at: offset)
        return result
    }

    /// Writes an array.
    public func write(_ bytes: [UInt8], at offset: UInt64) throws(IOError) {
        try write(bytes.rawBytes, at: offset)
    }

    /// Whether a range holds only zeros, by holes where there are any.
    public func isZero(_ range: Range<UInt64>) throws(IOError) -> Bool {
        var position = range.lowerBound
        let buffer = IOBuffer(byteCount: 1 << 16)
        while position < range.upperBound, let data = try data(from: position), data.lowerBound < range.upperBound {
            position = max(position, data.lowerBound)
            let end = min(data.upperBound, range.upperBound)
            while position < end {
                let count = Int(min(UInt64(buffer.byteCount), end - position))
                try buffer.fill(count, from: self, at: position)
                guard ByteCodec.isZero(buffer.bytes(0..<count)) else { return false }
                position += UInt64(count)
            }
        }
        return true
    }
}
