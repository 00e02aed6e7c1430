import ByteCodec
import DiskModel

/// What the dynamic header of a differencing image says about its parent, made from how the parent is to be named.
struct ParentFields: Sendable, Equatable {
    /// The text of one parent locator, and the slot it gets.
    struct Locator: Sendable, Equatable {
        var slot: Int
        var platformCode: UInt32
        /// UTF-16, little-endian, without a terminator.
        var bytes: [UInt8]

        /// Space kept for it in the file: whole sectors, given in bytes as Windows does.
        var spaceByteCount: UInt64 { UInt64(bytes.count).roundedUp(to: sectorByteCount) }
    }

    static let nameByteCount = 512

    let uniqueID: GUID
    let timestamp: UInt32
    /// UTF-16, big-endian, padded with NULs.
    let unicodeName: [UInt8]
    /// In the slots that Windows uses: the absolute path in 0, the relative one in 1.
    let locators: [Locator]

    /// - Parameter path: the child's file, for messages.
    /// - Throws: `.refused` for an identity, a name or a path that a VHD cannot hold, or that its readers refuse.
    init(_ reference: ParentReference, path: String) throws(DiskError) {
        func refused(_ text: String, _ hint: String? = nil) -> DiskError {
            DiskError(.refused, path: path, doing: "naming the parent", cause: .message(text), hint: hint)
        }
        guard reference.identity.format == .vhd else {
            throw refused("the parent of a VHD is a VHD, and this one is \(reference.identity.format.title)")
        }
        guard reference.identity.id != .zero else {
            throw refused("the parent's Unique ID is all zeros", "give the parent a Unique ID first")
        }
        if let problem = Self.problem(ofRelativePath: reference.relativePath) {
            throw refused("the relative path to the parent " + problem)
        }
        if let text = reference.absolutePath, let problem = text.isEmpty ? "is empty" : Self.problem(of: text) {
            throw refused("the absolute path of the parent " + problem)
        }
        let name = utf16Bytes(reference.name, .big)
        guard name.count <= Self.nameByteCount else {
            throw refused(
                "the parent's name has \(name.count / 2) UTF-16 units, and a VHD holds \(Self.nameByteCount / 2)",
                "give the parent a shorter name")
        }
        uniqueID = reference.identity.id
        timestamp = DiskTimestamp(unixSeconds: reference.modified).rawValue
        unicodeName = name + [UInt8].zeros(Self.nameByteCount - name.count)
        let texts = [
            (PlatformCode.absoluteWindows, reference.absolutePath),
            (PlatformCode.relativeWindows, reference.windowsRelativePath),
        ]
        var locators: [Locator] = []
        for (slot, (code, text)) in texts.enumerated() {
            guard let bytes = text.map({ utf16Bytes($0, .little) }) else { continue }
            guard UInt64(bytes.count) <= ParentLocatorParser.longestByteCount else {
                throw refused(
                    "a path of \(bytes.count) bytes is longer than the \(ParentLocatorParser.longestByteCount) that are read")
            }
            locators.append(Locator(slot: slot, platformCode: code, bytes: bytes))
        }
        self.locators = locators
    }

    private static func problem(of text: String) -> String? {
        ParentLocatorParser.controlCharacter(in: text).map { "holds the control character \(hex($0.value))" }
    }

    private static func problem(ofRelativePath text: String) -> String? {
        let components = text.split(separator: "/")
        guard let name = components.last else { return "is empty" }
        guard !text.hasPrefix("/") else { return "begins with a slash" }
        guard name != ".", name != ".." else { return "ends in no file name" }
        guard !text.contains("\\") else {
            return "holds a backslash, which in a VHD stands between folders"
        }
        return problem(of: text)
    }

    // MARK: In the file

    /// Bytes that the paths take in the file, each in sectors of its own.
    var dataByteCount: UInt64 { locators.reduce(0) { $0 + $1.spaceByteCount } }

    /// The paths as they stand in the file, one behind the other.
    var data: [UInt8] {
        locators.flatMap { $0.bytes + [UInt8].zeros(Int($0.spaceByteCount) - $0.bytes.count) }
    }

    /// The header's eight slots for paths that stand at an offset, a multiple of 512.
    func entries(at offset: UInt64) -> [ParentLocatorEntry] {
        var entries = [ParentLocatorEntry](repeating: .init(), count: DynamicHeader.locatorCount)
        var position = offset
        for locator in locators {
            entries[locator.slot].platformCode = locator.platformCode
            entries[locator.slot].platformDataSpace = UInt32(locator.spaceByteCount)
            entries[locator.slot].platformDataLength = UInt32(locator.bytes.count)
            entries[locator.slot].platformDataOffset = position
            position += locator.spaceByteCount
        }
        return entries
    }
}

extension DynamicHeader {
    /// Names a parent whose paths stand where `entries` say.
    mutating func setParent(_ fields: ParentFields, _ entries: [ParentLocatorEntry]) {
        (parentUniqueID, parentTimestamp) = (fields.uniqueID, fields.timestamp)
        (parentUnicodeName, parentLocators) = (fields.unicodeName, entries)
    }
}
