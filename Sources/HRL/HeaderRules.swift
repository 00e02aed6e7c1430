public import BlockIO
import ByteCodec
public import DiskModel

// What a file header must satisfy: rules 1 to 10, 22 and 24, and the bounds of the file.

extension LogHeader {
    /// Reads a header and checks only that it is one, of a version we know: enough to order logs, closed or not.
    /// - Throws: `DiskError` of kind `.format` with HRL040, HRL001, HRL041 or HRL002, or of kind `.io`.
    public init(from file: any BlockFile) throws(DiskError) {
        var findings = LogFindings(path: file.path)
        self = try LogHeader.raw(file)
        _ = try isReadable(&findings)
    }

    /// The fields as they stand, unchecked.
    static func raw(_ file: any BlockFile) throws(DiskError) -> LogHeader {
        let size: UInt64
        let bytes: [UInt8]
        do {
            size = try file.byteCount()
            bytes = size < UInt64(byteCount) ? [] : try file.bytes(at: 0, count: byteCount)
        } catch { throw DiskError(error, doing: "reading the log's header") }
        do throws(FormatError) {
            guard !bytes.isEmpty else {
                throw FormatError(
                    .hrlFileTooShort, field: "file", offset: 0, "has \(size) bytes; a header alone has \(byteCount)",
                    section: Chapter.header.rawValue)
            }
            return try LogHeader(parsing: bytes.rawBytes)
        } catch { throw DiskError(error, path: file.path) }
    }

    private static func place(_ field: String) -> LogFindings.Place {
        LogFindings.Place(.header, field, at: offset(of: field))
    }

    /// Whether this is a header whose other fields mean something: cookie and version.
    func isReadable(_ findings: inout LogFindings) throws(DiskError) -> Bool {
        guard Array(cookie.prefix(7)) == Self.signature else {
            try findings.reject(
                .hrlCookie, Self.place("Cookie"), "is \(text(cookie)), not \"msctlog\": not a replica log")
            return false
        }
        if cookie[7] != 0, cookie[7] != 0x20 {
            findings.note(.warning, .hrlCookie, Self.place("Cookie"), "ends with \(hex(cookie[7])), not space or NUL")
        }
        guard logFormatVersion != Self.version2.byteSwapped, logFormatVersion != Self.version1.byteSwapped else {
            try findings.reject(
                .hrlByteOrder, Self.place("LogFormatVersion"), "has its bytes in big-endian order, which no log has")
            return false
        }
        switch (majorVersion, logFormatVersion & 0xffff) {
        case (2, 0): break
        case (2, let minor):
            findings.note(.warning, .hrlVersion, Self.place("LogFormatVersion"), "is 2.\(minor), known is 2.0")
        case (1, _):
            findings.note(
                .warning, .hrlVersion, Self.place("LogFormatVersion"), "is 1; its layout is assumed, not documented")
        case (let major, _):
            try findings.reject(
                .hrlVersion, Self.place("LogFormatVersion"), "has major version \(major), known are 1 and 2")
            return false
        }
        return true
    }

    /// Checks everything but the end of the log.
    /// - Returns: whether blocks can be looked for.
    func judge(_ findings: inout LogFindings, bytes: [UInt8]) throws(DiskError) -> Bool {
        let sum = complementedByteSum(bytes.rawBytes, skippingField: Self.checksumOffset)
        if sum != checksum {
            let problem = "is \(hex(checksum)), the header's bytes give \(hex(sum))"
            if isClosed {
                try findings.refuse(.hrlHeaderChecksum, Self.place("Checksum"), problem)
            } else {
                findings.note(.warning, .hrlHeaderChecksum, Self.place("Checksum"), problem)
            }
        }
        if !isClosed {
            try findings.reject(.hrlNotClosed, Self.place("EOLLocation"), "is 0: the log was not closed")
        }
        noteOddities(&findings)
        guard try isMetadataSizeUsable(&findings) else { return false }
        if uniqueID == .zero || uniqueID == previousUniqueID {
            try findings.refuse(
                .hrlUniqueID, Self.place("UniqueId"),
                uniqueID == .zero ? "is zero" : "\(uniqueID) is also the PreviousUniqueId")
        }
        return true
    }

    private func noteOddities(_ findings: inout LogFindings) {
        if errorCode != 0 {
            findings.note(.warning, .hrlErrorCode, Self.place("ErrorCode"), "is \(errorCode), expected 0")
        }
        if fileType != 0 {
            findings.note(
                .error, .hrlFileType, Self.place("FileType"),
                "is \(fileType), only 0 is a replica log that can be applied")
        }
        if flags != 0 { findings.note(.warning, .hrlReserved, Self.place("Flags"), "is \(hex(flags)), expected 0") }
        if !reservedIsZero {
            findings.note(.warning, .hrlReserved, Self.place("Reserved"), "holds other bytes than zero")
        }
    }

    func isMetadataSizeUsable(_ findings: inout LogFindings) throws(DiskError) -> Bool {
        let place = Self.place("MetadataSize")
        guard Self.metadataSizes.contains(metadataSize) else {
            try findings.reject(
                .hrlMetadataSize, place,
                "is \(metadataSize), allowed are \(Self.metadataSizes.lowerBound) to \(Self.metadataSizes.upperBound)")
            return false
        }
        guard metadataSize % 32 == 0 else {
            try findings.reject(.hrlMetadataSize, place, "is \(metadataSize), no multiple of 32")
            return false
        }
        if metadataSize % 512 != 0 {
            findings.note(.warning, .hrlMetadataSize, place, "is \(metadataSize), no multiple of 512")
        }
        return true
    }

    /// Checks a closed log's end against the file.
    /// - Returns: whether blocks can be looked for; a log that ends with its header has none.
    func judgeEnd(fileByteCount: UInt64, _ findings: inout LogFindings) throws(DiskError) -> Bool {
        let place = Self.place("EOLLocation")
        let header = UInt64(Self.byteCount)
        if eolLocation > fileByteCount || eolLocation > UInt64(Int64.max) {
            try findings.reject(
                .hrlEndOfLog, place, "is \(eolLocation), past the file's end at \(fileByteCount)")
            return false
        }
        if eolLocation != header, eolLocation < header + UInt64(metadataSize) {
            try findings.reject(
                .hrlEndOfLog, place,
                "is \(eolLocation), less than header and one block of \(metadataSize) bytes need")
            return false
        }
        if eolLocation == header {
            findings.note(.warning, .hrlNoBlocks, place, "is \(eolLocation): the log has no metadata block")
        }
        if eolLocation < fileByteCount {
            findings.note(
                .information, .hrlBytesPastEnd, LogFindings.Place(.layout, "file", at: eolLocation),
                "goes on for \(fileByteCount - eolLocation) bytes after the end of the log; they are ignored")
        }
        if currentSize != eolLocation {
            findings.note(
                .warning, .hrlCurrentSize, Self.place("CurrentSize"), "is \(currentSize), EOLLocation is \(eolLocation)"
            )
        }
        return true
    }

    private func text(_ bytes: [UInt8]) -> String {
        "\"" + bytes.map { (0x20..<0x7f).contains($0) ? String(UnicodeScalar($0)) : "." }.joined() + "\""
    }
}
