import BlockIO
import ByteCodec

/// One copy of the footer as found in a file.
struct FooterCopy: Sendable {
    let offset: UInt64
    /// Bytes it takes in the file: 512, or 511 in images made before Virtual PC 2004.
    let storedByteCount: UInt64
    /// 512 bytes, the missing one as zero.
    let bytes: [UInt8]
    let footer: Footer
    /// The rule it breaks; nil when it can be used.
    let problem: FormatError?

    var isValid: Bool { problem == nil }
    /// Whether everything but the checksum is right, so that a person may choose to use it.
    var failsOnlyChecksum: Bool { problem?.code == .vhdChecksum }
    var isSparse: Bool { [DiskTypeCode.dynamic, DiskTypeCode.differencing].contains(footer.diskType) }

    /// - Parameter cookieCode: the rule that is broken where there is no footer.
    init(
        reading file: any BlockFile, at offset: UInt64, storedByteCount: UInt64 = 512, cookieCode: FormatError.Code
    ) throws {
        var bytes = try file.bytes(at: offset, count: Int(storedByteCount))
        bytes += [UInt8].zeros(Footer.byteCount - bytes.count)
        let footer = try Footer(parsing: bytes.rawBytes)
        (self.offset, self.storedByteCount) = (offset, storedByteCount)
        (self.bytes, self.footer) = (bytes, footer)
        problem = Self.problem(of: footer, bytes, at: offset, cookieCode)
    }

    /// The first rule a footer breaks, from identity over version and type to the checksum, which therefore is only
    /// blamed when it alone is wrong.
    private static func problem(
        of footer: Footer, _ bytes: [UInt8], at offset: UInt64, _ cookieCode: FormatError.Code
    ) -> FormatError? {
        switch footer.cookie {
        case Footer.cookie: break
        case Array("v_poison".utf8):
            return FormatError(
                .vhdDisabled, field: "Cookie", offset: offset,
                "is \"v_poison\": the image was disabled on purpose", section: "14")
        case Array("vjournal".utf8):
            return FormatError(
                .vhdDisabled, field: "Cookie", offset: offset,
                "is \"vjournal\": this is the journal of a resize, not an image", section: "14")
        default:
            return FormatError(
                cookieCode, field: "Cookie", offset: offset,
                "is \(quoted(footer.cookie)), not \"conectix\"", section: "3")
        }
        guard footer.fileFormatVersion >> 16 == 1 else {
            return FormatError(
                .vhdFormatVersion, field: "File Format Version", offset: offset + 12,
                "is \(hex(footer.fileFormatVersion)), not 0x10000", section: "3")
        }
        guard (DiskTypeCode.fixed...DiskTypeCode.differencing).contains(footer.diskType) else {
            return FormatError(
                .vhdDiskType, field: "Disk Type", offset: offset + 60,
                "is \(footer.diskType), not 2, 3 or 4", section: "2")
        }
        return checksumProblem(of: footer, bytes, at: offset)
    }

    private static func checksumProblem(of footer: Footer, _ bytes: [UInt8], at offset: UInt64) -> FormatError? {
        let sum = complementedByteSum(bytes.rawBytes, skippingField: Footer.checksumOffset)
        if sum == footer.checksum { return nil }
        // Early XenServer set the hidden byte and left the sum as it was.
        if footer.isTap, [1, 0x0001_0001].contains(footer.creatorVersion) {
            if sum &+ UInt32(footer.hidden) == footer.checksum { return nil }
        }
        return FormatError(
            .vhdChecksum, field: "Checksum", offset: offset + UInt64(Footer.checksumOffset),
            "of the footer is \(hex(footer.checksum)), the bytes give \(hex(sum))", section: "4")
    }
}

extension Footer {
    /// Made by XenServer's blktap.
    var isTap: Bool { creatorApplication.starts(with: Array("tap".utf8)) }
}

/// The footer's copies in a file, and which of them is used.
struct FooterCopies: Sendable {
    /// At the end of the file.
    let trailing: FooterCopy
    /// At offset 0; nil for fixed disks, where guest data stands there.
    let copy: FooterCopy?
    let usesTrailing: Bool

    var active: FooterCopy { if !usesTrailing, let copy { copy } else { trailing } }

    /// Where the region of blocks and other structures ends: at the trailing footer, or at the end of the file where
    /// there is none.
    let contentsEnd: UInt64

    /// Finds the copies and chooses: the trailing one; where it is damaged, the copy at 0 of a dynamic or differencing
    /// image.
    /// - Throws: `FormatError`, also for a checksum that was not accepted; `IOError`.
    init(reading file: any BlockFile, _ findings: inout Findings) throws {
        let byteCount = try file.byteCount()
        guard byteCount >= 511 else {
            throw FormatError(
                .vhdTooShort, field: "footer", offset: 0, "does not fit: the file has \(byteCount) bytes", section: "15"
            )
        }
        let isShort = byteCount % 512 == 511
        let stored: UInt64 = isShort ? 511 : 512
        let trailing = try FooterCopy(
            reading: file, at: byteCount - stored, storedByteCount: stored, cookieCode: .vhdTrailingFooter)
        if isShort, trailing.isValid || trailing.failsOnlyChecksum {
            findings.warn(
                FormatError(
                    .vhdShortFooter, field: "footer", offset: trailing.offset,
                    "has 511 bytes, as before Virtual PC 2004; the missing one counts as zero", section: "14"))
        } else if byteCount % 512 != 0 {
            findings.warn(
                FormatError(
                    .vhdTrailingBytes, field: "file", offset: byteCount,
                    "has \(byteCount) bytes, no whole number of 512-byte sectors", section: "15"))
        }
        if trailing.problem?.code == .vhdDisabled, let problem = trailing.problem { throw problem }

        self.trailing = trailing
        // A fixed disk's first sector belongs to the guest, who may put anything there, even a footer.
        if trailing.isValid, !trailing.isSparse {
            (copy, usesTrailing, contentsEnd) = (nil, true, trailing.offset)
            return
        }
        let copy = byteCount >= 1024 ? try FooterCopy(reading: file, at: 0, cookieCode: .vhdFooterCopy) : nil
        if copy?.problem?.code == .vhdDisabled, let problem = copy?.problem { throw problem }
        let (usable, acceptable) = Self.judge(copy)
        if trailing.isValid {
            (self.copy, usesTrailing, contentsEnd) = (copy, true, trailing.offset)
            noteCopy(&findings)
        } else if usable, !trailing.failsOnlyChecksum || trailing.isSparse, let problem = trailing.problem {
            (self.copy, usesTrailing) = (copy, false)
            // A footer that is only damaged still ends the blocks' region.
            contentsEnd = trailing.failsOnlyChecksum ? trailing.offset : byteCount
            findings.warn(problem)
        } else if trailing.failsOnlyChecksum, let problem = trailing.problem {
            try findings.refuse(problem)
            (self.copy, usesTrailing, contentsEnd) = (trailing.isSparse ? copy : nil, true, trailing.offset)
        } else if acceptable, let problem = copy?.problem {
            try findings.refuse(problem)
            (self.copy, usesTrailing, contentsEnd) = (copy, false, byteCount)
        } else {
            throw trailing.problem ?? Self.missing(at: trailing.offset)
        }
    }

    private static func judge(_ copy: FooterCopy?) -> (usable: Bool, acceptable: Bool) {
        guard let copy, copy.isSparse else { return (false, false) }
        return (copy.isValid, copy.failsOnlyChecksum)
    }

    private static func missing(at offset: UInt64) -> FormatError {
        FormatError(.vhdTrailingFooter, field: "footer", offset: offset, "is missing", section: "3")
    }

    /// Notes what is wrong with the copy at 0 where the trailing footer is used.
    private func noteCopy(_ findings: inout Findings) {
        if let problem = copyProblem { return findings.warn(problem) }
        if let difference { findings.note(copiesContradict ? .error : .warning, difference) }
    }

    /// Why the copy at 0 cannot be used; nil when it can.
    var copyProblem: FormatError? {
        if let copy, copy.isValid { return nil }
        let problem = copy?.problem?.problem ?? "is missing"
        let field = copy?.problem?.field ?? "footer"
        return FormatError(
            .vhdFooterCopy, field: field, offset: copy?.problem?.offset ?? 0,
            "of the copy at 0 is not valid: \(problem)", section: "15")
    }

    /// How two valid copies differ; nil when they do not.
    var difference: FormatError? {
        guard let copy, copy.isValid, trailing.isValid, copy.bytes != trailing.bytes else { return nil }
        let offset = zip(copy.bytes, trailing.bytes).enumerated().first { $1.0 != $1.1 }?.offset ?? 0
        return FormatError(
            .vhdFootersDiffer, field: "footer", offset: trailing.offset + UInt64(offset),
            "differs from its copy at 0 from byte \(offset) on; this one is used", section: "15")
    }

    /// Whether both copies are valid and disagree about what the disk is.
    var copiesContradict: Bool {
        guard let copy, copy.isValid, trailing.isValid else { return false }
        let (a, b) = (copy.footer, trailing.footer)
        return a.currentSize != b.currentSize || a.uniqueID != b.uniqueID || a.dataOffset != b.dataOffset
            || a.diskType != b.diskType
    }
}

func hex(_ value: some BinaryInteger) -> String { "0x" + String(value, radix: 16) }

/// Bytes as text where they are printable, else in hexadecimal.
func quoted(_ bytes: [UInt8]) -> String {
    if bytes.allSatisfy({ (0x20...0x7e).contains($0) }) { return "\"\(String(decoding: bytes, as: UTF8.self))\"" }
    return "0x" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
