import BlockIO
public import ByteCodec
public import DiskModel
import Synchronization

extension VHDLayer {
    public func report() throws(DiskError) -> ImageReport {
        var report = ImageReport()
        report.creator = footer.creatorDescription
        report.created = DiskTimestamp(rawValue: footer.timestamp)
        report.diskID = footer.uniqueID
        report.structures.append(
            structure(footers.trailing, "Footer", isActive: footers.usesTrailing, other: "the copy at 0 is used"))
        if let copy = footers.copy {
            report.structures.append(
                structure(
                    copy, "Footer (copy at 0)", isActive: !footers.usesTrailing, other: "the one at the end is used"))
        }
        if let header {
            report.structures.append(
                StructureReport(
                    name: "Dynamic disk header", offset: footer.dataOffset,
                    byteCount: UInt64(DynamicHeader.byteCount), isValid: true, isActive: true,
                    reason: "the only copy", fields: header.dumped()))
        }
        if let batmap {
            report.structures.append(
                StructureReport(
                    name: "Batmap header", offset: batmap.offset, byteCount: UInt64(BatmapHeader.byteCount),
                    isValid: true, isActive: false, reason: "never needed for reading",
                    fields: batmap.header.dumped()))
        }
        return report
    }

    private func structure(_ copy: FooterCopy, _ name: String, isActive: Bool, other: String) -> StructureReport {
        let reason =
            copy.problem.map { "\($0.field) \($0.problem)" } ?? (isActive ? "valid" : "valid, and \(other)")
        return StructureReport(
            name: name, offset: copy.offset, byteCount: copy.storedByteCount, isValid: copy.isValid,
            isActive: isActive, reason: reason, fields: copy.footer.dumped())
    }

    public func checkSharedSpace(accepting accepted: Set<FormatError.Code>) throws(DiskError) -> [Finding] {
        var kept: [Finding] = []
        try state.withLock { (state) throws(DiskError) in
            guard let map = state.map else { return }
            var order = BlockOrder()
            try diskErrors(file.path, "reading the block table") {
                try order.survey(&state.map!.table, map.layout) { event in
                    switch event {
                    case .overlap(let error), .misplaced(let error, _):
                        guard error.code == .vhdBlocksOverlap else { return }
                        guard accepted.contains(error.code) else { throw error }
                        if kept.isEmpty { kept.append(Finding(.error, error)) }
                    case .counted, .givenUp, .block: break
                    }
                }
            }
        }
        return kept
    }

    /// Checks the whole table on the way: every entry's place, and that no two blocks overlap.
    public func census() throws(DiskError) -> BlockCensus {
        var census = BlockCensus()
        guard let layout = state.withLock({ $0.map?.layout }) else {
            census.counts = [("not_allocated", 0), ("allocated", 0)]
            census.allocatedByteCount = geometry.virtualByteCount
            census.addGap(geometry.virtualByteCount..<max(geometry.virtualByteCount, footers.trailing.offset))
            return census
        }
        var space = UsedSpace(layout.structures)
        var order = BlockOrder()
        try state.withLock { (state) throws(DiskError) in
            try diskErrors(file.path, "checking the block table") {
                guard var table = state.map?.table else { return }
                try order.visit(&table, layout) { offset in
                    space.claim(offset..<offset + layout.strideByteCount) { census.addGap($0) }
                }
            }
        }
        space.finish(layout.contentsEnd) { census.addGap($0) }
        census.counts = [
            ("not_allocated", layout.blockCount - order.allocatedCount), ("allocated", order.allocatedCount),
        ]
        census.allocatedByteCount = order.allocatedCount * layout.blockByteCount
        return census
    }
}

/// What of a file is in use, and the gaps between.
struct UsedSpace {
    private var structures: ArraySlice<Range<UInt64>>
    private var cursor: UInt64 = 0

    /// - Parameter structures: in order.
    init(_ structures: [Range<UInt64>]) { self.structures = structures[...] }

    /// Takes the next block in the order of the file, and the structures before it.
    mutating func claim(_ block: Range<UInt64>, _ gap: (Range<UInt64>) throws -> Void) rethrows {
        while let next = structures.first, next.lowerBound < block.lowerBound {
            structures.removeFirst()
            try take(next, gap)
        }
        try take(block, gap)
    }

    /// Takes what is left of the structures, up to the end of the blocks' region.
    mutating func finish(_ end: UInt64, _ gap: (Range<UInt64>) throws -> Void) rethrows {
        for structure in structures { try take(structure, gap) }
        structures = []
        if cursor < end { try gap(cursor..<end) }
        cursor = max(cursor, end)
    }

    private mutating func take(_ range: Range<UInt64>, _ gap: (Range<UInt64>) throws -> Void) rethrows {
        if cursor < range.lowerBound { try gap(cursor..<range.lowerBound) }
        cursor = max(cursor, range.upperBound)
    }
}

extension Footer {
    /// Application, version and system as people read them: `win 10.0 (Wi2k)`.
    var creatorDescription: String {
        func text(_ bytes: [UInt8]) -> String {
            let printable = bytes.map { (0x20...0x7e).contains($0) ? $0 : 0x20 }
            return String(decoding: printable, as: UTF8.self).split(separator: " ").joined(separator: " ")
        }
        let (name, system) = (text(creatorApplication), text(creatorHostOS))
        return "\(name) \(creatorVersion >> 16).\(creatorVersion & 0xffff)" + (system.isEmpty ? "" : " (\(system))")
    }
}
