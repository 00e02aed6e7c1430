import BlockIO
import DiskModel

/// Where a log's file has data, asked for only where that is not known yet. The log must not change meanwhile.
struct DataPlaces {
    private var finder: DataFinder

    init(_ file: any BlockFile) { finder = DataFinder(file) }

    /// The first data at or after a position; at the end of all numbers when there is none.
    mutating func data(from position: UInt64) throws(DiskError) -> Range<UInt64> {
        do { return try finder.data(from: position) ?? .max ..< .max } catch {
            throw DiskError(error, doing: "reading data")
        }
    }
}
