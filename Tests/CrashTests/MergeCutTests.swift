import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing
import VHD
import VHDX

@testable import ImageChain

/// Everything a power cut can leave of a merge: the leaf shows what it showed, or is gone and its target shows it; and
/// doing it again completes it.
@Suite struct MergeCutTests {
    struct Counts {
        var images = 0
        var unreadable = 0
        var changed = 0
        /// Other images than the leaf that were read, and those that showed what they never showed.
        var othersRead = 0
        var mixtures = 0
        /// Of those tried.
        var rerun = 0
        var unfinished = 0
        var example = ""
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var format: ImageFormat
        var target = MergeFolder.base
        var keeps = false
        var baseType = ImageType.dynamic
        var leafByteCount: UInt64?
        var testDescription: String {
            "\(format) into \(target)\(keeps ? ", kept" : "")\(baseType == .fixed ? ", fixed base" : "")"
                + (leafByteCount.map { ", leaf of \($0)" } ?? "")
        }
    }

    static let cases: [Case] = [ImageFormat.vhd, .vhdx].flatMap { format in
        let (smaller, larger): (UInt64, UInt64) = format == .vhd ? (50 << 10, 80 << 10) : (3 << 20, 6 << 20)
        return [
            Case(format: format), Case(format: format, target: MergeFolder.middle), Case(format: format, keeps: true),
            Case(format: format, target: MergeFolder.middle, keeps: true), Case(format: format, baseType: .fixed),
            Case(format: format, leafByteCount: smaller), Case(format: format, leafByteCount: larger),
            Case(format: format, target: MergeFolder.middle, leafByteCount: larger),
        ]
    }

    @Test(arguments: cases) func everyCut(_ one: Case) throws {
        let start = try MergeFolder(
            one.format, seed: 11, baseType: one.baseType, leafByteCount: one.leafByteCount,
            hasOther: one.baseType == .dynamic && one.leafByteCount == nil)
        let folder = RecordedFolder()
        try start.run(in: folder, into: one.target).perform(keepsFiles: one.keeps) { _, _ in }
        let (counts, tally) = count(folder, start, one)
        print(
            "merge power cuts, \(one.testDescription): \(counts.images) images of \(tally.momentCount) moments "
                + "(\(tally.exhaustiveMomentCount) exhaustive), \(counts.rerun) run again, \(counts.unreadable) unreadable, "
                + "\(counts.changed) changed, \(counts.unfinished) unfinished, \(counts.mixtures) mixtures of "
                + "\(counts.othersRead) other images read")
        #expect(counts.mixtures == 0 && counts.othersRead > 0, "\(counts.example)")
        #expect(counts.unreadable == 0 && counts.changed == 0 && counts.unfinished == 0, "\(counts.example)")
        #expect(counts.images > 50 && counts.rerun > 5)
    }

    /// Readers that do not look for the signs of a merge read mixtures.
    @Test(arguments: [ImageFormat.vhd, .vhdx]) func missingSignIsCaught(_ format: ImageFormat) throws {
        var start = try MergeFolder(format, seed: 11, hasOther: true)
        start.ignoresSigns = true
        let folder = RecordedFolder()
        try start.run(in: folder, into: MergeFolder.base).perform(keepsFiles: false) { _, _ in }
        let (counts, _) = count(folder, start, Case(format: format), rerunEvery: .max)
        print(
            "merge power cuts, broken control, \(format) without signs: \(counts.mixtures) mixtures of "
                + "\(counts.othersRead) other images read")
        #expect(counts.mixtures > 0)
    }

    /// The target takes its new id before the child knows it.
    @Test func wrongIdentityOrderIsCaught() throws {
        let start = try MergeFolder(.vhdx, seed: 12)
        let folder = RecordedFolder()
        let run = try start.run(in: folder, into: MergeFolder.base)
        let id = GUID.random()
        let target = try VHDXLayer(writing: run.files.target, dataWriteGUID: id)
        try target.beginSession()
        try VHDXLinkEditor.setSecondLinkage(run.files.links[1], to: id)
        try target.write([UInt8](repeating: 1, count: 512).rawBytes, at: 0)
        try target.close()
        let (counts, _) = count(folder, start, Case(format: .vhdx), rerunEvery: .max)
        print("merge power cuts, broken control, wrong identity order: \(counts.unreadable) unreadable")
        #expect(counts.unreadable > 0)
    }

    /// A VHD's target takes its new id alone, and the child learns of it afterwards.
    @Test func wrongIdentityOrderIsCaughtInVHD() throws {
        let start = try MergeFolder(.vhd, seed: 12)
        let folder = RecordedFolder()
        let run = try start.run(in: folder, into: MergeFolder.base)
        let id = GUID.random()
        try VHDLinkEditor.setUniqueID(run.files.target, to: id)
        try VHDLinkEditor.setParentID(run.files.links[1], to: id)
        let (counts, _) = count(folder, start, Case(format: .vhd), rerunEvery: .max)
        print("merge power cuts, broken control, wrong identity order, VHD: \(counts.unreadable) unreadable")
        #expect(counts.unreadable > 0)
    }

    /// The links go before the target is durable.
    @Test(arguments: [ImageFormat.vhd, .vhdx]) func missingFlushIsCaught(_ format: ImageFormat) throws {
        let start = try MergeFolder(format, seed: 13)
        let folder = RecordedFolder(fileWithoutSyncs: MergeFolder.base)
        try start.run(in: folder, into: MergeFolder.base).perform(keepsFiles: false) { _, _ in }
        let (counts, _) = count(folder, start, Case(format: format), rerunEvery: .max)
        print(
            "merge power cuts, broken control, \(format) without flushes: \(counts.unreadable) unreadable, "
                + "\(counts.changed) changed")
        #expect(counts.unreadable + counts.changed > 0)
    }

    private func count(
        _ folder: RecordedFolder, _ start: MergeFolder, _ one: Case, rerunEvery step: Int = 5
    ) -> (Counts, PowerCuts.Tally) {
        var counts = Counts()
        var before: [String: [UInt8]] = [:]
        for name in start.files.keys where name != MergeFolder.leaf { before[name] = try? start.contents(of: name) }
        let tally = folder.forEachCut(imageLimit: 40, seed: 3) { image in
            counts.images += 1
            var cut = start
            cut.files = image.files
            let hasLeaf = image.files[MergeFolder.leaf] != nil
            do {
                let found = try cut.contents(of: hasLeaf ? MergeFolder.leaf : one.target)
                if !bytesEqual(found.rawBytes, start.expected.rawBytes) {
                    counts.changed += 1
                    counts.example = "changed after \(image.stepCount) steps: \(image.fates)"
                }
            } catch {
                counts.unreadable += 1
                counts.example = "\(error) after \(image.stepCount) steps: \(image.fates)"
            }
            // A VHD's merge has few moments at which another image can be read at all.
            if one.format == .vhd || counts.images % 3 == 0 { lookAtOthers(cut, before, start, &counts) }
            if hasLeaf, counts.images % step == 0 { rerun(cut, start, one, &counts) }
        }
        return (counts, tally)
    }

    /// Each image but the leaf shows what it showed, or what the leaf shows, or is refused.
    private func lookAtOthers(
        _ cut: MergeFolder, _ before: [String: [UInt8]], _ start: MergeFolder, _ counts: inout Counts
    ) {
        for (name, old) in before where cut.files[name] != nil {
            guard let found = try? cut.contents(of: name) else { continue }
            counts.othersRead += 1
            guard !bytesEqual(found.rawBytes, old.rawBytes), !bytesEqual(found.rawBytes, start.expected.rawBytes)
            else { continue }
            counts.mixtures += 1
            counts.example = "\(name) shows a mixture"
        }
    }

    private func rerun(_ cut: MergeFolder, _ start: MergeFolder, _ one: Case, _ counts: inout Counts) {
        counts.rerun += 1
        do {
            let folder = RecordedFolder()
            let run = try cut.run(in: folder, into: one.target)
            try run.perform(keepsFiles: one.keeps) { _, _ in }
            var after = cut
            after.files[one.target] = (run.files.target as? RecordedFolder.File)?.contents
            let found = try after.contents(of: one.target)
            if !bytesEqual(found.rawBytes, start.expected.rawBytes) {
                counts.unfinished += 1
                counts.example = "again: other bytes"
            }
        } catch {
            counts.unfinished += 1
            counts.example = "again: \(error)"
        }
    }
}
