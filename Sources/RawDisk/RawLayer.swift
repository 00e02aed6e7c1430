public import BlockIO
public import ByteCodec
public import DiskModel

/// A file whose bytes are the disk's. Never guessed from contents: the user says so. A size that is no whole number of
/// 512-byte sectors is an error.
public final class RawLayer: WritableDiskLayer {
    public let file: any BlockFile
    public let format = ImageFormat.raw
    public let type = ImageType.fixed
    public let geometry: DiskGeometry
    public let parentLink: ParentLink? = nil
    public let findings: [Finding] = []
    public let hasReplayedLog = false
    /// Raw images have none; nothing names them as a parent.
    public var identity: DiskIdentity { DiskIdentity(format: .raw, id: .zero) }

    public init(_ file: any BlockFile) throws(DiskError) {
        self.file = file
        let byteCount: UInt64
        do { byteCount = try file.byteCount() } catch { throw DiskError(error) }
        guard byteCount > 0, byteCount % 512 == 0 else {
            throw DiskError(
                .refused, path: file.path, "a raw image of \(byteCount) bytes is no whole number of 512-byte sectors",
                hint: "check that the file is complete, then pad it: truncate -s %512")
        }
        geometry = DiskGeometry(virtualByteCount: byteCount)
    }

    public func extents(in range: Range<UInt64>, limit: Int) throws(DiskError) -> [Extent] {
        try checkRange(range)
        return try holesAndData(of: file, in: range, fileOffset: 0, limit: limit)
    }

    public func write(_ bytes: RawSpan, at offset: UInt64) throws(DiskError) {
        guard let range = checkedRange(offset, UInt64(bytes.byteCount)) else {
            throw DiskError(.outOfRange, path: file.path, "offset \(offset) is too large")
        }
        try checkRange(range)
        do { try file.write(bytes, at: offset) } catch { throw DiskError(error, doing: "writing") }
    }

    public func write(_ range: Range<UInt64>, by move: PayloadMove) throws(DiskError) {
        try checkRange(range)
        if !range.isEmpty { try move(range, range.lowerBound) }
    }

    public func writeZeroes(_ range: Range<UInt64>) throws(DiskError) {
        try checkRange(range)
        do { try file.zero(range) } catch { throw DiskError(error, doing: "writing zeros") }
    }

    public func flush() throws(DiskError) {
        do { try file.sync() } catch { throw DiskError(error, doing: "flushing") }
    }

    public func close() throws(DiskError) { try flush() }
}
