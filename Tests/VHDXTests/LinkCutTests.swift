import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing

@testable import VHDX

/// Power cuts and failing media while parent locators change.
@Suite struct LinkCutTests {
    private typealias Operations = [RecordingFile.Operation]

    /// Records an edit, perhaps makes its order wrong, and judges every file that a cut could leave.
    private static func judge(
        _ contents: MemoryFile.Contents, _ edit: LinkEdit, imageLimit: Int = 400, ignoresSync: Bool = false,
        breaking: ((inout Operations) -> Void)? = nil
    ) throws -> LinkVerdict {
        let before = try VHDXLayer(reading: MemoryFile(contents))
        let (old, view) = (try locatorLines(MemoryFile(contents)), try DiskView(before))
        let new = edit.expected(old)
        let file = RecordingFile(contents, ignoresSync: ignoresSync)
        try edit.run(file)
        file.mark(1)
        var recording = file.recording
        breaking?(&recording.operations)
        var verdict = LinkVerdict()
        verdict.tally = PowerCuts(recording, imageLimit: imageLimit).forEachImage { image in
            do {
                let layer = try VHDXLayer(reading: MemoryFile(image.contents))
                let lines = layer.parentLocatorPairs.map { "\($0.key)=\($0.value)" }
                if lines == new { verdict.new += 1 } else { verdict.old += 1 }
                if lines != new, lines != old || !image.marks.isEmpty {
                    return verdict.fail("the locator holds \(lines)", image)
                }
                guard edit.changesData || layer.dataWriteGUID == before.dataWriteGUID else {
                    return verdict.fail("another DataWriteGuid", image)
                }
                if edit.changesData, lines == new, layer.dataWriteGUID == before.dataWriteGUID {
                    return verdict.fail("the old DataWriteGuid with the new locator", image)
                }
                guard try DiskView(layer) == view else { return verdict.fail("other contents", image) }
                try Self.rerun(edit, image, new, file, &verdict)
            } catch { verdict.fail("\(error)", image) }
        }
        return verdict
    }

    /// Every so often: the same edit completes what was cut off.
    private static func rerun(
        _ edit: LinkEdit, _ image: PowerCuts.Image, _ new: [String], _ file: RecordingFile, _ verdict: inout LinkVerdict
    ) throws {
        guard (verdict.old + verdict.new) % 5 == 0 else { return }
        verdict.reruns += 1
        let again = MemoryFile(image.contents)
        try edit.run(again)
        let layer = try VHDXLayer(reading: again)
        guard try locatorLines(again) == new, layer.currentHeader.logGUID == .zero,
            try check(again.contents).count(.error) == 0, again.byteCount() == file.byteCount()
        else { return verdict.fail("not completed by another run", image) }
    }

    private static let edits: [LinkEdit] = [
        .relink("q.vhdx"), .relink("../base/quite another name.vhdx", absolutePath: "C:\\x.vhdx", changesData: true),
        .relink(String(repeating: "long/", count: 1000) + "q.vhdx"), .second(LinkEdit.newID), .first,
    ]

    @Test(arguments: LinkedImage.all, edits) func cutAnywhere(_ image: LinkedImage, _ edit: LinkEdit) throws {
        let verdict = try Self.judge(image.contents, edit, imageLimit: 160)
        verdict.report("\(edit) of \(image)")
        #expect(verdict.failures == 0, "\(verdict.failures): \(verdict.example)")
        #expect(verdict.old > 30 && verdict.new > 30 && verdict.reruns > 10)
    }

    /// A session cut off after its log entry: replayed first, whatever comes next.
    @Test func afterADirtyLog() throws {
        let file = RecordingFile(LinkedImage.crowded.contents)
        try LinkEdit.second(GUID(1, 1, 1, 1)).run(file)
        var dirty: MemoryFile.Contents?
        PowerCuts(file.recording, imageLimit: 8).forEachImage { image in
            guard dirty == nil, let layer = try? VHDXLayer(reading: MemoryFile(image.contents)), layer.hasReplayedLog,
                layer.parentLocatorPairs.contains(where: { $0.value == "{00000001-0001-0001-0000-000000000001}" })
            else { return }
            dirty = image.contents
        }
        let contents = try #require(dirty)
        for edit in Self.edits {
            let verdict = try Self.judge(contents, edit, imageLimit: 32)
            verdict.report("\(edit), after a dirty log")
            #expect(verdict.failures == 0, "\(verdict.failures): \(verdict.example)")
        }
    }

    // MARK: Broken orders, which have to be found out

    private func expectCaught(
        _ name: String, _ edit: LinkEdit, ignoresSync: Bool = false, _ breaking: ((inout Operations) -> Void)? = nil
    ) throws {
        let verdict = try Self.judge(
            LinkedImage.crowded.contents, edit, ignoresSync: ignoresSync, breaking: breaking)
        verdict.report("broken control, \(name)")
        #expect(verdict.failures > 0, "\(name) was not found out")
    }

    @Test func locatorOutsideTheLog() throws {
        let metadata = TinyImage.metadata..<TinyImage.metadata + mebibyte
        for edit in Self.edits {
            try expectCaught("locator outside the log, \(edit)", edit) { EditCuts.writeBeforeTheLog(&$0, metadata) }
        }
    }

    @Test func noFlushes() throws {
        for edit in Self.edits { try expectCaught("no flushes, \(edit)", edit, ignoresSync: true) }
    }

    @Test func pagesNotInTheLog() throws {
        try expectCaught("pages not in the log", .relink("../base/quite another name.vhdx")) { operations in
            // Without the entry only writing the pages in place is left.
            let entry = operations.lastIndex { EditCuts.isWrite($0, EditCuts.log) }!
            operations.remove(at: entry)
        }
    }

    @Test func headersNotWritten() throws {
        try expectCaught("headers not written", .relink("q.vhdx", changesData: true)) { operations in
            // The locator changes under the old identity, and no header names the log.
            let headers: Range<UInt64> = 65536..<196608
            for index in operations.indices.reversed() where EditCuts.isWrite(operations[index], headers) {
                operations.remove(at: index)
            }
        }
    }

    // MARK: Failing media

    @Test(arguments: LinkedImage.all, edits) func mediumFails(_ image: LinkedImage, _ edit: LinkEdit) throws {
        let old = try locatorLines(MemoryFile(image.contents))
        let new = edit.expected(old)
        for recovers in [false, true] {
            var count = 0
            while true {
                let file = MemoryFile(image.contents)
                let failing = FailingFile(file, after: count, recovers: recovers)
                do throws(DiskError) {
                    try edit.run(failing)
                    #expect(!failing.hasFailed, "a failure was swallowed")
                    #expect(count > 10)
                    break
                } catch {
                    #expect(error.kind == .io && !error.doing.isEmpty, "\(error)")
                    let lines = try locatorLines(file)
                    #expect(lines == old || lines == new, "after \(count) calls: \(lines)")
                    try edit.run(file)
                    #expect(try locatorLines(file) == new, "after \(count) calls")
                    #expect(try VHDXLayer(reading: file).currentHeader.logGUID == .zero)
                }
                count += 1
            }
        }
    }

    @Test(arguments: LinkedImage.all) func readingFails(_ image: LinkedImage) throws {
        let (old, edit) = (try locatorLines(MemoryFile(image.contents)), LinkEdit.relink("q.vhdx"))
        var count = 0
        while true {
            let file = MemoryFile(image.contents)
            let failing = FailingFile(file, after: count, failsReads: true)
            do throws(DiskError) {
                try edit.run(failing)
                #expect(!failing.hasFailed, "a failure was swallowed")
                break
            } catch {
                #expect(error.kind == .io, "\(error)")
                let lines = try locatorLines(file)
                #expect(lines == old || lines == edit.expected(old))
            }
            count += 1
        }
        #expect(count > 10)
    }
}
