import BlockIO
import ByteCodec
import DiskModel
import Testing

@testable import VHDX

/// Checks a file in memory.
func check(_ contents: MemoryFile.Contents, isDeep: Bool = false) throws(DiskError) -> CheckReport {
    var options = CheckOptions()
    options.isDeep = isDeep
    return try VHDXChecker.check(MemoryFile(contents), options) { _, _ in }
}

/// Repairs a file in memory, and gives its new contents.
func repair(
    _ contents: MemoryFile.Contents, _ kinds: Set<RepairKind>
) throws(DiskError) -> (contents: MemoryFile.Contents, actions: [RepairAction]) {
    let file = MemoryFile(contents)
    let actions = try VHDXChecker.repair(file, kinds, CheckOptions()) { _, _ in }
    return (file.contents, actions)
}

/// Whether two files have the same length and bytes; compares only what is not a hole.
func areSame(_ a: MemoryFile.Contents, _ b: MemoryFile.Contents) -> Bool {
    guard a.byteCount == b.byteCount else { return false }
    return Set(a.pages.pageIndices).union(b.pages.pageIndices).allSatisfy { page in
        let start = page * PageMap.pageByteCount
        return a.bytes(start..<start + PageMap.pageByteCount) == b.bytes(start..<start + PageMap.pageByteCount)
    }
}

extension CheckReport {
    func lines(_ severity: Finding.Severity? = nil) -> String {
        findings.filter { severity == nil || $0.finding.severity == severity }
            .map { "\($0.finding.severity.rawValue) \($0.finding.detail)" }.joined(separator: "\n")
    }
    func has(_ code: FormatError.Code) -> Bool { findings.contains { $0.finding.detail.code == code } }
    var errorCodes: Set<FormatError.Code> {
        Set(findings.filter { $0.finding.severity == .error }.map(\.finding.detail.code))
    }
}

/// Every rule, planted: found by its code, mended by its repair, and by no other one.
@Suite struct CheckRulesTests {
    static let planted = Planted.structures + Planted.metadataItems + Planted.entries

    @Test(arguments: GoodImage.Kind.allCases) func goodImagesAreGood(_ kind: GoodImage.Kind) throws {
        let report = try check(try GoodImage.make(kind).contents, isDeep: true)
        #expect(report.findings.isEmpty, "\(report.lines())")
        #expect(report.isReadable)
        #expect(report.deepByteCount > 2 << 20)
    }

    @Test(arguments: planted) func isFound(_ planted: Planted) throws {
        let image = try planted.image()
        let file = image.file
        var options = CheckOptions()
        options.isDeep = planted.isDeep
        let report = try VHDXChecker.check(file, options) { _, _ in }
        #expect(areSame(file.contents, image.contents), "the check wrote")
        let found = report.findings.filter { $0.finding.detail.code == planted.code }
        #expect(
            found.contains { $0.finding.severity == planted.severity && $0.finding.detail.offset == planted.offset },
            "\(report.lines())")
        #expect(found.allSatisfy { !$0.finding.detail.section.isEmpty })
        let expected = Set(planted.otherErrors.keys).union(planted.severity == .error ? [planted.code] : [])
        #expect(report.errorCodes == expected, "\(report.lines(.error))")
        #expect(report.isReadable == planted.isReadable, "\(report.lines())")
        let offered = Set(found.flatMap(\.repairs))
        #expect(offered == Set(planted.mendings.map(\.kind)), "\(report.lines())")
        for finding in report.findings where finding.finding.severity == .error {
            #expect(finding.finding.detail.problem.contains("not repairable") == finding.repairs.isEmpty)
        }
    }

    @Test(arguments: planted) func isMendedByItsRepairOnly(_ planted: Planted) throws {
        let image = try planted.image()
        let before = GoodImage.view(image.contents)
        #expect((before != nil) == planted.isReadable || planted.code == .vhdxNoSectorBitmap)
        // Kinds that mend another error, which cannot but show, are not foreign.
        let others = try check(image.contents).findings.filter { planted.otherErrors[$0.finding.detail.code] != nil }
        let foreign = Set(RepairKind.allCases).subtracting(planted.mendings.map(\.kind) + others.flatMap(\.repairs))
        let untouched = try repair(image.contents, foreign)
        #expect(untouched.actions.isEmpty, "\(untouched.actions)")
        #expect(areSame(untouched.contents, image.contents), "a kind not asked for wrote")
        for mending in planted.mendings {
            let mended = try repair(image.contents, [mending.kind])
            #expect(mended.actions.contains { $0.kind == mending.kind && $0.code == planted.code }, "\(mended.actions)")
            let report = try check(mended.contents, isDeep: true)
            #expect(!report.has(planted.code), "\(report.lines())")
            #expect(report.count(.error) == 0, "\(report.lines(.error))")
            #expect(report.isReadable)
            let after = GoodImage.view(mended.contents)
            switch mending.outcome {
            case .asBefore:
                #expect(before != nil)
                #expect(after == before, "the disk shows other bytes")
            case .asGood: #expect(after == GoodImage.view(try GoodImage.make(planted.base).contents))
            case .without(let range):
                #expect(after == GoodImage.view(try GoodImage.make(planted.base).contents, zeroing: range))
                #expect(mending.kind.loss != nil || mending.kind == .bitmaps)
            }
            let again = try repair(mended.contents, [mending.kind])
            #expect(again.actions.isEmpty, "\(again.actions)")
            #expect(areSame(again.contents, mended.contents))
            try Self.expectIdentities(image.contents, mended.contents, planted, mending)
        }
    }

    /// FileWriteGuid is new after every repair but that of the identifier; DataWriteGuid only where the disk changed.
    private static func expectIdentities(
        _ before: MemoryFile.Contents, _ after: MemoryFile.Contents, _ planted: Planted, _ mending: Planted.Mending
    ) throws {
        var findings = Findings(accepting: .everyVHDXRule)
        let old = try HeaderPair(reading: MemoryFile(before), &findings).current
        let new = try HeaderPair(reading: MemoryFile(after), &findings).current
        #expect((old.fileWriteGUID == new.fileWriteGUID) == (mending.kind == .identifier))
        var changes = mending.kind == .dropBlocks || (mending.kind == .tails && planted.code == .vhdxBlockPastEnd)
        if mending.kind == .dropLog { changes = planted.name.contains("torn") || planted.code == .vhdxNewerLogEntries }
        #expect((old.dataWriteGUID != new.dataWriteGUID) == changes)
    }

    /// The rules of the document that a file by itself can break are all planted.
    @Test func everyRuleIsPlanted() {
        let needsParent: Set<FormatError.Code> = [.vhdxParentSectorSize, .vhdxParentDiskID]
        let all = Set((1...32).map { "VHDX0\($0 < 10 ? "0" : "")\($0)" } + (40...80).map { "VHDX0\($0)" })
        let done = Set(Self.planted.map(\.code)).union(needsParent).map { $0.rawValue }
        #expect(all.subtracting(done).sorted() == [])
        print("VHDX: \(Self.planted.count) planted corruptions, \(Set(Self.planted.map(\.code)).count) rules")
    }
}
