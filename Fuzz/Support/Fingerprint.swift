import BlockIO
public import DiskModel
import ByteCodec

/// What a layer shows, however it is stored: a checksum for each page that is not zero, and where the parent's bytes are.
public struct Fingerprint: Equatable {
    public var byteCount: UInt64
    private var pages: [UInt64: UInt32] = [:]
    private var parent: [Range<UInt64>] = []
    private var dataByteCount: UInt64 = 0
    private static let pageByteCount: UInt64 = 512

    /// Of the first `limit` bytes of a layer's disk; nil where reading fails, or for more than a fuzzer has time for.
    public init?(_ layer: any DiskLayer, limit: UInt64 = .max) {
        byteCount = min(limit, layer.geometry.virtualByteCount)
        var (position, extentCount) = (UInt64(0), 0)
        while position < byteCount {
            guard let extents = try? layer.extents(in: position..<byteCount, limit: 1024) else { return nil }
            extentCount += extents.count
            for extent in extents {
                switch extent.source {
                case .file(let offset):
                    guard add(extent, layer.file, offset) else { return nil }
                case .parent:
                    if let last = parent.last, last.upperBound == extent.offset {
                        parent[parent.count - 1] = last.lowerBound..<extent.end
                    } else {
                        parent.append(extent.range)
                    }
                case .zero, .hole: break
                }
                position = extent.end
            }
            guard extentCount < 50_000 else { return nil }
        }
    }

    private mutating func add(_ extent: Extent, _ file: any BlockFile, _ start: UInt64) -> Bool {
        let end = start + extent.byteCount
        var position = start
        do {
            while position < end, let data = try file.data(from: position), data.lowerBound < end {
                // Whole sectors of the disk.
                position = max(
                    position, start + (max(data.lowerBound, start) - start) / Self.pageByteCount * Self.pageByteCount)
                let stop = min(end, data.upperBound)
                dataByteCount += stop - min(stop, position)
                guard dataByteCount <= 64 << 20 else { return false }
                while position < stop {
                    let count = Int(min(Self.pageByteCount, end - position))
                    let bytes = try file.bytes(at: position, count: count)
                    if !ByteCodec.isZero(bytes.rawBytes) {
                        pages[extent.offset + (position - start)] = crc32c(bytes.rawBytes)
                    }
                    position += UInt64(count)
                }
            }
            return true
        } catch { return false }
    }

    public static func == (a: Self, b: Self) -> Bool {
        (a.byteCount, a.pages, a.parent) == (b.byteCount, b.pages, b.parent)
    }

    /// The same of all but some ranges, which are whole pages.
    public func leavingOut(_ ranges: [Range<UInt64>]) -> Self {
        var result = self
        for range in ranges {
            result.pages = result.pages.filter { !range.contains($0.key) }
            result.parent = result.parent.flatMap { run -> [Range<UInt64>] in
                guard run.overlaps(range) else { return [run] }
                let below = run.lowerBound..<max(run.lowerBound, range.lowerBound)
                let above = min(run.upperBound, range.upperBound)..<run.upperBound
                return [below, above].filter { !$0.isEmpty }
            }
        }
        return result
    }

    /// Whether everything past an offset is zero.
    public func isZero(from offset: UInt64) -> Bool { pages.keys.allSatisfy { $0 < offset } }
}
