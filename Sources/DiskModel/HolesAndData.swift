public import BlockIO

/// The extents of a virtual range stored in one run of a file, from `fileOffset` on for virtual offset 0: data where the
/// file has data, `.hole` where it has holes. For raw and fixed images.
public func holesAndData(
    of file: any BlockFile, in range: Range<UInt64>, fileOffset: UInt64, limit: Int
) throws(DiskError) -> [Extent] {
    var result: [Extent] = []
    var position = range.lowerBound
    while position < range.upperBound, result.count < limit {
        let data: Range<UInt64>?
        do { data = try file.data(from: position + fileOffset) } catch { throw DiskError(error, doing: "seeking data") }
        let start = min(
            range.upperBound, max(position, (data?.lowerBound ?? .max) - min(fileOffset, data?.lowerBound ?? 0)))
        let end = data.map { min(range.upperBound, $0.upperBound - fileOffset) } ?? range.upperBound
        result.appendRun(Extent(offset: position, byteCount: start - position, source: .hole))
        if start < end, result.count < limit {
            result.appendRun(
                Extent(offset: start, byteCount: end - start, source: .file(offset: start + fileOffset)))
        }
        position = result[result.count - 1].end
    }
    return result
}
