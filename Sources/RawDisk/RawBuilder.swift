public import BlockIO
public import DiskModel

/// Fills a new raw image on an empty file: every byte of the disk at its own offset.
public final class RawBuilder: ImageBuilder {
    public let file: any BlockFile
    private var virtualByteCount: UInt64?

    /// - Parameter virtualByteCount: nil: `setVirtualByteCount` follows before `finish`.
    public init(on file: any BlockFile, virtualByteCount: UInt64?) throws(DiskError) {
        self.file = file
        if let virtualByteCount { try setVirtualByteCount(virtualByteCount) }
    }

    public var geometry: DiskGeometry { DiskGeometry(virtualByteCount: virtualByteCount ?? 0) }
    public var runByteCount: UInt64 { .max }

    public func setVirtualByteCount(_ byteCount: UInt64) throws(DiskError) {
        guard byteCount > 0, byteCount % 512 == 0, byteCount <= UInt64(Int64.max) else {
            throw DiskError(
                .refused, path: file.path, "a disk of \(byteCount) bytes is no whole number of 512-byte sectors")
        }
        virtualByteCount = byteCount
    }

    public func place(_ range: Range<UInt64>) throws(DiskError) -> UInt64 { range.lowerBound }

    public func finish() throws(DiskError) {
        do { try file.resize(to: virtualByteCount ?? 0) } catch { throw DiskError(error, doing: "finishing the image") }
    }
}
