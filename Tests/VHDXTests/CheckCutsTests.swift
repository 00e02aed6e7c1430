import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing

@testable import VHDX

/// Power cuts in every repair of every planted corruption, and failing media.
@Suite struct CheckCutsTests {
    struct Case: Sendable, CustomStringConvertible {
        var planted: Planted
        var kind: RepairKind
        var description: String { "\(kind.rawValue): \(planted.name)" }
    }
    static let cases = CheckRulesTests.planted.flatMap { planted in
        planted.mendings.map { Case(planted: planted, kind: $0.kind) }
    }

    struct Verdict {
        var tally = PowerCuts.Tally()
        var failures = 0
        var example = ""
        mutating func fail(_ what: String, _ image: PowerCuts.Image) {
            failures += 1
            if example.isEmpty { example = "\(what); \(image.fates)" }
        }
    }

    /// Records the repair, and judges every image that a cut in it could leave.
    static func judge(_ item: Case, ignoresSync: Bool = false, imageLimit: Int = 16) throws -> Verdict {
        let start = try item.planted.image().contents
        let before = GoodImage.view(start)
        let file = RecordingFile(start, ignoresSync: ignoresSync)
        _ = try VHDXChecker.repair(file, [item.kind], CheckOptions()) { _, _ in }
        let after = GoodImage.view(file.contents)
        var verdict = Verdict()
        verdict.tally = PowerCuts(file.recording, imageLimit: imageLimit).forEachImage { image in
            let view = GoodImage.view(image.contents)
            if view != before, view != after { return verdict.fail("neither the old nor the new disk", image) }
            do {
                // A cut in a session leaves its log pending, which comes first.
                let mended = try repair(image.contents, [item.kind, .log]).contents
                if GoodImage.view(mended) != after { verdict.fail("another disk after the second repair", image) }
                if try check(mended).findings.contains(where: { $0.repairs.contains(item.kind) }) {
                    verdict.fail("not mended by the second repair", image)
                }
            } catch { verdict.fail("the second repair failed: \(error)", image) }
        }
        return verdict
    }

    @Test(arguments: cases) func cutAnywhere(_ item: Case) throws {
        let verdict = try Self.judge(item)
        print("VHDX power cuts, \(item): \(verdict.tally.imageCount) images of \(verdict.tally.momentCount) moments")
        #expect(verdict.failures == 0, "\(verdict.failures) of \(verdict.tally.imageCount): \(verdict.example)")
        #expect(verdict.tally.imageCount > 2)
    }

    /// Repairs that do not flush have to be found out.
    @Test func repairsWithoutFlushesAreCaught() throws {
        var caught: Set<RepairKind> = []
        for kind in [RepairKind.bat, .allocate] {
            let item = Self.cases.first { $0.kind == kind }!
            if try Self.judge(item, ignoresSync: true, imageLimit: 200).failures > 0 { caught.insert(kind) }
        }
        print("VHDX: power cuts catch repairs without flushes of \(caught.map(\.rawValue).sorted())")
        #expect(caught == [.bat, .allocate])
    }

    // MARK: Failing media

    /// Every changing call fails once, and all after it: the image is no worse, and the next repair completes.
    @Test(arguments: cases) func mediumFails(_ item: Case) throws {
        let start = try item.planted.image().contents
        let before = GoodImage.view(start)
        let after = GoodImage.view(try repair(start, [item.kind]).contents)
        var count = 0
        while true {
            let file = MemoryFile(start)
            let failing = FailingFile(file, after: count)
            do throws(DiskError) {
                _ = try VHDXChecker.repair(failing, [item.kind], CheckOptions()) { _, _ in }
                #expect(!failing.hasFailed, "a failure was swallowed")
                break
            } catch {
                #expect(error.kind == .io, "\(error)")
                let view = GoodImage.view(file.contents)
                #expect(view == before || view == after, "after \(count) calls")
                let mended = try repair(file.contents, [item.kind, .log])
                #expect(GoodImage.view(mended.contents) == after, "after \(count) calls")
            }
            count += 1
        }
        #expect(count > 1)
    }

    @Test(arguments: GoodImage.Kind.allCases) func readingFails(_ kind: GoodImage.Kind) throws {
        let contents = try GoodImage.make(kind).contents
        var options = CheckOptions()
        options.isDeep = true
        var count = 0
        while true {
            let failing = FailingFile(MemoryFile(contents), after: count, failsReads: true)
            do throws(DiskError) {
                let report = try VHDXChecker.check(failing, options) { _, _ in }
                #expect(!failing.hasFailed, "a failure was swallowed: \(report.lines())")
                break
            } catch {
                #expect(error.kind == .io, "\(error)")
                #expect(error.doing.isEmpty == false)
            }
            count += 1
        }
        #expect(count > 20)
    }
}
