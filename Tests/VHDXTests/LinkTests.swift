import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing

@testable import VHDX

/// Parent locators, changed in images of several makers.
@Suite struct LinkTests {
    static let edits: [LinkEdit] = [
        .relink("q.vhdx"), .relink("../far/away/\u{1f4be}.vhdx", absolutePath: "D:\\q.vhdx", changesData: true),
        .relink(
            "q.vhdx", absolutePath: "\\\\?\\UNC\\server\\share\\q.vhdx",
            volumePath: "\\\\?\\Volume{5e0bd954-71b2-4bff-a928-082af7ab0f8f}\\q.vhdx"),
        .relink(String(repeating: "long/", count: 1000) + "q.vhdx"), .second(LinkEdit.newID), .second(nil), .first,
    ]

    @Test(arguments: LinkedImage.all, edits) func edited(_ image: LinkedImage, _ edit: LinkEdit) throws {
        let file = MemoryFile(image.contents)
        let before = try VHDXLayer(reading: MemoryFile(image.contents))
        let linesBefore = try locatorLines(file)
        try edit.run(file)
        let after = try VHDXLayer(reading: file)
        #expect(try locatorLines(file) == edit.expected(linesBefore))
        let isChanged = try locatorLines(file) != linesBefore
        #expect((after.dataWriteGUID != before.dataWriteGUID) == edit.changesData)
        #expect((after.currentHeader.fileWriteGUID != before.currentHeader.fileWriteGUID) == isChanged)
        #expect(after.currentHeader.logGUID == .zero && !after.hasReplayedLog)
        #expect(after.findings == before.findings)
        #expect(try DiskView(after) == DiskView(before))
        try expectOnlyMetadataChanged(image.contents, file.contents, after)
        #expect(try check(file.contents, isDeep: true).findings == check(image.contents, isDeep: true).findings)
        // The same again: nothing is written unless a new identity is asked for.
        let done = file.contents
        try edit.run(file)
        #expect(areSame(file.contents, done) != edit.changesData)
        #expect(try locatorLines(file) == edit.expected(linesBefore))
    }

    /// Everything but headers and log is as before, and so is each other item.
    private func expectOnlyMetadataChanged(
        _ old: MemoryFile.Contents, _ new: MemoryFile.Contents, _ layer: VHDXLayer
    ) throws {
        #expect(old.byteCount == new.byteCount)
        for range in [0..<65536, 196608..<mebibyte, TinyImage.table..<old.byteCount] as [Range<UInt64>] {
            let same = areEqual(old.bytes(range), new.bytes(range))
            #expect(same, "bytes from \(range.lowerBound) on changed")
        }
        let before = try VHDXLayer(reading: MemoryFile(old))
        let items = zip(before.metadata.table, layer.metadata.table)
        for (a, b) in items where a.entry.itemID != KnownGUID.parentLocator {
            #expect(a.entry == b.entry && a.offset == b.offset)
            let range = TinyImage.metadata + UInt64(a.entry.offset)
            let end = range + UInt64(a.entry.length)
            #expect(old.bytes(range..<end) == new.bytes(range..<end))
        }
        #expect(before.metadata.table.count == layer.metadata.table.count)
    }

    /// Resizing and compacting go on with a locator that moved.
    @Test(arguments: LinkedImage.all) func editedAfterwards(_ image: LinkedImage) throws {
        let file = MemoryFile(image.contents)
        try LinkEdit.relink(String(repeating: "long/", count: 1000) + "q.vhdx").run(file)
        let moved = try VHDXLayer(reading: file)
        let place = try #require(moved.metadata.find(KnownGUID.parentLocator)).entry.offset
        let placeBefore = try VHDXLayer(reading: MemoryFile(image.contents)).metadata.find(KnownGUID.parentLocator)!
        #expect(
            (place == placeBefore.entry.offset) == (image.description == "foreign" || image.description == "our own"))
        let lines = try locatorLines(file)
        let view = try DiskView(moved)
        for size: UInt64 in [9 << 20, 5 << 30, 6 << 20] {
            let before = try DiskView(VHDXLayer(reading: file))
            _ = try VHDXResizer.resize(file, to: size, progress: quiet)
            #expect(try DiskView(VHDXLayer(reading: file)) == before.resized(to: size, isDifferencing: true))
            #expect(try locatorLines(file) == lines)
        }
        _ = try VHDXCompactor.compact(file, progress: quiet)
        #expect(try locatorLines(file) == lines)
        #expect(try DiskView(VHDXLayer(reading: file)) == view.resized(to: 6 << 20))
        try LinkEdit.first.run(file)
        #expect(try check(file.contents).count(.error) == 0)
    }

    // MARK: Room

    private static func metadata(_ items: [(GUID, UInt32, UInt32)]) throws -> Metadata {
        var image = try TinyImage()
        image.makeDifferencing()
        for (id, offset, length) in items {
            image.addItem(id, flags: 0, [UInt8](repeating: 1, count: Int(length)), offset: offset)
        }
        return try VHDXLayer(reading: image.file).metadata
    }

    /// The five items end at 65576, the locator stands at 0x20000.
    @Test func roomBetweenItems() throws {
        func room(_ items: [(GUID, UInt32, UInt32)], _ byteCount: Int) throws -> UInt32? {
            try Self.metadata(items).room(for: KnownGUID.parentLocator, byteCount: byteCount)
        }
        let (a, b) = (GUID(6, 6, 6, 1), GUID(6, 6, 6, 2))
        #expect(try room([], 100_000) == 0x20000)
        #expect(try room([], 0x100000 - 0x20000) == 0x20000)
        #expect(try room([], 0x100000 - 0x20000 + 1) == 65576)
        #expect(try room([], 0x100000 - 65576) == 65576)
        #expect(try room([], 0x100000 - 65575) == nil)
        let behind = [(a, UInt32(0x20400), UInt32(100))]
        #expect(try room(behind, 0x400) == 0x20000)
        #expect(try room(behind, 0x401) == 65576)
        #expect(try room(behind, 0x20400 - 65576) == 65576)
        #expect(try room(behind, 0x20400 - 65575) == 0x20464)
        let around = [(b, UInt32(65580), UInt32(0x1ff00 - 65580)), (a, UInt32(0x20400), UInt32(100))]
        #expect(try room(around, 4) == 0x20000)
        #expect(try room(around, 0x401) == 0x1ff00)
        #expect(try room(around, 0x500) == 0x1ff00)
        #expect(try room(around, 0x501) == 0x20464)
    }

    @Test func regionWithoutRoom() throws {
        var image = try TinyImage()
        image.makeDifferencing()
        let behind =
            0x20000 + UInt32(locator([("parent_linkage", TinyImage.linkage), ("relative_path", "p.vhdx")]).count)
        image.addItem(GUID(6, 6, 6, 1), flags: 0, [UInt8](repeating: 1, count: Int(0x100000 - behind)), offset: behind)
        image.addItem(GUID(6, 6, 6, 2), flags: 0, [UInt8](repeating: 1, count: 0x20000 - 65576), offset: 65576)
        for edit in [LinkEdit.relink("q.vhdx"), .second(LinkEdit.newID), .first] {
            let file = image.file
            let error = try #require(throws: DiskError.self) { try edit.run(file) }
            #expect(error.kind == .refused && error.hint != nil && "\(error)".contains("no room"), "\(error)")
            #expect(areSame(file.contents, image.contents))
        }
    }

    /// A locator that takes most of a log entry; and one that takes more.
    @Test func longLocators() throws {
        let long = String(repeating: "x", count: 32765)
        let edit = LinkEdit.relink(long, absolutePath: long, volumePath: long)
        let file = MemoryFile(LinkedImage.crowded.contents)
        let before = try locatorLines(file)
        try edit.run(file)
        #expect(try locatorLines(file) == edit.expected(before))
        var image = try TinyImage()
        let pairs = (0..<4).map { ("unknown \($0)", long) }
        image.makeDifferencing([("parent_linkage", TinyImage.linkage), ("relative_path", "p.vhdx")] + pairs)
        let other = image.file
        let error = try #require(throws: DiskError.self) { try LinkEdit.first.run(other) }
        #expect(error.kind == .refused && "\(error)".contains("log"), "\(error)")
        #expect(areSame(other.contents, image.contents))
    }

    // MARK: What is refused

    @Test func imagesThatAreNotEdited() throws {
        var withError = try TinyImage()
        withError.makeDifferencing()
        var withoutLocator = withError
        withError.setEntry(0, 4)
        withoutLocator.put(UInt16(5), at: TinyImage.metadata + 10)
        var ambiguous = try TinyImage()
        ambiguous.makeDifferencing()
        ambiguous.put(ambiguous.integer(131072 + 8, as: UInt64.self), at: 65536 + 8)
        ambiguous.put(testGUID, at: 65536 + 32)
        ambiguous.seal()
        for image in [try TinyImage(), try TinyImage(type: .fixed), withError, withoutLocator, ambiguous] {
            for edit in [LinkEdit.relink("q.vhdx"), .second(nil), .first] {
                let file = image.file
                let error = try #require(throws: DiskError.self) { try edit.run(file) }
                #expect([.refused, .format].contains(error.kind), "\(error)")
                #expect(areSame(file.contents, image.contents), "\(error)")
            }
        }
    }

    @Test func namesThatAreNotWritten() throws {
        var vhd = ParentReference(LinkEdit.newID, "q.vhd")
        vhd.identity.format = .vhd
        let names = [
            vhd, ParentReference(testGUID, "a\\b"), ParentReference(testGUID, "/q.vhdx"),
            ParentReference(testGUID, "q\0.vhdx"), ParentReference(testGUID, "q.vhdx", absolutePath: ""),
            ParentReference(testGUID, "q.vhdx", volumePath: String(repeating: "x", count: 32768)),
        ]
        for name in names {
            let file = MemoryFile(LinkedImage.ours.contents)
            let error = try #require(throws: DiskError.self) {
                try VHDXLinkEditor.relink(file, to: name, changesData: true)
            }
            #expect(error.kind == .refused, "\(error)")
            #expect(areSame(file.contents, LinkedImage.ours.contents))
        }
    }

    /// As many keys as a locator holds, and one more.
    @Test func tooManyKeys() throws {
        func image(_ count: Int) throws -> MemoryFile {
            var image = try TinyImage()
            let unknown = (2..<count).map { ("key \($0)", "v") }
            image.makeDifferencing([("parent_linkage", TinyImage.linkage), ("relative_path", "p.vhdx")] + unknown)
            return image.file
        }
        let full = try image(255)
        try LinkEdit.first.run(full)
        #expect(try locatorLines(full).count == 256)
        let overfull = try image(256)
        let error = try #require(throws: DiskError.self) { try LinkEdit.first.run(overfull) }
        #expect(error.kind == .refused && "\(error)".contains("257"), "\(error)")
    }
}
