import BlockIO

/// A file that notes what is written to it.
final class WriteLog: BlockFile {
    private let base: any BlockFile
    private let noted = Noted()
    private final class Noted: @unchecked Sendable {
        var writes: [Range<UInt64>] = []
        var others = 0
    }

    init(_ base: any BlockFile) { self.base = base }
    var path: String { base.path }
    var writes: [Range<UInt64>] { noted.writes }
    /// Writes, zeroing and changes of length.
    var changes: Int { noted.writes.count + noted.others }

    func byteCount() throws(IOError) -> UInt64 { try base.byteCount() }
    func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        try base.read(into: &buffer, at: offset)
    }
    func write(_ bytes: RawSpan, at offset: UInt64) throws(IOError) {
        noted.writes.append(offset..<offset + UInt64(bytes.byteCount))
        try base.write(bytes, at: offset)
    }
    func resize(to byteCount: UInt64) throws(IOError) {
        noted.others += 1
        try base.resize(to: byteCount)
    }
    func zero(_ range: Range<UInt64>) throws(IOError) {
        noted.others += 1
        try base.zero(range)
    }
    func sync() throws(IOError) { try base.sync() }
}
