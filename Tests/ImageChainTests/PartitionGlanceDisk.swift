import BlockIO
import ByteCodec
import DiskModel
import ToolTesting

@testable import ImageChain

/// A virtual disk over bytes in memory, which counts what is read of it.
final class GlanceDisk: VirtualDisk, @unchecked Sendable {
    let path = "(disk)"
    let geometry: DiskGeometry
    private let file: any BlockFile
    private(set) var readByteCount = 0

    init(_ file: any BlockFile, byteCount: UInt64, sector: Int = 512) {
        self.file = file
        geometry = DiskGeometry(virtualByteCount: byteCount, logicalSectorByteCount: sector)
    }

    func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(DiskError) {
        readByteCount += buffer.byteCount
        guard let range = checkedRange(offset, UInt64(buffer.byteCount)),
            range.upperBound <= geometry.virtualByteCount
        else { throw DiskError(.outOfRange, path: path, "read outside") }
        do { try file.read(into: &buffer, at: offset) } catch { throw DiskError(error) }
    }

    func extents(in range: Range<UInt64>, limit: Int) throws(DiskError) -> [MappedExtent] { [] }
    func write(_ bytes: RawSpan, at offset: UInt64) throws(DiskError) {}
    func writeZeroes(_ range: Range<UInt64>) throws(DiskError) {}
    func flush() throws(DiskError) {}
    func close() throws(DiskError) {}
}

extension DiskBuilder {
    var disk: GlanceDisk { GlanceDisk(MemoryFile(contents), byteCount: byteCount, sector: sector) }
}
