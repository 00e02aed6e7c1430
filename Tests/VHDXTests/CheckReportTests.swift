import BlockIO
import ByteCodec
import DiskModel
import Testing

@testable import VHDX

/// What a check says in words and numbers, the rules that need the parent, and the order among repairs.
@Suite struct CheckReportTests {
    private static let kept = CheckReport.keptCount

    @Test func saysWhetherTheLogHeldAnything() throws {
        var image = try GoodImage.make(.dynamic)
        image.setLogGUID(testGUID)
        #expect(try check(image.contents).lines().contains("giving the log up loses nothing"))
        image.log(TinyLogEntry(sequence: 9), at: 8192)
        image.put([1], at: mebibyte + 8192 + 2000)
        #expect(try check(image.contents).lines().contains("changes of the metadata are lost"))
    }

    @Test func namesBothOwners() throws {
        var image = try GoodImage.make(.dynamic)
        image.setEntry(6, image.integer(TinyImage.table + 16, as: UInt64.self))
        let report = try check(image.contents)
        #expect(report.lines(.error).contains("of block 6 is 5, in the space of block 2"), "\(report.lines())")
        #expect(report.lines(.error).contains("vhdconvert --accept VHDX021"))
    }

    /// Errors in every structure at once.
    @Test func goesOnBehindErrors() throws {
        var image = try GoodImage.make(.dynamic)
        image.put([1], at: 0)
        image.put([1], at: 131072)
        image.put([1], at: 196608)
        image.put(UInt32(0), at: TinyImage.item(1) + 24)
        image.put(UInt32(0), at: TinyImage.metadata + 65536 + 36)
        image.setEntry(1, 4)
        image.setEntry(4, 1 << 20 | 6)
        image.setEntry(6, image.integer(TinyImage.table, as: UInt64.self))
        let report = try check(image.contents)
        #expect(
            Set(report.findings.map(\.finding.detail.code)) == [
                .vhdxIdentifier, .vhdxHeaders, .vhdxRegionTableCopies, .vhdxItemFlags, .vhdxPhysicalSectorSize,
                .vhdxBlockState, .vhdxOverlap, .vhdxDuplicateBlock,
            ], "\(report.lines())")
    }

    @Test func goesOnWithoutHeaders() throws {
        var image = try GoodImage.make(.dynamic)
        for start: UInt64 in [65536, 131072] { image.put([1], at: start) }
        image.setEntry(1, 4)
        let report = try check(image.contents)
        #expect(report.errorCodes == [.vhdxHeaders, .vhdxBlockState], "\(report.lines())")
        #expect(!report.isReadable)
    }

    /// A thousand breaches of one rule: a hundred kept, the rest counted, pairs and all.
    @Test func manyBreaches() throws {
        var image = try TinyImage(byteCount: 2048 << 20)
        let shared = image.append([1], count: mebibyte)
        for index in 0..<UInt64(1000) { image.setEntry(index, shared | 6) }
        for index in 1000..<UInt64(2000) { image.setEntry(index, 5) }
        let report = try check(image.contents)
        #expect(report.count(.error) == 2 * Self.kept, "\(report.lines())")
        #expect(report.droppedCount == 999 - Self.kept + 1000 - Self.kept)
        let pairs = report.findings.filter { $0.finding.detail.code == .vhdxDuplicateBlock }
        #expect(pairs.allSatisfy { $0.finding.detail.problem.contains("in the space of block 0") })
        let mended = try repair(image.contents, [.dropBlocks])
        #expect(mended.actions.count == Self.kept + 1)
        #expect(mended.actions.last?.what == "900 more of this kind")
        #expect(try check(mended.contents).errorCodes == [.vhdxDuplicateBlock])
    }

    /// The table of a disk of 64 TiB, all present: bounded memory is what the map and the page cache allow.
    @Test func largeTableOfHoles() throws {
        let file = MemoryFile()
        try VHDXCreator.create(on: file, type: .dynamic, virtualByteCount: 64 << 40, blockByteCount: 1 << 20)
        let report = try check(file.contents)
        #expect(report.findings.isEmpty, "\(report.lines())")
    }

    @Test func progressIsMonotonousAndStops() throws {
        for kind in GoodImage.Kind.allCases {
            var options = CheckOptions()
            options.isDeep = true
            var (last, total) = (UInt64(0), UInt64(0))
            _ = try VHDXChecker.check(try GoodImage.make(kind).file, options) { done, of in
                #expect(done >= last && done <= of)
                (last, total) = (done, of)
            }
            #expect(last == total && total > 0)
        }
        #expect(throws: DiskError.self) {
            try VHDXChecker.check(try GoodImage.make(.dynamic).file, CheckOptions()) {
                (_, _) throws(DiskError) in throw DiskError(.refused, path: "", "stop")
            }
        }
    }

    /// Stopping a repair leaves a closed image.
    @Test func stoppedRepair() throws {
        var image = try GoodImage.make(.dynamic)
        image.setEntry(3, 99 << 20 | 2)
        let file = image.file
        #expect(throws: DiskError.self) {
            try VHDXChecker.repair(file, [.bat], CheckOptions()) {
                (_, _) throws(DiskError) in throw DiskError(.refused, path: "", "stop")
            }
        }
        #expect(try VHDXLayer(reading: file).currentHeader.logGUID == .zero)
        #expect(GoodImage.view(file.contents) == GoodImage.view(image.contents))
    }

    // MARK: Order among repairs

    @Test func pendingLogComesFirst() throws {
        var image = try GoodImage.make(.dynamic)
        image.setEntry(3, 99 << 20 | 2)
        image.log(TinyLogEntry(sequence: 9), at: 0)
        image.setLogGUID(testGUID)
        do throws(DiskError) {
            _ = try repair(image.contents, [.bat])
            Issue.record("not refused")
        } catch {
            #expect(error.kind == .refused)
            #expect(error.hint == "ask for the repair log as well")
        }
        let mended = try repair(image.contents, [.bat, .log])
        #expect(try check(mended.contents).findings.isEmpty)
        #expect(mended.actions.map(\.kind) == [.log, .bat])
    }

    @Test func contradictingHeadersComeFirst() throws {
        var image = try GoodImage.make(.dynamic)
        image.setEntry(3, 99 << 20 | 2)
        image.put(UInt64(2), at: 65536 + 8)
        image.put(testGUID, at: 65536 + 16)
        image.seal()
        #expect(throws: DiskError.self) { try repair(image.contents, [.bat]) }
        let mended = try repair(image.contents, [.bat, .headers])
        #expect(try check(mended.contents).findings.isEmpty)
    }

    /// Everything that is repairable without loss, at once.
    @Test func manyRepairsAtOnce() throws {
        var image = try GoodImage.make(.dynamic)
        let before = GoodImage.view(image.contents)
        image.setEntry(1, 5 << 20)
        image.setEntry(3, 99 << 20 | 2)
        image.setEntry(5, 99 << 20 | 3)
        image.put(UInt32(0), at: TinyImage.item(1) + 24)
        image.put(UInt32(4), at: TinyImage.metadata + 65536 + 4)
        image.setEntry(20, 7)
        image.inRegionTables(16 + 28, UInt32(0))
        image.put([1], at: 262144 + 900)
        image.put([1], at: 0)
        let mended = try repair(image.contents, RepairKind.lossless)
        #expect(Set(mended.actions.map(\.kind)) == [.identifier, .regions, .metadata, .bat])
        let report = try check(mended.contents)
        #expect(report.findings.isEmpty, "\(report.lines())")
        #expect(GoodImage.view(mended.contents) == before)
    }

    /// Neither a table repair nor a new block may lengthen the file under a block that was cut off.
    @Test func cutBlocksAreNotFilledUp() throws {
        var image = try GoodImage.make(.dynamic)
        image.setEntry(3, 99 << 20 | 2)
        image.contents.resize(to: image.contents.byteCount - 2048)
        let mended = try repair(image.contents, RepairKind.lossless)
        #expect(mended.actions.map(\.code) == [.vhdxEntryReserved])
        #expect(try check(mended.contents).errorCodes == [.vhdxBlockPastEnd])
        #expect(mended.contents.byteCount == image.contents.byteCount)
    }

    // MARK: Parent

    private static func childAndParent(
        _ change: (inout TinyImage, inout TinyImage) -> Void = { _, _ in }
    ) throws -> [CheckFinding] {
        var parent = try GoodImage.make(.dynamic)
        let linkage = try VHDXLayer(reading: parent.file).dataWriteGUID.braced
        var child = try TinyImage(byteCount: GoodImage.diskByteCount)
        child.makeDifferencing([("parent_linkage", linkage), ("relative_path", "p.vhdx")])
        change(&child, &parent)
        return VHDXChecker.checkParent(
            child: try VHDXLayer(reading: child.file), parent: try VHDXLayer(reading: parent.file))
    }

    @Test func parentRules() throws {
        #expect(try Self.childAndParent().isEmpty)
        let other = try Self.childAndParent { _, parent in parent.inHeaders(32, UInt64(7)) }
        #expect(other.map(\.finding.detail.code) == [.vhdxParentLinkage])
        #expect(other.first?.finding.severity == .error)
        #expect(other.first?.finding.detail.offset == TinyImage.metadata + 0x20000)
        let sectors = try Self.childAndParent { child, _ in child.put(UInt32(4096), at: TinyImage.metadata + 65536 + 32)
        }
        #expect(sectors.map(\.finding.detail.code) == [.vhdxParentSectorSize])
        #expect(sectors.first?.finding.severity == .error)
        #expect(sectors.first?.finding.detail.offset == TinyImage.metadata + 65536 + 32)
        let disk = try Self.childAndParent { child, _ in child.put(UInt64(7), at: TinyImage.metadata + 65536 + 16) }
        #expect(disk.map(\.finding.detail.code) == [.vhdxParentDiskID])
        #expect(disk.first?.finding.severity == .warning)
        #expect(disk.first?.finding.detail.problem.contains("vhdrebase --safe or --unsafe moved the child") == true)
        let dynamic = try VHDXLayer(reading: try GoodImage.make(.dynamic).file)
        #expect(VHDXChecker.checkParent(child: dynamic, parent: dynamic).isEmpty)
    }
}
