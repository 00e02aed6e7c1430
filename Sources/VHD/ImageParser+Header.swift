import BlockIO
import ByteCodec

/// Finds the dynamic header and checks its own fields, which say where the block table is.
extension ImageParser {
    /// The header with its bytes, found by its cookie.
    mutating func findHeader(_ byteCount: UInt64) throws -> (DynamicHeader, [UInt8], offset: UInt64)? {
        let offset = footer.dataOffset
        guard offset >= sectorByteCount, byteCount >= 1024, offset <= byteCount - 1024 else {
            try stop(
                footerError(
                    .vhdDataOffset, "Data Offset", at: 16,
                    "is \(hex(offset)), outside 0x200...\(hex(byteCount - min(byteCount, 1024)))", section: "16"))
            return try headerInItsPlace(byteCount)
        }
        if offset % sectorByteCount != 0 {
            findings.warn(
                footerError(.vhdDataOffset, "Data Offset", at: 16, "is \(hex(offset)), no multiple of 512"))
        }
        let bytes = try file.bytes(at: offset, count: DynamicHeader.byteCount)
        let header = try DynamicHeader(parsing: bytes.rawBytes)
        guard header.cookie == DynamicHeader.cookie else {
            try stop(
                FormatError(
                    .vhdDataOffset, field: "Cookie", offset: offset,
                    "is \(quoted(header.cookie)), not \"cxsparse\"", section: "6"))
            return try headerInItsPlace(byteCount)
        }
        return (header, bytes, offset)
    }

    /// A whole header at 512, where it always should be and where Data Offset does not lead; for surveys.
    private func headerInItsPlace(_ byteCount: UInt64) throws -> (DynamicHeader, [UInt8], offset: UInt64)? {
        guard byteCount >= 2048, footer.dataOffset != sectorByteCount else { return nil }
        let bytes = try file.bytes(at: sectorByteCount, count: DynamicHeader.byteCount)
        let header = try DynamicHeader(parsing: bytes.rawBytes)
        guard header.cookie == DynamicHeader.cookie, header.headerVersion >> 16 == 1,
            complementedByteSum(bytes.rawBytes, skippingField: DynamicHeader.checksumOffset) == header.checksum
        else { return nil }
        return (header, bytes, sectorByteCount)
    }

    mutating func checkIdentity(of header: DynamicHeader, _ bytes: [UInt8], at offset: UInt64)
        throws(FormatError)
    {
        if header.headerVersion >> 16 != 1 {
            try stop(
                FormatError(
                    .vhdHeader, field: "Header Version", offset: offset + 24,
                    "is \(hex(header.headerVersion)), not 0x10000", section: "6"))
        }
        let sum = complementedByteSum(bytes.rawBytes, skippingField: DynamicHeader.checksumOffset)
        guard sum != header.checksum else { return }
        try findings.refuse(
            FormatError(
                .vhdChecksum, field: "Checksum", offset: offset + UInt64(DynamicHeader.checksumOffset),
                "of the dynamic header is \(hex(header.checksum)), the bytes give \(hex(sum))", section: "4"))
    }

    /// Whether the block size can be reckoned with.
    mutating func checkBlockSize(_ header: DynamicHeader, at offset: UInt64) throws(FormatError) -> Bool {
        let size = UInt64(header.blockSize)
        guard size.isPowerOfTwo, size >= sectorByteCount, size <= largestBlockByteCount else {
            try stop(
                FormatError(
                    .vhdBlockSize, field: "Block Size", offset: offset + 32,
                    "is \(size), no power of two from 512 to \(largestBlockByteCount)", section: "16"))
            return false
        }
        guard size != 512 << 10, size != 2 << 20 else { return true }
        findings.warn(
            FormatError(
                .vhdUnusualBlockSize, field: "Block Size", offset: offset + 32,
                "is \(size); Windows opens only 524288 and 2097152", section: "13"))
        return true
    }

    /// Whether the table can be read.
    mutating func checkTable(
        _ header: DynamicHeader, at offset: UInt64, _ fileByteCount: UInt64
    ) throws(FormatError) -> Bool {
        let needed = virtualByteCount.dividedRoundingUp(by: UInt64(header.blockSize))
        let entries = UInt64(header.maxTableEntries)
        guard entries >= needed else {
            try stop(
                FormatError(
                    .vhdMaxTableEntries, field: "Max Table Entries", offset: offset + 28,
                    "is \(entries), and the disk has \(needed) blocks", section: "7"))
            return false
        }
        if entries > needed {
            let table = checkedRange(header.tableOffset, 4 * entries)
            let fits = table.map { $0.upperBound <= footers.contentsEnd } ?? false
            let consequence =
                fits
                ? "Azure wants an exact count"
                : "so long a table ends past \(hex(footers.contentsEnd)), and some programs refuse the image"
            findings.note(
                fits ? .information : .warning,
                FormatError(
                    .vhdMaxTableEntries, field: "Max Table Entries", offset: offset + 28,
                    "is \(entries), and the disk has \(needed) blocks; \(consequence)", section: "7"))
        }
        if let problem = tablePlaceProblem(header, at: offset, needed, fileByteCount) {
            try stop(refusedTable(header, at: offset, problem))
            return false
        }
        if header.tableOffset % sectorByteCount != 0 {
            findings.warn(refusedTable(header, at: offset, "no multiple of 512"))
        }
        return true
    }

    private func refusedTable(_ header: DynamicHeader, at offset: UInt64, _ problem: String) -> FormatError {
        FormatError(
            .vhdTableOffset, field: "Table Offset", offset: offset + 16,
            "is \(hex(header.tableOffset)): \(problem)", section: "16")
    }

    /// Why the table cannot stand where the header says; nil when it can.
    private func tablePlaceProblem(
        _ header: DynamicHeader, at offset: UInt64, _ needed: UInt64, _ fileByteCount: UInt64
    ) -> String? {
        guard header.tableOffset >= sectorByteCount else { return "the table lies over the footer's copy" }
        guard let table = checkedRange(header.tableOffset, 4 * needed), table.upperBound <= footers.contentsEnd else {
            return "a table of \(needed) entries ends past \(hex(footers.contentsEnd))"
        }
        guard !table.overlaps(offset..<offset + UInt64(DynamicHeader.byteCount)) else {
            return "the table lies over the dynamic header"
        }
        return fileByteCount >= table.upperBound ? nil : "the table ends past the file"
    }

    mutating func noteHeader(_ header: DynamicHeader, at offset: UInt64) {
        if header.dataOffset != noOffset {
            findings.warn(
                FormatError(
                    .vhdHeader, field: "Data Offset", offset: offset + 8,
                    "is \(hex(header.dataOffset)), not all ones; nothing is looked for there", section: "6"))
        }
        if !header.reserved1IsZero || !header.reserved2IsZero {
            findings.warn(
                FormatError(
                    .vhdHeader, field: "Reserved", offset: offset + (header.reserved1IsZero ? 768 : 60),
                    "is not all zeros", section: "6"))
        }
    }
}
