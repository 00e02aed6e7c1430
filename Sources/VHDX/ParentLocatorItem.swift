import ByteCodec
import DiskModel

/// The parent locator: which parent a differencing image was made from, and where that may be. [MS-VHDX] 2.6.2.6
struct ParentLocatorItem: Sendable {
    private(set) var pairs: [(key: String, value: String)] = []

    static let maximumPairCount = 256

    /// The keys that the format names. [MS-VHDX] 2.6.2.6.3
    enum Key {
        static let linkage = "parent_linkage"
        static let secondLinkage = "parent_linkage2"
        static let relativePath = "relative_path"
        static let volumePath = "volume_path"
        static let absolutePath = "absolute_win32_path"
        /// Ours: the merge that was begun with this image.
        static let merge = "vhdtools_merge"
    }

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
        try checkLinkages(start)
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

    private func checkLinkages(_ start: UInt64) throws(FormatError) {
        for key in [Key.linkage, Key.secondLinkage] {
            guard let value = self[key], GUID(value) == nil else { continue }
            throw FormatError(
                .vhdxParentLinkage, field: key, offset: start, "is \"\(value)\", not a GUID", section: "2.6.2.6.3")
        }
        guard self[Key.linkage] != nil else {
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

    private subscript(key: String) -> String? { pairs.first { $0.key == key }?.value }

    /// The parent's DataWriteGuid; during a merge it may be the second one.
    private var linkages: [GUID] {
        [Key.linkage, Key.secondLinkage].compactMap { key in
            guard let id = self[key].flatMap({ GUID($0) }) else { return nil }
            // Windows leaves the second one zero outside merges: that names no parent.
            return key == Key.secondLinkage && id == .zero ? nil : id
        }
    }

    /// The paths in the order in which the specification has them tried.
    private var locators: [ParentLocator] {
        let kinds: [(String, ParentLocator.Kind)] = [
            (Key.relativePath, .relative), (Key.volumePath, .volume), (Key.absolutePath, .absolute),
        ]
        return kinds.compactMap { key, kind in self[key].map { ParentLocator(kind: kind, key: key, path: $0) } }
    }

    var link: ParentLink {
        ParentLink(identities: linkages.map { DiskIdentity(format: .vhdx, id: $0) }, locators: locators)
    }

    // MARK: Writing

    /// The locator of a new child.
    init(naming parent: ParentReference) { name(parent) }

    /// Names another parent. The keys that the format names stand in the order of Windows, which writes the second
    /// linkage as zeros; behind them stay those that are unknown, as they were.
    mutating func name(_ parent: ParentReference) {
        let named: [(key: String, value: String?)] = [
            (Key.linkage, parent.identity.id.braced), (Key.absolutePath, parent.absolutePath),
            (Key.relativePath, parent.windowsRelativePath), (Key.volumePath, parent.volumePath),
            (Key.secondLinkage, GUID.zero.braced),
        ]
        let unknown = pairs.filter { pair in !named.contains { $0.key == pair.key } }
        pairs = named.compactMap { key, value in value.map { (key, $0) } } + unknown
    }

    /// The merge that was begun with this image; what is no id names none.
    var merge: GUID? { self[Key.merge].flatMap { GUID($0) } }

    mutating func remove(_ key: String) { pairs.removeAll { $0.key == key } }

    /// Gives a pair another id for its value, in its place; one that is not there comes last.
    mutating func set(_ key: String, to id: GUID) {
        guard let index = pairs.firstIndex(where: { $0.key == key }) else { return pairs.append((key, id.braced)) }
        pairs[index].value = id.braced
    }

    /// The item's bytes: the table of pairs, then each key with its value behind it, as Windows packs them.
    /// - Parameter path: the image's, for messages.
    /// - Throws: `.refused` for what the item cannot hold.
    func serialized(path: String) throws(DiskError) -> [UInt8] {
        try checkPairs(path)
        var header = ParentLocatorHeader()
        header.keyValueCount = UInt16(pairs.count)
        var bytes = header.serialized()
        var texts: [UInt8] = []
        let start = bytes.count + pairs.count * ParentLocatorEntry.byteCount
        for pair in pairs {
            let (key, value) = (utf16Bytes(pair.key, .little), utf16Bytes(pair.value, .little))
            var entry = ParentLocatorEntry()
            (entry.keyOffset, entry.keyLength) = (UInt32(start + texts.count), UInt16(key.count))
            texts += key
            (entry.valueOffset, entry.valueLength) = (UInt32(start + texts.count), UInt16(value.count))
            texts += value
            bytes += entry.serialized()
        }
        return bytes + texts
    }

    /// A length of text is an even number of 16 bits.
    private static let maximumTextByteCount = 65534

    private func checkPairs(_ path: String) throws(DiskError) {
        func refuse(_ what: String, _ hint: String? = nil) -> DiskError {
            DiskError(.refused, path: path, what, hint: hint)
        }
        guard pairs.count <= Self.maximumPairCount else {
            throw refuse("the parent locator would have \(pairs.count) keys, more than \(Self.maximumPairCount)")
        }
        var byteCount = ParentLocatorHeader.byteCount + pairs.count * ParentLocatorEntry.byteCount
        for (key, value) in pairs {
            for text in [key, value] {
                let count = 2 * text.utf16.count
                guard count > 0 else { throw refuse("\(key) of the parent locator would be empty") }
                guard count <= Self.maximumTextByteCount else {
                    throw refuse(
                        "\(key) of the parent locator would have \(count) bytes, more than \(Self.maximumTextByteCount)",
                        "move the images to where their paths are shorter")
                }
                guard !text.unicodeScalars.contains("\0") else {
                    throw refuse("\(key) of the parent locator would contain a NUL character")
                }
                byteCount += count
            }
        }
        guard byteCount <= Int(Layout.maximumItemByteCount) else {
            throw refuse("the parent locator would have \(byteCount) bytes, more than 1 MiB")
        }
    }
}
