/// A file as a plain table of its sectors; the ones that are not in it are zeros. What the model of the logs reads.
public struct SectorFile: Sendable {
    public static let sectorByteCount = 512

    public var byteCount: UInt64
    public private(set) var sectors: [UInt64: [UInt8]] = [:]
    /// The sum of each one's bytes.
    private var sums: [UInt64: UInt32] = [:]

    public init(byteCount: UInt64 = 0) { self.byteCount = byteCount }

    public init(_ bytes: [UInt8]) {
        self.init()
        write(bytes, at: 0)
    }

    /// Bytes past the file's end read as zeros too: whoever reads compares with `byteCount` first.
    public func read(_ start: UInt64, _ count: Int) -> [UInt8] {
        if let sector = sectors[start / 512], Int(start % 512) + count <= 512 {
            return Array(sector[Int(start % 512)..<Int(start % 512) + count])
        }
        var result = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let inside = Int((start + UInt64(done)) % 512)
            let taken = min(512 - inside, count - done)
            if let sector = sectors[(start + UInt64(done)) / 512] {
                result.replaceSubrange(done..<done + taken, with: sector[inside..<inside + taken])
            }
            done += taken
        }
        return result
    }

    /// Makes the file longer where that is needed.
    public mutating func write(_ bytes: [UInt8], at start: UInt64) {
        var done = 0
        while done < bytes.count {
            let at = start + UInt64(done)
            let inside = Int(at % 512)
            let taken = min(512 - inside, bytes.count - done)
            var sector = sectors[at / 512] ?? [UInt8](repeating: 0, count: 512)
            sector.replaceSubrange(inside..<inside + taken, with: bytes[done..<done + taken])
            put(sector, at / 512)
            done += taken
        }
        byteCount = max(byteCount, start + UInt64(bytes.count))
    }

    /// Cuts the file off, or lets zeros follow.
    public mutating func resize(to count: UInt64) {
        if count < byteCount {
            sectors = sectors.filter { $0.key * 512 < count }
            if count % 512 != 0, var last = sectors[count / 512] {
                for index in Int(count % 512)..<512 { last[index] = 0 }
                put(last, count / 512)
            }
        }
        byteCount = count
    }

    private mutating func put(_ sector: [UInt8], _ index: UInt64) {
        sectors[index] = sector
        sums[index] = Self.sum(sector, 0, 512)
    }

    /// The sum of the bytes of a range, modulo 2^32; of up to 16 MiB it is 0 only where all are.
    public func sum(_ range: Range<UInt64>) -> UInt32 {
        var sum: UInt32 = 0
        func add(_ index: UInt64) {
            guard let sector = sectors[index], let whole = sums[index] else { return }
            let start = max(range.lowerBound, index * 512) - index * 512
            let end = min(range.upperBound, index * 512 + 512) - index * 512
            sum &+= end - start == 512 ? whole : Self.sum(sector, Int(start), Int(end))
        }
        guard !range.isEmpty else { return 0 }
        let indices = range.lowerBound / 512...(range.upperBound - 1) / 512
        if indices.upperBound - indices.lowerBound < UInt64(sectors.count) {
            for index in indices { add(index) }
        } else {
            for index in sectors.keys where indices.contains(index) { add(index) }
        }
        return sum
    }

    private static func sum(_ bytes: [UInt8], _ start: Int, _ end: Int) -> UInt32 {
        var sum: UInt32 = 0
        var index = start
        while index < end {
            sum &+= UInt32(bytes[index])
            index += 1
        }
        return sum
    }
}
