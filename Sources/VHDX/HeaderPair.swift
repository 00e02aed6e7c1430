import BlockIO
import ByteCodec

/// The two headers: which is current, and how both are brought up to date. [MS-VHDX] 2.2.2
struct HeaderPair: Sendable {
    private(set) var current: Header
    /// Index of the current header's place in `Layout.headerOffsets`.
    private(set) var slot: Int
    /// Both valid with one sequence number and different contents: nobody can say which is right.
    let isAmbiguous: Bool

    /// One header as found.
    struct Copy {
        var header: Header
        var hasSignature: Bool
        var hasChecksum: Bool
        var isValid: Bool { hasSignature && hasChecksum }
    }

    static func copy(_ slot: Int, of file: any BlockFile) throws -> Copy {
        let bytes = try file.bytes(at: Layout.headerOffsets[slot], count: Header.byteCount)
        let header = try Header(parsing: bytes.rawBytes)
        return Copy(
            header: header, hasSignature: header.signature == Header.expectedSignature,
            hasChecksum: header.checksum == crc32c(bytes.rawBytes, skippingField: 4))
    }

    /// Chooses the current header: the only valid one, or the one with the larger sequence number.
    init(reading file: any BlockFile, _ findings: inout Findings) throws {
        let copies = [try Self.copy(0, of: file), try Self.copy(1, of: file)]
        var candidates = copies.indices.filter { copies[$0].isValid }
        if candidates.isEmpty {
            try findings.refuse(
                FormatError(
                    .vhdxHeaders, field: "Header", offset: Layout.headerOffsets[0],
                    "1 and 2 are both invalid: each needs its signature and a matching CRC-32C", section: "2.2.2"))
            candidates = copies.indices.filter { copies[$0].hasSignature }
        } else if candidates.count == 1 {
            let bad = 1 - candidates[0]
            findings.warn(
                FormatError(
                    .vhdxHeaders, field: "Header \(bad + 1)", offset: Layout.headerOffsets[bad],
                    "has a wrong \(copies[bad].hasSignature ? "checksum" : "signature"); the other one is used",
                    section: "2.2.2"))
        }
        guard var chosen = candidates.first else {
            throw FormatError(
                .vhdxHeaders, field: "Signature", offset: Layout.headerOffsets[0],
                "is \"head\" in neither of the two headers", section: "2.2.2")
        }
        var isAmbiguous = false
        if candidates.count == 2 {
            let (first, second) = (copies[0].header, copies[1].header)
            if second.sequenceNumber > first.sequenceNumber { chosen = 1 }
            if second.sequenceNumber == first.sequenceNumber {
                isAmbiguous = first != second
                findings.note(
                    isAmbiguous ? .warning : .information,
                    FormatError(
                        .vhdxEqualSequenceNumbers, field: "SequenceNumber", offset: Layout.headerOffsets[1] + 8,
                        isAmbiguous
                            ? "is \(first.sequenceNumber) in both headers, which differ; header 1 is used, for reading"
                            : "is \(first.sequenceNumber) in both headers, which are identical",
                        section: "2.2.2"))
            }
        }
        (current, slot) = (copies[chosen].header, chosen)
        self.isAmbiguous = isAmbiguous
        if !current.reservedIsZero {
            findings.note(
                .information,
                FormatError(
                    .vhdxHeaderReserved, field: "Reserved", offset: Layout.headerOffsets[slot] + 80,
                    "is not zero in the current header", section: "2.2.2"))
        }
    }

    /// What is said about a log that the current header says was not closed.
    func dirtyLog(_ what: String) -> FormatError {
        FormatError(
            .vhdxDirtyLog, field: "LogGuid", offset: Layout.headerOffsets[slot] + 48,
            "says that the file was not closed: its log \(what)", section: "3.1.1")
    }

    var exhausted: FormatError {
        FormatError(
            .vhdxSequenceNumberExhausted, field: "SequenceNumber", offset: Layout.headerOffsets[slot] + 8,
            "cannot grow any further", section: "2.2.2")
    }

    /// Writes the changed header to the slot that is not current, flushes, and does so again: both slots are then up
    /// to date. A cut at any moment leaves at least one valid header, either the old or the new one.
    mutating func update(on file: any BlockFile, _ change: (inout Header) -> Void) throws {
        var next = current
        change(&next)
        guard next.canGrow else {
            throw exhausted
        }
        for _ in 0..<2 {
            next.sequenceNumber += 1
            try file.write(next.sealed(), at: Layout.headerOffsets[1 - slot])
            try file.sync()
            (current, slot) = (next, 1 - slot)
        }
    }
}

extension Header {
    /// Whether there are sequence numbers left for one more update of both headers.
    var canGrow: Bool { sequenceNumber < .max - 2 }

    /// The bytes with their checksum.
    func sealed() -> [UInt8] {
        var copy = self
        copy.checksum = 0
        copy.checksum = crc32c(copy.serialized().rawBytes)
        return copy.serialized()
    }

    /// Checks the fields that place the log. [MS-VHDX] 2.2.2
    /// - Returns: where the log stands; nil when there is none, or no place where one can be.
    func checkedLogRange(
        at offset: UInt64, fileByteCount: UInt64, _ findings: inout Findings
    ) throws(FormatError) -> Range<UInt64>? {
        func refuse(_ code: FormatError.Code, _ field: String, _ at: UInt64, _ problem: String) throws(FormatError) {
            try findings.refuse(FormatError(code, field: field, offset: offset + at, problem, section: "2.2.2"))
        }
        if version != 1 { try refuse(.vhdxVersion, "Version", 66, "is \(version), expected 1") }
        if logGUID != .zero, logVersion != 0 {
            try refuse(.vhdxLogVersion, "LogVersion", 64, "is \(logVersion) with a log to replay, expected 0")
        } else if logVersion != 0 {
            findings.warn(
                FormatError(
                    .vhdxLogVersion, field: "LogVersion", offset: offset + 64,
                    "is \(logVersion), expected 0: nothing is to be replayed, but some programs refuse the image",
                    section: "2.2.2"))
        }
        guard logLength > 0 else {
            if logGUID != .zero { try refuse(.vhdxLogLength, "LogLength", 68, "is 0 with a log to replay") }
            return nil
        }
        guard UInt64(logLength) <= Layout.maximumLogByteCount else {
            try refuse(.vhdxLogLength, "LogLength", 68, "is \(logLength), more than 1 GiB")
            return nil
        }
        guard UInt64(logLength) % Layout.mebibyte == 0 else {
            try refuse(.vhdxAlignment, "LogLength", 68, "is \(logLength), no multiple of 1 MiB")
            return nil
        }
        guard logOffset % Layout.mebibyte == 0, logOffset >= Layout.headerSectionByteCount else {
            try refuse(.vhdxAlignment, "LogOffset", 72, "is \(logOffset), expected a multiple of 1 MiB from 1 MiB on")
            return nil
        }
        guard let range = checkedRange(logOffset, UInt64(logLength)), range.upperBound <= fileByteCount else {
            try refuse(
                .vhdxStructurePastEnd, "LogOffset", 72,
                "and LogLength place the log at \(logOffset) + \(logLength), past the file's end at \(fileByteCount)")
            return nil
        }
        return range
    }
}
