public import BlockIO

/// A new image being filled once, front to back, by somebody who moves the bytes: the builder only says where they go.
/// The file is an image when `finish` has returned, and none before. Nothing is flushed: that is the caller's, who makes the
/// file appear under its name afterwards.
public protocol ImageBuilder: AnyObject {
    var file: any BlockFile { get }
    var geometry: DiskGeometry { get }
    /// Bytes of the disk that go to one run of the file: the block size, or the whole disk where there are no blocks.
    var runByteCount: UInt64 { get }

    /// Where a range of the disk is to be written, which lies in one run of `runByteCount`. Ranges come in ascending order;
    /// asking makes the run exist. What is not written there reads as zeros.
    /// - Returns: the offset in the file.
    func place(_ range: Range<UInt64>) throws(DiskError) -> UInt64

    /// Ends the disk at this size where it was not known before.
    func setVirtualByteCount(_ byteCount: UInt64) throws(DiskError)

    /// Writes tables and headers.
    func finish() throws(DiskError)
}
