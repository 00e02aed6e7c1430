import BlockIO
public import ByteCodec
public import DiskModel
import Synchronization

/// What an image says about itself.
extension VHDXLayer {
    public func report() throws(DiskError) -> ImageReport {
        try diskErrors(file.path, "reading the structures") {
            let headers = state.withLock { $0.headers }
            var report = ImageReport()
            let bytes = try file.bytes(at: 0, count: FileTypeIdentifier.byteCount)
            let identifier = try FileTypeIdentifier(parsing: bytes.rawBytes)
            report.creator = lenientUTF16(identifier.creator.rawBytes, .little)
            report.diskID = virtualDiskID
            report.writeIDs = [
                ("FileWriteGuid", headers.current.fileWriteGUID), ("DataWriteGuid", headers.current.dataWriteGUID),
            ]
            report.log = logReport
            let isValid = identifier.signature == FileTypeIdentifier.expectedSignature
            report.structures = [
                StructureReport(
                    name: "File type identifier", offset: 0, byteCount: UInt64(FileTypeIdentifier.byteCount),
                    isValid: isValid, isActive: true, reason: isValid ? "signature matches" : "wrong signature",
                    fields: identifier.dumped())
            ]
            report.structures += try headerReports(active: headers.slot)
            report.structures += try regionTableReports()
            report.structures += try metadataReports()
            return report
        }
    }

    private func headerReports(active: Int) throws -> [StructureReport] {
        try Layout.headerOffsets.indices.map { slot in
            let copy = try HeaderPair.copy(slot, of: file)
            let reason =
                !copy.hasSignature
                ? "wrong signature"
                : !copy.hasChecksum
                    ? "wrong checksum" : slot == active ? "larger sequence number, or alone valid" : "older"
            return StructureReport(
                name: "Header \(slot + 1)", offset: Layout.headerOffsets[slot], byteCount: UInt64(Header.byteCount),
                isValid: copy.isValid, isActive: slot == active, reason: reason, fields: copy.header.dumped())
        }
    }

    private func regionTableReports() throws -> [StructureReport] {
        var reports: [StructureReport] = []
        for copy in Layout.regionTableOffsets.indices {
            let offset = Layout.regionTableOffsets[copy]
            let bytes = try RegionTable.bytes(ofCopy: copy, in: file)
            let header = try RegionTableHeader(parsing: bytes.rawBytes)
            let isValid = RegionTable.isValid(bytes)
            reports.append(
                StructureReport(
                    name: "Region table \(copy + 1)", offset: offset, byteCount: UInt64(RegionTableHeader.byteCount),
                    isValid: isValid, isActive: copy == regions.copy,
                    reason: isValid ? (copy == regions.copy ? "first valid copy" : "spare copy") : "invalid",
                    fields: header.dumped()))
        }
        let start = Layout.regionTableOffsets[regions.copy] + UInt64(RegionTableHeader.byteCount)
        for (index, entry) in regions.entries.enumerated() {
            reports.append(
                StructureReport(
                    name: "Region \(index): \(Self.name(ofRegion: entry.guid))",
                    offset: start + UInt64(index * RegionTableEntry.byteCount),
                    byteCount: UInt64(RegionTableEntry.byteCount), isValid: true, isActive: true, reason: "",
                    fields: entry.dumped()))
        }
        return reports
    }

    private func metadataReports() throws -> [StructureReport] {
        let start = regions.metadata.fileOffset
        let bytes = try file.bytes(at: start, count: MetadataTableHeader.byteCount)
        let header = try MetadataTableHeader(parsing: bytes.rawBytes)
        var reports = [
            StructureReport(
                name: "Metadata table", offset: start, byteCount: UInt64(MetadataTableHeader.byteCount), isValid: true,
                isActive: true, reason: "", fields: header.dumped())
        ]
        for (index, item) in metadata.table.enumerated() {
            reports.append(
                StructureReport(
                    name: "Metadata item \(index): \(Self.name(ofItem: item.entry.itemID))", offset: item.offset,
                    byteCount: UInt64(MetadataTableEntry.byteCount), isValid: true, isActive: true, reason: "",
                    fields: item.entry.dumped()))
        }
        return reports
    }

    private static func name(ofRegion id: GUID) -> String {
        switch id {
        case KnownGUID.blockAllocationTable: "BAT"
        case KnownGUID.metadata: "Metadata"
        default: id.description
        }
    }

    private static func name(ofItem id: GUID) -> String {
        switch id {
        case KnownGUID.fileParameters: "File parameters"
        case KnownGUID.virtualDiskSize: "Virtual disk size"
        case KnownGUID.virtualDiskID: "Virtual disk ID"
        case KnownGUID.logicalSectorSize: "Logical sector size"
        case KnownGUID.physicalSectorSize: "Physical sector size"
        case KnownGUID.parentLocator: "Parent locator"
        case KnownGUID.chsParameters: "CHS parameters"
        case KnownGUID.incompleteFile: "Incomplete file"
        case KnownGUID.persistentMemoryLabels: "Persistent memory labels"
        default: id.description
        }
    }

    public func checkSharedSpace(accepting accepted: Set<FormatError.Code>) throws(DiskError) -> [Finding] {
        try diskErrors(file.path, "reading the block allocation table") {
            // A copy: what else is noticed is told when it is met.
            var map = state.withLock { $0.map }
            return try map.sharedSpace(file: file, accepting: accepted)
        }
    }

    /// Reads the whole table; also finds blocks that share space, which opening does not look for.
    /// - Throws: `.format`, with the rule's code, for the first entry that breaks one.
    public func census() throws(DiskError) -> BlockCensus {
        try diskErrors(file.path, "reading the block allocation table") {
            try state.withLock { state in
                let walk = try state.map.walk(file: file, reportsAnchors: true, checksBitmaps: true)
                var census = BlockCensus()
                census.counts = BlockState.allCases.map { ($0.name, walk.counts[Int($0.rawValue)]) }
                census.allocatedByteCount = walk.allocatedByteCount
                walk.used.forEachGap { census.addGap($0) }
                try noteWholeTable(walk, &state.map)
                return census
            }
        }
    }

    private func noteWholeTable(_ walk: BlockMap.Walk, _ map: inout BlockMap) throws {
        let missing = map.geometry.payloadBlockCount - walk.counts[6]
        if type == .fixed, missing > 0 { map.noteOnce(.warning, map.missingBlocks(missing)) }
        if try !file.isZero(map.padding) { map.noteOnce(.information, map.paddingProblem) }
    }
}
