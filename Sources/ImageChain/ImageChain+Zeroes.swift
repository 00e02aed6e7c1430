import BlockIO
import ByteCodec
public import DiskModel

// Zeroing. What the chain shows as zeros without storing it is passed over: a discard over space that nobody ever wrote
// allocates nothing in the leaf. Whole blocks of the leaf go to it together, because it may record them as zeros without
// allocating.
extension ImageChain {
    public func writeZeroes(_ range: Range<UInt64>) throws(DiskError) {
        let leaf = try writable()
        try leaf.checkRange(range)
        let sector = UInt64(geometry.logicalSectorByteCount)
        let innerStart = range.lowerBound.roundedUp(to: sector)
        let innerEnd = max(innerStart, range.upperBound.roundedDown(to: sector))
        if innerStart < innerEnd { try zeroSectors(innerStart..<innerEnd, of: leaf) }
        for (start, end) in [(range.lowerBound, min(innerStart, range.upperBound)), (innerEnd, range.upperBound)]
        where start < end {
            if try storesNothing(in: start..<end) { continue }
            try write([UInt8].zeros(Int(end - start)).rawBytes, at: start)
        }
    }

    /// Zeroes whole sectors, but for the blocks of the leaf in which the chain stores nothing.
    private func zeroSectors(_ range: Range<UInt64>, of leaf: any WritableDiskLayer) throws(DiskError) {
        // A layer without parent knows best what it need not do.
        guard layers.count > 1 else { return try leaf.writeZeroes(range) }
        var zeroing = Zeroing(range, unit: leaf.geometry.blockByteCount ?? UInt64(geometry.logicalSectorByteCount))
        var position = range.lowerBound
        while position < range.upperBound {
            let runs = try extents(in: position..<range.upperBound, limit: 1024)
            for run in runs {
                if let part = zeroing.next(run.extent) { try leaf.writeZeroes(part) }
            }
            position = runs[runs.count - 1].extent.end
        }
        if let part = zeroing.last() { try leaf.writeZeroes(part) }
    }

    /// Whether a range reads as zeros that no layer stores; for parts of a sector.
    private func storesNothing(in range: Range<UInt64>) throws(DiskError) -> Bool {
        guard layers.count > 1 else { return false }
        let runs = try extents(in: range, limit: 64)
        return runs.last?.extent.end == range.upperBound && runs.allSatisfy(\.isZero)
    }
}

extension MappedExtent {
    fileprivate var isZero: Bool { extent.source == .zero || extent.source == .hole }
}

/// Finds out which parts of a range have to be zeroed, from its extents in order.
private struct Zeroing {
    private let range: Range<UInt64>
    /// Only whole units are left out; the range's own ends count as ends of units.
    private let unit: UInt64
    /// From here on nothing is decided yet.
    private var start: UInt64
    /// Where the zeros began that reach up to the last extent's end.
    private var zerosStart: UInt64?

    init(_ range: Range<UInt64>, unit: UInt64) {
        (self.range, self.unit, start) = (range, unit, range.lowerBound)
    }

    /// Takes the next extent.
    /// - Returns: a part to be zeroed, behind which units of zeros have ended.
    mutating func next(_ extent: Extent) -> Range<UInt64>? {
        guard extent.source != .zero, extent.source != .hole else {
            zerosStart = zerosStart ?? extent.offset
            return nil
        }
        return endZeros(at: extent.offset)
    }

    /// What is left to be zeroed at the end of the range.
    mutating func last() -> Range<UInt64>? {
        let part = endZeros(at: range.upperBound)
        if let part { return part }
        return start < range.upperBound ? start..<range.upperBound : nil
    }

    private mutating func endZeros(at end: UInt64) -> Range<UInt64>? {
        guard let zeros = zerosStart else { return nil }
        zerosStart = nil
        let lower = zeros == range.lowerBound ? zeros : zeros.roundedUp(to: unit)
        let upper = end == range.upperBound ? end : end.roundedDown(to: unit)
        guard lower < upper else { return nil }
        defer { start = upper }
        return start < lower ? start..<lower : nil
    }
}
