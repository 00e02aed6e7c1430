import BlockIO
import ByteCodec
import DiskModel
import Synchronization

/// A disk that is a file: the least that a `VirtualDisk` can be. Counts what is written.
final class MemoryDisk: VirtualDisk {
    let file: any BlockFile
    let geometry: DiskGeometry
    private let counts = Mutex((writes: 0, zeroes: 0, flushes: 0))
    var path: String { file.path }

    init(_ file: any BlockFile, byteCount: UInt64) {
        self.file = file
        geometry = DiskGeometry(virtualByteCount: byteCount)
    }

    convenience init(_ bytes: [UInt8], path: String = "(disk)") {
        self.init(MemoryFile(bytes, path: path), byteCount: UInt64(bytes.count))
    }

    convenience init(empty byteCount: UInt64, path: String = "(disk)") {
        let file = MemoryFile(path: path)
        file.resize(to: byteCount)
        self.init(file, byteCount: byteCount)
    }

    var writeCount: Int { counts.withLock { $0.writes } }
    var zeroesCount: Int { counts.withLock { $0.zeroes } }
    var flushCount: Int { counts.withLock { $0.flushes } }
    var allBytes: [UInt8] { (file as? MemoryFile)?.allBytes ?? [] }

    private func check(_ range: Range<UInt64>) throws(DiskError) {
        guard range.upperBound <= geometry.virtualByteCount else {
            throw DiskError(.outOfRange, path: path, "past the end")
        }
    }

    func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(DiskError) {
        do { try file.read(into: &buffer, at: offset) } catch { throw DiskError(error) }
    }

    func extents(in range: Range<UInt64>, limit: Int) throws(DiskError) -> [MappedExtent] {
        try check(range)
        return try holesAndData(of: file, in: range, fileOffset: 0, limit: limit)
            .map { MappedExtent($0, layer: 0, file: file) }
    }

    func write(_ bytes: RawSpan, at offset: UInt64) throws(DiskError) {
        try check(offset..<offset + UInt64(bytes.byteCount))
        counts.withLock { $0.writes += 1 }
        do { try file.write(bytes, at: offset) } catch { throw DiskError(error) }
    }

    func writeZeroes(_ range: Range<UInt64>) throws(DiskError) {
        try check(range)
        counts.withLock { $0.zeroes += 1 }
        do { try file.zero(range) } catch { throw DiskError(error) }
    }

    func flush() throws(DiskError) {
        counts.withLock { $0.flushes += 1 }
        do { try file.sync() } catch { throw DiskError(error) }
    }

    func close() throws(DiskError) { try flush() }
}
