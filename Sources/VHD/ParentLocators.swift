import BlockIO
import ByteCodec
import DiskModel

/// The platform codes of parent locators, as big-endian letters.
enum PlatformCode {
    static let relativeWindows: UInt32 = 0x5732_7275  // W2ru
    static let absoluteWindows: UInt32 = 0x5732_6b75  // W2ku
    static let oldRelativeWindows: UInt32 = 0x5769_3272  // Wi2r
    static let oldAbsoluteWindows: UInt32 = 0x5769_326b  // Wi2k
    static let macAlias: UInt32 = 0x4d61_6320  // Mac
    static let macURL: UInt32 = 0x4d61_6358  // MacX

    /// In the order in which they are tried.
    static let order = [relativeWindows, macURL, absoluteWindows, oldRelativeWindows, oldAbsoluteWindows]
}

/// Reads the places where a differencing image says that its parent may be.
struct ParentLocatorParser {
    static let longestByteCount: UInt64 = 65_536

    let file: any BlockFile
    let fileByteCount: UInt64
    /// In the order in which they are to be tried.
    private(set) var locators: [ParentLocator] = []
    /// Where the paths stand in the file.
    private(set) var ranges: [Range<UInt64>] = []

    init(file: any BlockFile, fileByteCount: UInt64) { (self.file, self.fileByteCount) = (file, fileByteCount) }

    mutating func parse(_ header: DynamicHeader, at offset: UInt64, _ findings: inout Findings) throws {
        var found: [(rank: Int, locator: ParentLocator)] = []
        for (slot, entry) in header.parentLocators.enumerated() where entry.platformCode != 0 {
            let place = offset + DynamicHeader.locatorsOffset + 24 * UInt64(slot)
            noteSpace(of: entry, slot, place, &findings)
            do {
                guard let path = try path(of: entry, slot, place, &findings) else { continue }
                found.append((PlatformCode.order.firstIndex(of: entry.platformCode) ?? .max, path))
            } catch let error as FormatError {
                try findings.refuse(error)
            }
        }
        locators = found.enumerated().sorted { ($0.element.rank, $0.offset) < ($1.element.rank, $1.offset) }
            .map(\.element.locator)
        do {
            if let name = try Self.name(header, at: offset) { locators.append(name) }
        } catch {
            try findings.refuse(error)
        }
    }

    private func noteSpace(of entry: ParentLocatorEntry, _ slot: Int, _ place: UInt64, _ findings: inout Findings) {
        let (space, byteCount) = (entry.platformDataSpace, entry.spaceByteCount)
        guard byteCount % sectorByteCount != 0 || byteCount < UInt64(entry.platformDataLength) else { return }
        findings.warn(
            FormatError(
                .vhdParentLocator, field: "Platform Data Space", offset: place + 4,
                "of slot \(slot) is \(space), for a path of \(entry.platformDataLength) bytes", section: "10.3"))
    }

    /// The locator of a slot; nil for one that holds no path we can read.
    private mutating func path(
        of entry: ParentLocatorEntry, _ slot: Int, _ place: UInt64, _ findings: inout Findings
    ) throws -> ParentLocator? {
        let length = UInt64(entry.platformDataLength)
        guard length <= Self.longestByteCount else {
            throw Self.error(place + 8, "Platform Data Length", "of slot \(slot) is \(length), more than 65536")
        }
        guard let range = checkedRange(entry.platformDataOffset, length), range.upperBound <= fileByteCount else {
            throw Self.error(
                place + 16, "Platform Data Offset",
                "of slot \(slot) is \(hex(entry.platformDataOffset)): \(length) bytes from there end past the file")
        }
        if !range.isEmpty { ranges.append(range) }
        let bytes = try file.bytes(at: range.lowerBound, count: Int(length))
        let text: String
        let kind: ParentLocator.Kind
        switch entry.platformCode {
        case PlatformCode.relativeWindows: (text, kind) = (try Self.utf16(bytes, .little, range.lowerBound), .relative)
        case PlatformCode.absoluteWindows: (text, kind) = (try Self.utf16(bytes, .little, range.lowerBound), .absolute)
        case PlatformCode.macURL: (text, kind) = (try Self.utf8(bytes, range.lowerBound), .url)
        case PlatformCode.oldRelativeWindows: (text, kind) = (Self.singleBytes(bytes), .relative)
        case PlatformCode.oldAbsoluteWindows: (text, kind) = (Self.singleBytes(bytes), .absolute)
        case PlatformCode.macAlias: return nil
        default:
            findings.warn(
                FormatError(
                    .vhdUnknownLocator, field: "Platform Code", offset: place,
                    "of slot \(slot) is \(hex(entry.platformCode)), which is not known", section: "10.3"))
            return nil
        }
        try Self.checkText(text, "Platform Data", range.lowerBound)
        guard !text.isEmpty else { return nil }
        return ParentLocator(kind: kind, key: Self.letters(entry.platformCode), path: text)
    }

    /// The last component of the Parent Unicode Name.
    private static func name(_ header: DynamicHeader, at offset: UInt64) throws(FormatError) -> ParentLocator? {
        let place = offset + DynamicHeader.nameOffset
        let bytes = strippingNULs(header.parentUnicodeName, unitByteCount: 2)
        // The field may hold half of a surrogate pair, which no file name we could open has.
        guard let text = strictUTF16(bytes.rawBytes, .big) else { return nil }
        try checkText(text, "Parent Unicode Name", place)
        let last = text.split(whereSeparator: { $0 == "\\" || $0 == "/" }).last
        return last.map { ParentLocator(kind: .name, key: "Parent Unicode Name", path: String($0)) }
    }

    // MARK: Text

    private static func utf16(_ bytes: [UInt8], _ order: ByteOrder, _ offset: UInt64) throws(FormatError) -> String {
        guard bytes.count % 2 == 0 else {
            throw error(offset, "Platform Data", "has \(bytes.count) bytes, an odd number for UTF-16")
        }
        guard let text = strictUTF16(strippingNULs(bytes, unitByteCount: 2).rawBytes, order) else {
            throw error(offset, "Platform Data", "is no valid UTF-16")
        }
        return text
    }

    private static func utf8(_ bytes: [UInt8], _ offset: UInt64) throws(FormatError) -> String {
        guard let text = String(validating: strippingNULs(bytes, unitByteCount: 1), as: UTF8.self) else {
            throw error(offset, "Platform Data", "is no valid UTF-8")
        }
        return text
    }

    private static func singleBytes(_ bytes: [UInt8]) -> String {
        String(String.UnicodeScalarView(strippingNULs(bytes, unitByteCount: 1).map { Unicode.Scalar($0) }))
    }

    private static func strippingNULs(_ bytes: [UInt8], unitByteCount: Int) -> [UInt8] {
        var end = bytes.count - bytes.count % unitByteCount
        while end >= unitByteCount, bytes[end - unitByteCount..<end].allSatisfy({ $0 == 0 }) { end -= unitByteCount }
        return Array(bytes[..<end])
    }

    /// No NUL and no control character: they hide what a person would see.
    private static func checkText(_ text: String, _ field: String, _ offset: UInt64) throws(FormatError) {
        guard let bad = controlCharacter(in: text) else { return }
        throw error(offset, field, "holds the control character \(hex(bad.value))")
    }

    /// The first character that no path may hold, NUL among them.
    static func controlCharacter(in text: String) -> Unicode.Scalar? {
        text.unicodeScalars.first { $0.value < 0x20 || (0x7f...0x9f).contains($0.value) }
    }

    private static func letters(_ code: UInt32) -> String {
        String(decoding: (0..<4).map { UInt8(truncatingIfNeeded: code >> (24 - 8 * $0)) }, as: UTF8.self)
    }

    private static func error(_ offset: UInt64, _ field: String, _ problem: String) -> FormatError {
        FormatError(.vhdParentLocator, field: field, offset: offset, problem, section: "10.3")
    }
}

extension ParentLocatorEntry {
    /// Platform Data Space in bytes. Sectors says the specification, bytes say most writers; the values are apart.
    var spaceByteCount: UInt64 {
        let space = UInt64(platformDataSpace)
        return space < sectorByteCount ? space * sectorByteCount : space
    }
}
