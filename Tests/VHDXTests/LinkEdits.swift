import BlockIO
import ByteCodec
import DiskModel

@testable import VHDX

/// A change of a parent locator, and the pairs that it leaves.
struct LinkEdit: Sendable, CustomStringConvertible {
    var description: String
    var changesData = false
    var run: @Sendable (any BlockFile) throws(DiskError) -> Void
    /// The lines of `locatorLines` after it, from those before.
    var expected: @Sendable ([String]) -> [String]

    static let newID = GUID(0xabcd_ef01, 2, 3, 4)
    static let newText = "{abcdef01-0002-0003-0000-000000000004}"
    static let zeroText = "{00000000-0000-0000-0000-000000000000}"
    static let known = [
        "parent_linkage=", "parent_linkage2=", "relative_path=", "absolute_win32_path=", "volume_path=",
    ]

    private static func replacing(_ key: String, _ value: String, in lines: [String]) -> [String] {
        guard let index = lines.firstIndex(where: { $0.hasPrefix(key + "=") }) else {
            return lines + ["\(key)=\(value)"]
        }
        var lines = lines
        lines[index] = "\(key)=\(value)"
        return lines
    }

    static func relink(
        _ path: String, absolutePath: String? = nil, volumePath: String? = nil, changesData: Bool = false
    ) -> LinkEdit {
        let reference = ParentReference(newID, path, absolutePath: absolutePath, volumePath: volumePath)
        return LinkEdit(
            description: "relink to \(path.prefix(40))\(changesData ? ", other data" : "")", changesData: changesData,
            run: { file throws(DiskError) in
                try VHDXLinkEditor.relink(file, to: reference, changesData: changesData)
            },
            expected: { lines in
                ["parent_linkage=\(newText)"] + (absolutePath.map { ["absolute_win32_path=\($0)"] } ?? [])
                    + ["relative_path=\(reference.windowsRelativePath)"]
                    + (volumePath.map { ["volume_path=\($0)"] } ?? []) + ["parent_linkage2=\(zeroText)"]
                    + lines.filter { line in !known.contains { line.hasPrefix($0) } }
            })
    }

    static func second(_ id: GUID?) -> LinkEdit {
        LinkEdit(
            description: "second linkage \(id == nil ? "zero" : "set")",
            run: { file throws(DiskError) in try VHDXLinkEditor.setSecondLinkage(file, to: id) },
            expected: { replacing("parent_linkage2", id == nil ? zeroText : newText, in: $0) })
    }

    static let first = LinkEdit(
        description: "linkage",
        run: { file throws(DiskError) in try VHDXLinkEditor.setSecondLinkage(file, to: nil, first: newID) },
        expected: {
            replacing("parent_linkage2", zeroText, in: replacing("parent_linkage", newText, in: $0))
        })
}

/// Children whose parent locators are changed.
struct LinkedImage: Sendable, CustomStringConvertible {
    var description: String
    var contents: MemoryFile.Contents

    /// As we make them.
    static let ours = LinkedImage(
        description: "our own",
        contents: try! makeChild(
            of: try! TinyImage().contents, absolutePath: "C:\\p.vhdx", volumePath: "\\\\?\\Volume{x}\\p.vhdx"
        ).contents)

    /// One of another maker: no second linkage, keys that nobody knows, blocks and a bitmap.
    static let foreign = LinkedImage(description: "foreign", contents: try! foreignImage(at: 0x20000).contents)
    /// Its locator begins and ends inside pages, with items close before and behind it.
    static let crowded: LinkedImage = {
        let start: UInt32 = 0x20fc3
        var image = try! foreignImage(at: start)
        let length = UInt32(locator(foreignPairs).count)
        image.addItem(GUID(5, 5, 5, 1), flags: 0, [UInt8](repeating: 0x51, count: 900), offset: start - 900)
        image.addItem(GUID(5, 5, 5, 2), flags: 1, [UInt8](repeating: 0x52, count: 5000), offset: start + length)
        image.addItem(GUID(5, 5, 5, 3), flags: 2, [UInt8](repeating: 0x53, count: 10), offset: 0x10060)
        return LinkedImage(description: "crowded", contents: image.contents)
    }()
    static let all = [ours, foreign, crowded]

    static let foreignPairs = [
        ("relative_path", "p.vhdx"), ("maker's key", "\u{1f4be} value"), ("parent_linkage", TinyImage.linkage),
        ("second key", "\\\\x"),
    ]

    private static func foreignImage(at offset: UInt32) throws -> TinyImage {
        var image = try TinyImage()
        image.put(UInt32(2), at: TinyImage.metadata + 65536 + 4)
        image.addItem(KnownGUID.parentLocator, flags: 4, locator(foreignPairs), offset: offset)
        var bits = [UInt8](repeating: 0, count: 1 << 20)
        bits[256] = 0x10
        image.setEntry(4096, image.append(bits) | 6)
        image.putBlock(0, 1)
        image.putBlock(1, 2, state: 7)
        image.setEntry(2, 2)
        return image
    }
}
