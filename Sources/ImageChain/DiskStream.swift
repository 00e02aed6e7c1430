import BlockIO
public import DiskModel

/// Goes through a range of a disk once, in order: bytes where there may be some, counts where there are zeros.
public struct DiskStream {
    /// Read at a time: fits the processor's cache together with what consumers do.
    public static let pieceByteCount = 512 << 10

    private let disk: any VirtualDisk
    private let buffer = IOBuffer(byteCount: DiskStream.pieceByteCount)

    public init(_ disk: any VirtualDisk) { self.disk = disk }

    /// Visits the range. Data is what the image stores, which may be zeros too.
    public func run(
        _ range: Range<UInt64>, data: (UInt64, RawSpan) throws -> Void, zeros: (UInt64, UInt64) throws -> Void
    ) throws {
        var position = range.lowerBound
        while position < range.upperBound {
            let extents = try disk.extents(in: position..<range.upperBound, limit: 1024)
            for mapped in extents {
                switch mapped.extent.source {
                case .file(let offset): try readRun(mapped, from: offset, data)
                case .zero, .hole, .parent: try zeros(mapped.extent.offset, mapped.extent.byteCount)
                }
            }
            position = extents[extents.count - 1].extent.end
        }
    }

    private func readRun(_ mapped: MappedExtent, from offset: UInt64, _ data: (UInt64, RawSpan) throws -> Void) throws {
        var done: UInt64 = 0
        while done < mapped.extent.byteCount {
            let count = Int(min(UInt64(buffer.byteCount), mapped.extent.byteCount - done))
            do { try buffer.fill(count, from: mapped.file, at: offset + done) } catch {
                throw DiskError(error, doing: "reading the disk at \(mapped.extent.offset + done)")
            }
            try data(mapped.extent.offset + done, buffer.bytes(0..<count))
            done += UInt64(count)
        }
    }
}
