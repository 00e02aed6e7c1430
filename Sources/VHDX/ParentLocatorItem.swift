import ByteCodec
import DiskModel

/// The parent locator: which parent a differencing image was made from, and where that may be. [MS-VHDX] 2.6.2.6
struct ParentLocatorItem: Sendable {
    private(set) var pairs: [(key: String, value: String)] = []
    /// The parent's DataWriteGuid; during a merge it may be the second one.
    private(set) var linkages: [GUID] = []

    static let maximumPairCount = 256

    /// - Parameter start: where the item stands in the file.
    init(_ bytes: [UInt8], at start: UInt64) throws(FormatError) {
        guard bytes.count >= ParentLocatorHeader.byteCount else {
            throw FormatError(
                .vhdxLocatorTable, field: "KeyValueCount", offset: start,
                "does not fit: the item has \(bytes.count) bytes", section: "2.6.2.6.1")
        }
        let header = try ParentLocatorHeader(parsing: bytes.rawBytes)
        guard header.locatorType == KnownGUID.parentLocatorType else {
            throw FormatError(
                .vhdxLocatorType, field: "LocatorType", offset: start,
                "is \(header.locatorType), expected \(KnownGUID.parentLocatorType)", section: "2.6.2.6.1")
        }
        let count = Int(header.keyValueCount)
        guard count > 0, count <= Self.maximumPairCount else {
            throw FormatError(
                .vhdxLocatorCount, field: "KeyValueCount", offset: start + 18,
                "is \(count), expected 1 to \(Self.maximumPairCount)", section: "2.6.2.6.1")
        }
        guard ParentLocatorHeader.byteCount + count * ParentLocatorEntry.byteCount <= bytes.count else {
            throw FormatError(
                .vhdxLocatorTable, field: "KeyValueCount", offset: start + 18,
                "is \(count), more than the item's \(bytes.count) bytes hold", section: "2.6.2.6.1")
        }
        try readPairs(bytes, count, start)
        try readLinkages(start)
    }

    private mutating func readPairs(_ bytes: [UInt8], _ count: Int, _ start: UInt64) throws(FormatError) {
        for index in 0..<count {
            let at = ParentLocatorHeader.byteCount + index * ParentLocatorEntry.byteCount
            let entry = try ParentLocatorEntry(
                parsing: bytes.rawBytes.extracting(at..<at + ParentLocatorEntry.byteCount))
            let place = start + UInt64(at)
            let key = try Self.text(bytes, entry.keyOffset, entry.keyLength, "Key", start, place)
            let value = try Self.text(bytes, entry.valueOffset, entry.valueLength, "Value", start, place + 4)
            guard !pairs.contains(where: { $0.key == key }) else {
                throw FormatError(
                    .vhdxLocatorDuplicateKey, field: "Key", offset: start + UInt64(entry.keyOffset),
                    "\"\(key)\" occurs twice", section: "2.6.2.6.2")
            }
            pairs.append((key, value))
        }
    }

    private static func text(
        _ bytes: [UInt8], _ offset: UInt32, _ length: UInt16, _ name: String, _ start: UInt64, _ place: UInt64
    ) throws(FormatError) -> String {
        guard offset > 0, length > 0, length % 2 == 0, UInt64(offset) + UInt64(length) <= UInt64(bytes.count) else {
            throw FormatError(
                .vhdxLocatorText, field: "\(name)Offset", offset: place,
                "and \(name)Length are \(offset) and \(length), expected an even run inside the \(bytes.count) bytes",
                section: "2.6.2.6.2")
        }
        let raw = bytes.rawBytes.extracting(Int(offset)..<Int(offset) + Int(length))
        guard let text = strictUTF16(raw, .little), !text.unicodeScalars.contains("\0") else {
            throw FormatError(
                .vhdxLocatorEncoding, field: name, offset: start + UInt64(offset),
                "is not UTF-16 text without NUL", section: "2.6.2.6.2")
        }
        return text
    }

    private mutating func readLinkages(_ start: UInt64) throws(FormatError) {
        for key in ["parent_linkage", "parent_linkage2"] {
            guard let value = pairs.first(where: { $0.key == key })?.value else { continue }
            guard let id = GUID(value) else {
                throw FormatError(
                    .vhdxParentLinkage, field: key, offset: start, "is \"\(value)\", not a GUID",
                    section: "2.6.2.6.3")
            }
            // Windows leaves the second one zero outside merges: that names no parent.
            if key == "parent_linkage2", id == .zero { continue }
            linkages.append(id)
        }
        guard pairs.contains(where: { $0.key == "parent_linkage" }) else {
            throw FormatError(
                .vhdxParentLinkage, field: "parent_linkage", offset: start, "is not in the parent locator",
                section: "2.6.2.6.3")
        }
        guard !locators.isEmpty else {
            throw FormatError(
                .vhdxParentLinkage, field: "relative_path", offset: start,
                "and the other paths are missing; at least one is needed", section: "2.6.2.6.3")
        }
    }

    /// The paths in the order in which the specification has them tried.
    private var locators: [ParentLocator] {
        let kinds: [(String, ParentLocator.Kind)] = [
            ("relative_path", .relative), ("volume_path", .volume), ("absolute_win32_path", .absolute),
        ]
        return kinds.compactMap { key, kind in
            pairs.first { $0.key == key }.map { ParentLocator(kind: kind, key: key, path: $0.value) }
        }
    }

    var link: ParentLink {
        ParentLink(identities: linkages.map { DiskIdentity(format: .vhdx, id: $0) }, locators: locators)
    }
}
