import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing

@testable import VHDX

/// Differencing images that we make.
@Suite struct ChildTests {
    struct Shape: Sendable {
        var type = ImageType.dynamic
        var size: UInt64
        var sector = 512
        var block: UInt64
        /// In bytes, worked out by hand.
        var table: UInt64
    }
    static let shapes: [Shape] = [
        Shape(size: 12 << 20, block: 1 << 20, table: 1 << 20),
        Shape(type: .fixed, size: 12 << 20, block: 2 << 20, table: 1 << 20),
        Shape(size: (3 << 20) + 512, block: 256 << 20, table: 1 << 20),
        Shape(size: 512, block: 32 << 20, table: 1 << 20),
        Shape(size: 40 << 20, sector: 4096, block: 2 << 20, table: 1 << 20),
        // 2 MiB blocks: 2048 and one entry a chunk of 4 GiB; 64 chunks take 64 * 2049 * 8 bytes.
        Shape(size: 256 << 30, block: 2 << 20, table: 2 << 20),
        // Without the last chunk's bitmap entry, the table of 127 GiB in blocks of 1 MiB would fit into 1 MiB.
        Shape(size: 126_976 << 20, block: 1 << 20, table: 1 << 20),
        Shape(size: (126_976 << 20) + 512, block: 1 << 20, table: 2 << 20),
        Shape(size: 64 << 40, block: 1 << 20, table: 513 << 20),
        Shape(size: 64 << 40, sector: 4096, block: 256 << 20, table: 3 << 20),
    ]

    @Test(arguments: shapes) func made(_ shape: Shape) throws {
        let parent = try TinyImage(
            type: shape.size < 1 << 30 ? shape.type : .dynamic, byteCount: shape.size,
            logicalSectorByteCount: shape.sector)
        let above = try VHDXLayer(reading: parent.file)
        let file = try makeChild(of: parent.contents, blockByteCount: shape.block)
        let layer = try VHDXLayer(reading: file)
        #expect(layer.type == .differencing)
        var geometry = above.geometry
        geometry.blockByteCount = shape.block
        #expect(layer.geometry == geometry)
        #expect(layer.virtualDiskID == above.virtualDiskID && layer.virtualDiskID == GUID(1, 2, 3, 4))
        #expect(layer.parentLink?.identities == [above.identity])
        #expect(layer.identity != above.identity && layer.currentHeader.fileWriteGUID != layer.dataWriteGUID)
        #expect(layer.findings.isEmpty, "\(layer.findings)")
        let extents = try layer.extents(in: 0..<shape.size, limit: 10)
        #expect(extents == [Extent(offset: 0, byteCount: shape.size, source: .parent)])
        #expect(layer.regions.metadata.range == 2 << 20..<3 << 20)
        #expect(layer.regions.blockAllocationTable.range == 3 << 20..<(3 << 20) + shape.table)
        #expect(file.byteCount() == (3 << 20) + shape.table)
        let report = try check(file.contents, isDeep: true)
        #expect(report.findings.isEmpty && report.isReadable, "\(report.lines())")
        #expect(VHDXChecker.checkParent(child: layer, parent: above).isEmpty)
        // A child of the child.
        let next = try makeChild(of: file.contents)
        let grandchild = try VHDXLayer(reading: next)
        #expect(grandchild.parentLink?.identities == [layer.identity] && grandchild.virtualDiskID == GUID(1, 2, 3, 4))
        #expect(VHDXChecker.checkParent(child: grandchild, parent: layer).isEmpty)
        #expect(try locatorLines(next).count == 3, "the child's own locator does not go on to the grandchild")
    }

    @Test func bytesOfMetadataAndLocator() throws {
        let parent = try TinyImage(logicalSectorByteCount: 4096)
        let id = try VHDXLayer(reading: parent.file).dataWriteGUID
        let file = try makeChild(
            of: parent.contents, "../images/base disk.vhdx", absolutePath: "C:\\images\\base disk.vhdx",
            volumePath: "\\\\?\\Volume{5e0bd954-71b2-4bff-a928-082af7ab0f8f}\\images\\base disk.vhdx")
        let image = TinyImage(file.contents)
        #expect(image.integer(TinyImage.metadata + 10, as: UInt16.self) == 6)
        let pairs = [
            ("parent_linkage", "{\(id)}"), ("absolute_win32_path", "C:\\images\\base disk.vhdx"),
            ("relative_path", "..\\images\\base disk.vhdx"),
            ("volume_path", "\\\\?\\Volume{5e0bd954-71b2-4bff-a928-082af7ab0f8f}\\images\\base disk.vhdx"),
            ("parent_linkage2", "{00000000-0000-0000-0000-000000000000}"),
        ]
        let expected = locator(pairs)
        let items: [(GUID, UInt32, UInt32, [UInt8])] = [
            (KnownGUID.fileParameters, 65536, 4, little(UInt32(1 << 20)) + little(UInt32(2))),
            (KnownGUID.virtualDiskSize, 65544, 6, little(UInt64(8 << 20))),
            (KnownGUID.virtualDiskID, 65552, 6, GUID(1, 2, 3, 4).bytes(.little)),
            (KnownGUID.logicalSectorSize, 65568, 6, little(UInt32(4096))),
            (KnownGUID.physicalSectorSize, 65572, 6, little(UInt32(4096))),
            (KnownGUID.parentLocator, 65576, 4, expected),
        ]
        for (index, item) in items.enumerated() {
            let at = TinyImage.item(UInt64(index))
            let entry = item.0.bytes(.little) + little(item.1) + little(UInt32(item.3.count)) + little(item.2)
            #expect(image.bytes(at, 32) == entry + little(UInt32(0)), "item \(index)")
            #expect(image.bytes(TinyImage.metadata + UInt64(item.1), UInt64(item.3.count)) == item.3, "item \(index)")
        }
        #expect(image.bytes(TinyImage.item(6), 4096).allSatisfy { $0 == 0 })
    }

    /// A locator of Windows, named again by us, has the same bytes.
    @Test(.enabled(if: CorpusTests.folder != nil)) func locatorIsAsWindowsWritesIt() throws {
        let layer = try VHDXLayer(reading: try CorpusTests.image("fat-differential.vhdx"))
        let item = try #require(layer.metadata.find(KnownGUID.parentLocator))
        let theirs = try layer.file.bytes(at: item.start, count: Int(item.entry.length))
        let values = Dictionary(uniqueKeysWithValues: layer.parentLocatorPairs)
        let reference = ParentReference(
            try #require(layer.parentLink?.identities.first).id, "fat-parent.vhdx",
            absolutePath: values["absolute_win32_path"], volumePath: values["volume_path"])
        #expect(try ParentLocatorItem(naming: reference).serialized(path: "") == theirs)
        #expect(theirs.count == 674 && item.entry.flags == 4)
    }

    // MARK: Items of the parent

    private static let kept: [(id: GUID, flags: UInt32)] = [
        (GUID(7, 1, 0, 1), 3), (GUID(7, 1, 0, 2), 2), (GUID(7, 1, 0, 3), 3), (KnownGUID.chsParameters, 6),
        // A user item may have the name of a system item.
        (KnownGUID.parentLocator, 3),
    ]
    private static let dropped: [(id: GUID, flags: UInt32)] = [
        (GUID(7, 2, 0, 1), 1), (GUID(7, 2, 0, 2), 0), (KnownGUID.persistentMemoryLabels, 4),
    ]

    /// A parent with items of its maker: some of the disk, some of the file, one of them empty, in a region of 6 MiB.
    private static func parentWithItems() throws -> (image: TinyImage, bytes: [GUID: [UInt8]]) {
        var random = SplitMix(seed: 5)
        var image = try TinyImage()
        var bytes: [GUID: [UInt8]] = [:]
        var items: [(UInt64, [UInt8])] = []
        var offset: UInt32 = 0x30001
        for (index, item) in (kept + dropped).enumerated() {
            let count = [1 << 20, 777, 0, 8, (1 << 20) - 3, 5, 1 << 19, 3][index]
            let contents = random.bytes(count)
            image.addItem(item.id, flags: item.flags, [], offset: 0)
            let at = TinyImage.item(UInt64(5 + index))
            image.put(count == 0 ? 0 : offset, at: at + 16)
            image.put(UInt32(count), at: at + 20)
            items.append((UInt64(offset), contents))
            bytes[item.id] = contents
            offset += UInt32(count) + 100
        }
        let start = image.moveMetadata(byteCount: 6 << 20)
        for (offset, contents) in items where !contents.isEmpty { image.put(contents, at: start + offset) }
        return (image, bytes)
    }

    @Test func itemsOfTheDiskAreCopied() throws {
        let (parent, bytes) = try Self.parentWithItems()
        var contents = parent.contents
        // Twice: the grandchild has them from the child.
        for generation in 1...2 {
            let file = try makeChild(of: contents)
            contents = file.contents
            let layer = try VHDXLayer(reading: file)
            let found = layer.metadata.table.map(\.entry)
            #expect(found.count == 6 + Self.kept.count)
            for item in Self.kept {
                let entry = try #require(found.first { $0.itemID == item.id && $0.isUser == (item.flags & 1 != 0) })
                #expect(entry.flags == item.flags && Int(entry.length) == bytes[item.id]?.count)
                let copy = try file.bytes(at: (2 << 20) + UInt64(entry.offset), count: Int(entry.length))
                let same = copy == bytes[item.id]
                #expect(same, "generation \(generation), item \(item.id)")
                #expect(entry.length > 0 || entry.offset == 0)
            }
            for item in Self.dropped { #expect(!found.contains { $0.itemID == item.id }) }
            #expect(layer.regions.metadata.range == 2 << 20..<5 << 20)
            #expect(layer.regions.blockAllocationTable.range == 5 << 20..<6 << 20)
            let report = try check(contents)
            #expect(report.worst == .information && report.isReadable, "\(report.lines())")
            #expect(report.findings.allSatisfy { $0.finding.detail.code == .vhdxUnknownOptional }, "\(report.lines())")
        }
    }

    @Test func reservedFlagsAreNotCopied() throws {
        var parent = try TinyImage()
        parent.addItem(GUID(7, 7, 7, 7), flags: 0x1b, [1, 2, 3])
        let layer = try VHDXLayer(reading: try makeChild(of: parent.contents))
        #expect(layer.metadata.table.last?.entry.flags == 3)
    }

    @Test func tooManyItems() throws {
        var parent = try TinyImage()
        for index in 0..<UInt64(2041) {
            let at = TinyImage.item(5 + index)
            parent.put(GUID(8, 8, 8, index), at: at)
            parent.put(UInt32(2), at: at + 24)
        }
        parent.put(UInt16(2046), at: TinyImage.metadata + 10)
        #expect(try VHDXLayer(reading: try makeChild(of: parent.contents)).metadata.table.count == 2047)
        parent.put(GUID(8, 8, 8, 2041), at: TinyImage.item(2046))
        parent.put(UInt32(2), at: TinyImage.item(2046) + 24)
        parent.put(UInt16(2047), at: TinyImage.metadata + 10)
        let error = try #require(throws: DiskError.self) { try makeChild(of: parent.contents) }
        #expect(error.kind == .refused && error.explanation.contains("2048"), "\(error)")
    }

    // MARK: What is refused

    @Test(arguments: [
        "a\\b.vhdx", "x/a\\b/c.vhdx", "", "/abs/a.vhdx", "..", "dir/", "a/.", "nul\0.vhdx",
        String(repeating: "x", count: 32768), String(repeating: "d/", count: 20000) + "a",
    ])
    func pathsThatCannotBeWritten(_ path: String) throws {
        let parent = try TinyImage()
        let error = try #require(throws: DiskError.self) { try makeChild(of: parent.contents, path) }
        #expect(error.kind == .refused, "\(error)")
        for other in ["", "C:\\nul\0", String(repeating: "x", count: 32768)] {
            let absolute = try #require(throws: DiskError.self) {
                try makeChild(of: parent.contents, absolutePath: other)
            }
            let volume = try #require(throws: DiskError.self) { try makeChild(of: parent.contents, volumePath: other) }
            #expect(absolute.kind == .refused && absolute.explanation.contains("absolute_win32_path"), "\(absolute)")
            #expect(volume.kind == .refused && volume.explanation.contains("volume_path"), "\(volume)")
        }
    }

    @Test func longestPath() throws {
        // 32767 units of 16 bits, two of them the `.\` in front; letters outside of plane 0 have two.
        let path = String(repeating: "x", count: 32765 - 2) + "\u{1f4be}"
        let file = try makeChild(of: try TinyImage().contents, path)
        #expect(try VHDXLayer(reading: file).parentLink?.locators.first?.path == ".\\" + path)
        #expect(try check(file.contents).findings.isEmpty)
        #expect(throws: DiskError.self) { try makeChild(of: try TinyImage().contents, path + "x") }
    }

    @Test func parentsThatGetNoChild() throws {
        let parent = try VHDXLayer(reading: try TinyImage().file)
        func refusal(
            _ parent: VHDXLayer, _ reference: ParentReference, on file: MemoryFile = MemoryFile(),
            block: UInt64 = 1 << 20
        ) throws -> DiskError {
            let before = file.contents
            let error = try #require(throws: DiskError.self) {
                try VHDXCreator.createChild(on: file, of: parent, named: reference, blockByteCount: block)
            }
            #expect(areSame(file.contents, before), "something was written")
            return error
        }
        let right = ParentReference(to: parent)
        for block: UInt64 in [0, 1 << 19, (1 << 20) + 512, 3 << 20, 512 << 20, 1 << 63] {
            #expect(try refusal(parent, right, block: block).kind == .refused, "\(block)")
        }
        #expect(try refusal(parent, right, on: MemoryFile(MemoryFile.Contents([1]))).kind == .refused)
        var vhd = right
        vhd.identity.format = .vhd
        #expect(try refusal(parent, vhd).kind == .refused)
        #expect(try refusal(parent, ParentReference(testGUID, "p.vhdx")).kind == .identityMismatch)
        // Two headers that contradict each other.
        var image = try TinyImage()
        image.put(image.integer(131072 + 8, as: UInt64.self), at: 65536 + 8)
        image.put(testGUID, at: 65536 + 32)
        image.seal()
        let ambiguous = try VHDXLayer(reading: image.file)
        #expect(try refusal(ambiguous, ParentReference(to: ambiguous)).kind == .refused)
        // An image that only opens with an accepted error.
        image = try TinyImage()
        image.put([0], at: 0)
        var options = VHDXReadOptions()
        options.accepted = [.vhdxIdentifier]
        let bad = try VHDXLayer(reading: image.file, options: options)
        #expect(try refusal(bad, ParentReference(to: bad)).kind == .refused)
    }

    /// A parent whose log is pending: its identity is the one that it has afterwards.
    @Test func parentWithADirtyLog() throws {
        let parent = try TinyImage().file
        let writer = try VHDXLayer(writing: parent)
        try writer.write([UInt8](repeating: 1, count: 512).rawBytes, at: 0)
        try writer.flush()
        #expect(try VHDXLayer(reading: parent).hasReplayedLog)
        let child = try VHDXLayer(reading: try makeChild(of: parent.contents))
        try writer.close()
        #expect(VHDXChecker.checkParent(child: child, parent: try VHDXLayer(reading: parent)).isEmpty)
    }
}
