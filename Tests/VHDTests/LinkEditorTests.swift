import BlockIO
import ByteCodec
import DiskModel
import Foundation
import Testing
import VHD

@Suite struct LinkEditorTests {
    /// What is found after naming a parent: its fields, the same disk, no finding but the parent's own, and no change by
    /// naming it again.
    @discardableResult
    static func checkRelink(
        _ file: any BlockFile, to parent: ParentReference, isTidy: Bool = true,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> VHDLayer {
        try VHDLinkEditor.relink(file, to: parent)
        let layer = try VHDLayer(reading: file)
        let header = try #require(layer.header)
        #expect(header.parentUniqueID == parent.identity.id, sourceLocation: sourceLocation)
        #expect(
            header.parentTimestamp == DiskTimestamp(unixSeconds: parent.modified).rawValue,
            sourceLocation: sourceLocation)
        var expected = [ParentLocator(kind: .relative, key: "W2ru", path: parent.windowsRelativePath)]
        if let path = parent.absolutePath { expected.append(ParentLocator(kind: .absolute, key: "W2ku", path: path)) }
        expected.append(ParentLocator(kind: .name, key: "Parent Unicode Name", path: parent.name))
        #expect(layer.parentLink?.locators == expected, sourceLocation: sourceLocation)
        let codes = header.parentLocators.map(\.platformCode).filter { $0 != 0 }
        #expect(codes.count == expected.count - 1, sourceLocation: sourceLocation)
        let report = try VHDChecker.check(file, CheckOptions(), progress: quiet)
        let complaints = report.findings.filter { $0.finding.severity > .information }
        #expect(
            !isTidy || complaints.allSatisfy { $0.finding.detail.code == .vhdUnusualBlockSize }, "\(complaints)",
            sourceLocation: sourceLocation)
        let byteCount = try file.byteCount()
        #expect(
            try file.bytes(at: 0, count: 512) == file.bytes(at: byteCount - 512, count: 512),
            sourceLocation: sourceLocation)
        let log = WriteLog(file)
        try VHDLinkEditor.relink(log, to: parent)
        #expect(log.changes == 0, "naming it again changed the file", sourceLocation: sourceLocation)
        return layer
    }

    @Test func everyLayout() throws {
        let parents = [
            Parents.reference(), Parents.samePaths, Parents.longPaths, Parents.third,
            Parents.reference(Parents.otherID, String(repeating: "n", count: 256), nil),
        ]
        for make in [{ Children.good() }, Children.xen, Children.headerBehind, Children.homeTaken] {
            for first in parents {
                let file = MemoryFile(make())
                let disk = try contents(try VHDLayer(reading: file))
                let id = try VHDLayer(reading: file).footer.uniqueID
                let layer = try Self.checkRelink(file, to: first)
                #expect(try contents(layer) == disk && layer.footer.uniqueID == id)
                for second in parents { #expect(try contents(try Self.checkRelink(file, to: second)) == disk) }
            }
        }
    }

    /// Old places are taken again: the file does not grow with every parent.
    @Test func growthIsBounded() throws {
        let file = MemoryFile(Children.good())
        var largest: UInt64 = 0
        for number in 0..<20 {
            try VHDLinkEditor.relink(file, to: number % 2 == 0 ? Parents.longPaths : Parents.reference())
            if number < 4 { largest = max(largest, file.byteCount()) }
            #expect(file.byteCount() <= largest)
        }
    }

    @Test func headerGoesHome() throws {
        let file = MemoryFile(Children.headerBehind())
        #expect(try VHDLayer(reading: file).footer.dataOffset > 512)
        #expect(try Self.checkRelink(file, to: Parents.samePaths).footer.dataOffset == 512)
        // Without the header behind the blocks.
        #expect(file.byteCount() == UInt64(Good.differencing().bytes.count))
        let taken = MemoryFile(Children.homeTaken())
        let offset = try VHDLayer(reading: taken).footer.dataOffset
        #expect(try Self.checkRelink(taken, to: Parents.reference()).footer.dataOffset == offset)
    }

    @Test func oneSectorIsEnough() throws {
        let file = WriteLog(MemoryFile(Children.good()))
        try VHDLinkEditor.relink(file, to: Parents.samePaths)
        #expect(file.writes == [512..<1024])
    }

    @Test func setParentID() throws {
        let file = WriteLog(MemoryFile(Children.good()))
        let before = Tie(try VHDLayer(reading: file))
        try VHDLinkEditor.setParentID(file, to: Parents.otherID)
        #expect(file.writes == [512..<1024])
        var after = Tie(try VHDLayer(reading: file))
        #expect(after.parentID == Parents.otherID)
        after.parentID = before.parentID
        #expect(after == before)
    }

    @Test func setUniqueID() throws {
        let images = [
            Good.differencing().bytes, Good.dynamic().bytes, Good.xen().bytes, Good.fixed(),
            Array(Good.dynamic().bytes.dropLast()),
        ]
        for bytes in images {
            let file = MemoryFile(bytes)
            let (disk, before) = (try contents(try VHDLayer(reading: file)), Tie(try VHDLayer(reading: file)))
            try VHDLinkEditor.setUniqueID(file, to: Parents.otherID)
            let layer = try VHDLayer(reading: file)
            var after = Tie(layer)
            #expect(after.uniqueID == Parents.otherID)
            after.uniqueID = before.uniqueID
            #expect(try after == before && contents(layer) == disk)
            #expect(!layer.findings.contains { $0.detail.code == .vhdFootersDiffer })
            if layer.type == .fixed { #expect(file.allBytes.prefix(512) == bytes.prefix(512)) }
            let counter = WriteLog(file)
            try VHDLinkEditor.setUniqueID(counter, to: Parents.otherID)
            #expect(counter.changes == 0)
        }
    }

    /// The sign of a merge: docs/formats/vhd.md, Merging.
    @Test func mergeMark() throws {
        for bytes in [Good.differencing().bytes, Good.dynamic().bytes, Good.xen().bytes, Good.fixed()] {
            let file = MemoryFile(bytes)
            let before = try VHDLayer(reading: file)
            let (disk, tie) = (try contents(before), Tie(before))
            try VHDLinkEditor.beginMerge(file, as: Parents.otherID, leaf: Parents.thirdID)
            let renaming = try VHDLayer(reading: file)
            #expect(renaming.identity.id == Parents.otherID && renaming.formerIdentity == before.identity)
            #expect(renaming.unfinishedMerge == Parents.thirdID)
            expectFinding(.vhdUnfinishedMerge, .warning, in: renaming)
            let footer = Array(file.allBytes.suffix(512))
            #expect(Array(footer[448..<464]) == Array("vhdmerge".utf8) + [0, 0, 0, 1, 0, 0, 0, 0])
            #expect(Array(footer[464..<496]) == before.identity.id.bytes(.big) + Parents.thirdID.bytes(.big))
            if renaming.type != .fixed { #expect(Array(file.allBytes.prefix(512)) == footer) }
            try VHDLinkEditor.confirmMerge(file)
            let merging = try VHDLayer(reading: file)
            #expect(merging.unfinishedMerge == Parents.thirdID && merging.formerIdentity == nil)
            #expect(merging.identity.id == Parents.otherID)
            try VHDLinkEditor.endMerge(file)
            let after = try VHDLayer(reading: file)
            #expect(after.unfinishedMerge == nil && after.formerIdentity == nil)
            var now = Tie(after)
            #expect(now.uniqueID == Parents.otherID)
            now.uniqueID = tie.uniqueID
            #expect(try now == tie && contents(after) == disk)
            // Without a mark there is nothing to do.
            let counter = WriteLog(file)
            try VHDLinkEditor.confirmMerge(counter)
            try VHDLinkEditor.endMerge(counter)
            #expect(counter.changes == 0)
        }
    }

    /// What looks nearly like it is none.
    @Test func otherBytesAreNoMergeMark() throws {
        let mark: [UInt8] = Array("vhdmerge".utf8) + [0, 0, 0, 1, 0, 0, 0, 0]
        for (index, value) in [(0, UInt8(ascii: "V")), (11, 0), (11, 3), (8, 1), (12, 1), (15, 255)] {
            var bytes = mark
            bytes[index] = UInt8(value)
            var file = Good.fixed()
            file.replaceSubrange(file.count - 64..<file.count - 48, with: bytes)
            var footer = Array(file.suffix(512))
            let sum = complementedByteSum(footer.rawBytes, skippingField: 64)
            let sumBytes = (0..<4).map { UInt8(truncatingIfNeeded: sum >> (24 - 8 * $0)) }
            footer.replaceSubrange(64..<68, with: sumBytes)
            file.replaceSubrange(file.count - 512..<file.count, with: footer)
            let layer = try VHDLayer(reading: MemoryFile(file))
            #expect(layer.unfinishedMerge == nil && layer.formerIdentity == nil, "byte \(index)")
        }
    }

    // MARK: What others do with it

    /// The paths stand at the end of the file, or in a hole: they stay where they are, whatever moves.
    @Test func editedInPlaceAfterwards() throws {
        for parent in [Parents.reference(), Parents.longPaths] {
            for again in [false, true] {
                let file = MemoryFile(CompactionPowerCutTests.differencing())
                let disk = try contents(try VHDLayer(reading: file))
                try VHDLinkEditor.relink(file, to: parent)
                if again { try VHDLinkEditor.relink(file, to: Parents.third) }
                let tie = Tie(try VHDLayer(reading: file))
                func check(_ size: UInt64) throws {
                    let layer = try VHDLayer(reading: file)
                    #expect(try Tie(layer) == tie && contents(layer) == resized(disk, to: size))
                    let report = try VHDChecker.check(file, CheckOptions(), progress: quiet)
                    #expect(report.count(.error) == 0, "\(report.findings)")
                    _ = try layer.census()
                }
                _ = try VHDCompactor.compact(file, progress: quiet)
                try check(16384)
                _ = try VHDResizer.resize(file, to: 200 * 4096, progress: quiet)
                try check(200 * 4096)
                _ = try VHDCompactor.compact(file, progress: quiet)
                try check(200 * 4096)
                _ = try VHDResizer.resize(file, to: 16384, progress: quiet)
                try check(16384)
                try Self.checkRelink(file, to: Parents.samePaths)
                #expect(try contents(try VHDLayer(reading: file)) == disk)
            }
        }
    }

    /// Between the two footers of a change that was cut off: the reader goes by the trailing one, other edits say what to
    /// do, and the checker's repair of the footer ends it.
    @Test func cutBetweenTheFooters() throws {
        let old = Good.differencing()
        var moved = old
        moved.header?.parentUniqueID = Parents.otherID
        moved.footer.dataOffset = moved.footerOffset
        moved.body += moved.header!.sealed()
        moved.header = old.header
        moved.copy = old.footer.sealed()
        var renamed = Good.differencing()
        renamed.copy = renamed.footer.sealed()
        renamed.footer.uniqueID = Parents.thirdID
        for (image, text) in [(moved, "leads to"), (renamed, "Unique ID was cut off")] {
            let layer = try image.layer()
            #expect(layer.header?.parentUniqueID == (text == "leads to" ? Parents.otherID : TinyImage.parentID))
            #expect(layer.footer.uniqueID == image.footer.uniqueID)
            expectFinding(.vhdFootersDiffer, .error, in: layer)
            expectRefusal(text) { _ = try VHDCompactor.plan(MemoryFile(image.bytes), progress: quiet) }
            expectRefusal(text) { _ = try VHDResizer.plan(MemoryFile(image.bytes), to: 8192) }
            expectRefusal { _ = try VHDLayer(writing: MemoryFile(image.bytes)) }
            let file = MemoryFile(image.bytes)
            let tie = Tie(try VHDLayer(reading: file))
            _ = try VHDChecker.repair(file, [.footer], CheckOptions(), progress: quiet)
            #expect(Tie(try VHDLayer(reading: file)) == tie)
            #expect(try VHDChecker.check(file, CheckOptions(), progress: quiet).count(.error) == 0)
        }
        expectRefusal("leads to") { try VHDLinkEditor.setUniqueID(MemoryFile(moved.bytes), to: Parents.thirdID) }
        expectRefusal("cut off") { try VHDLinkEditor.relink(MemoryFile(renamed.bytes), to: Parents.reference()) }
        let file = MemoryFile(moved.bytes)
        #expect(try Self.checkRelink(file, to: Parents.samePaths).footer.dataOffset == 512)
        #expect(file.byteCount() == UInt64(old.bytes.count))
    }

    /// Broken links are what naming a parent mends.
    @Test func brokenLinksAreReplaced() throws {
        let broken: [(inout TinyImage) -> Void] = [
            { $0.header?.parentUniqueID = .zero },
            { $0.header?.parentLocators[1].platformDataOffset = 1 << 40 },
            { $0.header?.parentLocators[0].platformDataLength = 70000 },
            { $0.body.replaceSubrange(0..<4, with: [7, 0, 7, 0]) },
            { $0.header?.parentLocators = [ParentLocatorEntry](repeating: .init(), count: 8) },
        ]
        for change in broken {
            let file = MemoryFile(Children.good(change))
            let layer = try Self.checkRelink(file, to: Parents.reference())
            #expect(try contents(layer) == Good.disk)
        }
        let file = MemoryFile(Children.good(broken[0]))
        try VHDLinkEditor.setParentID(file, to: Parents.otherID)
        #expect(try VHDLayer(reading: file).header?.parentUniqueID == Parents.otherID)
    }

    // MARK: Refusals

    @Test func refusals() throws {
        func unchanged(_ bytes: [UInt8], _ text: String, _ body: (MemoryFile) throws -> Void) {
            let file = MemoryFile(bytes)
            expectRefusal(text) { try body(file) }
            #expect(file.allBytes == bytes)
        }
        let own = Parents.reference(TinyImage.id)
        let good = Good.differencing().bytes
        for bytes in [Good.dynamic().bytes, Good.fixed()] {
            unchanged(bytes, "no differencing VHD") { try VHDLinkEditor.relink($0, to: Parents.reference()) }
            unchanged(bytes, "no differencing VHD") { try VHDLinkEditor.setParentID($0, to: Parents.otherID) }
        }
        unchanged(good, "same Unique ID") { try VHDLinkEditor.relink($0, to: own) }
        unchanged(good, "same Unique ID") { try VHDLinkEditor.setParentID($0, to: TinyImage.id) }
        unchanged(good, "same Unique ID") { try VHDLinkEditor.setUniqueID($0, to: TinyImage.parentID) }
        unchanged(good, "all zeros") { try VHDLinkEditor.setParentID($0, to: .zero) }
        unchanged(good, "all zeros") { try VHDLinkEditor.setUniqueID($0, to: .zero) }
        let saved = Good.differencing { $0.footer.savedState = 1 }.bytes
        let overlapping = Good.differencing { $0.table[0] = $0.table[2] + 1 }.bytes
        let edits: [(MemoryFile) throws -> Void] = [
            { try VHDLinkEditor.relink($0, to: Parents.reference()) },
            { try VHDLinkEditor.setParentID($0, to: Parents.otherID) },
            { try VHDLinkEditor.setUniqueID($0, to: Parents.otherID) },
        ]
        for edit in edits {
            unchanged(saved, "was saved with this disk", edit)
            let file = MemoryFile(overlapping)
            expectRule(.vhdBlocksOverlap) { try edit(file) }
            #expect(file.allBytes == overlapping)
        }
    }

    // MARK: Real images

    @Test(arguments: ["fat-differential.vhd", "image-differential.vhd", "xen-child.vhd"])
    func realChildren(_ name: String) throws {
        guard let original = try RealImages.open(name) else { return }
        let file = MemoryFile(try original.bytes(at: 0, count: Int(try original.byteCount())))
        if name.hasPrefix("image") {
            expectRule(.vhdChecksum) { try VHDLinkEditor.relink(file, to: Parents.reference()) }
            _ = try VHDChecker.repair(file, [.checksums], CheckOptions(), progress: quiet)
        }
        let before = try VHDLayer(reading: file)
        let (disk, byteCount) = (try contents(before), file.byteCount())
        for parent in [Parents.reference(), Parents.longPaths, Parents.third] {
            let layer = try Self.checkRelink(file, to: parent)
            #expect(try contents(layer) == disk && layer.footer.dataOffset == 512)
            try LinkPeerTests.expectKnown(file.contents, parent, byteCount: layer.geometry.virtualByteCount)
        }
        #expect(file.byteCount() <= byteCount + 4096)
        _ = try VHDCompactor.compact(file, progress: quiet)
        #expect(try contents(try VHDLayer(reading: file)) == disk)
    }
}
