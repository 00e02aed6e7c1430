/// A file as a plain table of its sectors; the ones that are not in it are zeros. What the model of the logs reads.
public struct SectorFile: Sendable {
    public static let sectorByteCount = 512

    public var byteCount: UInt64
    public private(set) var sectors: [UInt64: [UInt8]] = [:]

    public init(byteCount: UInt64 = 0) { self.byteCount = byteCount }

    public init(_ bytes: [UInt8]) {
        self.init()
        write(bytes, at: 0)
    }

    /// Bytes past the file's end read as zeros too: whoever reads compares with `byteCount` first.
    public func read(_ start: UInt64, _ count: Int) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(count)
        var at = start
        while result.count < count {
            let inside = Int(at % 512)
            let taken = min(512 - inside, count - result.count)
            if let sector = sectors[at / 512] {
                result += sector[inside..<inside + taken]
            } else {
                result += repeatElement(0, count: taken)
            }
            at += UInt64(taken)
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
            sectors[at / 512, default: [UInt8](repeating: 0, count: 512)]
                .replaceSubrange(inside..<inside + taken, with: bytes[done..<done + taken])
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
                sectors[count / 512] = last
            }
        }
        byteCount = count
    }

    /// The sum of the bytes of a range, modulo 2^32.
    public func sum(_ range: Range<UInt64>) -> UInt32 {
        var sum: UInt32 = 0
        for (index, sector) in sectors where index * 512 < range.upperBound && index * 512 + 512 > range.lowerBound {
            for (inside, byte) in sector.enumerated() where range.contains(index * 512 + UInt64(inside)) {
                sum &+= UInt32(byte)
            }
        }
        return sum
    }
}
