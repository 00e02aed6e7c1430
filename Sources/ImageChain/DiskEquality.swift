import BlockIO
import ByteCodec
public import DiskModel

/// The first byte in which two disks of the same size differ; nil when there is none. What both show as zeros without
/// storing any is not read.
public func firstDifferingByte(
    between a: any VirtualDisk, and b: any VirtualDisk, progress: (UInt64) throws(DiskError) -> Void = { _ in }
) throws(DiskError) -> UInt64? {
    let size = a.geometry.virtualByteCount
    guard b.geometry.virtualByteCount == size else { return min(size, b.geometry.virtualByteCount) }
    let (mine, theirs) = (IOBuffer(byteCount: 1 << 20), IOBuffer(byteCount: 1 << 20))
    var position: UInt64 = 0
    while position < size {
        let (left, right) = (try run(a, from: position), try run(b, from: position))
        var end = min(left.end, right.end)
        if left.isStored || right.isStored {
            end = min(end, position + UInt64(mine.byteCount))
            let count = Int(end - position)
            try mine.withMutableBytes(0..<count) { (bytes) throws(DiskError) in try a.read(into: &bytes, at: position) }
            try theirs.withMutableBytes(0..<count) { (bytes) throws(DiskError) in try b.read(into: &bytes, at: position)
            }
            if let place = firstDifference(mine.bytes(0..<count), theirs.bytes(0..<count)) {
                return position + UInt64(place)
            }
        }
        position = end
        try progress(position)
    }
    return nil
}

private func run(_ disk: any VirtualDisk, from position: UInt64) throws(DiskError) -> (end: UInt64, isStored: Bool) {
    let extent = try disk.extents(in: position..<disk.geometry.virtualByteCount, limit: 1)[0].extent
    if case .file = extent.source { return (extent.end, true) }
    return (extent.end, false)
}

/// Halves the run until the byte is found.
private func firstDifference(_ a: RawSpan, _ b: RawSpan) -> Int? {
    guard !bytesEqual(a, b) else { return nil }
    var (low, high) = (0, a.byteCount)
    while high - low > 1 {
        let middle = (low + high) / 2
        if bytesEqual(a.extracting(low..<middle), b.extracting(low..<middle)) { low = middle } else { high = middle }
    }
    return low
}
