import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing
import VHD

@Suite struct LinkPowerCutTests {
    struct Scenario: Sendable, CustomStringConvertible {
        var description: String
        var make: @Sendable () throws -> MemoryFile.Contents
        var change: @Sendable (any BlockFile) throws -> Void

        init(
            _ description: String, _ make: @escaping @Sendable () throws -> MemoryFile.Contents,
            _ change: @escaping @Sendable (any BlockFile) throws -> Void
        ) { (self.description, self.make, self.change) = (description, make, change) }

        init(
            _ description: String, to parent: ParentReference,
            _ make: @escaping @Sendable () throws -> MemoryFile.Contents
        ) { self.init(description, make) { try VHDLinkEditor.relink($0, to: parent) } }
    }

    static let scenarios: [Scenario] = [
        Scenario("relink, paths at the end", to: Parents.reference()) { Children.good() },
        Scenario("relink, long paths", to: Parents.longPaths) { Children.good() },
        Scenario("relink, one sector", to: Parents.samePaths) { Children.good() },
        Scenario(
            "relink, name over both sectors",
            to: Parents.reference(
                Parents.otherID, String(repeating: "n", count: 250))
        ) { Children.good() },
        Scenario("relink, paths into a hole", to: Parents.reference()) {
            try Children.linked(Children.good(), to: Parents.third)
        },
        Scenario("relink, XenServer", to: Parents.reference()) { Children.xen() },
        Scenario("relink, header behind", to: Parents.reference()) { Children.headerBehind() },
        Scenario("relink, header behind, one sector", to: Parents.samePaths) { Children.headerBehind() },
        Scenario("relink, no place at 512", to: Parents.reference()) { Children.homeTaken() },
        Scenario("relink, no footer at the end", to: Parents.reference()) {
            let bytes = Good.differencing().bytes
            return MemoryFile.Contents(Array(bytes.dropLast(512)))
        },
        Scenario("relink, no copy at 0", to: Parents.reference()) {
            MemoryFile.Contents(Good.differencing().bytes.with(.zeros(512), at: 0))
        },
        Scenario("parent's ID", { Children.good() }, { try VHDLinkEditor.setParentID($0, to: Parents.otherID) }),
        Scenario(
            "parent's ID, header behind", { Children.headerBehind() },
            { try VHDLinkEditor.setParentID($0, to: Parents.otherID) }),
        Scenario("ID, differencing", { Children.good() }, { try VHDLinkEditor.setUniqueID($0, to: Parents.otherID) }),
        Scenario(
            "ID, dynamic", { MemoryFile.Contents(Good.dynamic().bytes) },
            { try VHDLinkEditor.setUniqueID($0, to: Parents.otherID) }),
        Scenario(
            "ID, fixed", { MemoryFile.Contents(Good.fixed()) },
            { try VHDLinkEditor.setUniqueID($0, to: Parents.otherID) }),
    ]

    @Test(arguments: scenarios) func everyCut(_ scenario: Scenario) throws {
        let cuts = try LinkCuts(try scenario.make(), scenario.change)
        let (counts, tally) = cuts.count(try cuts.recording(), imageLimit: 4096)
        print("LinkPowerCutTests: \(scenario): \(counts), \(tally.exhaustiveMomentCount) of \(tally.momentCount) whole")
        #expect(counts.isClean, "\(counts)")
        #expect(tally.exhaustiveMomentCount == tally.momentCount)
    }

    /// A program that is killed leaves what it wrote in the host's cache: another run must not take that for durable.
    @Test(arguments: scenarios) func killedAndRunAgain(_ scenario: Scenario) throws {
        let cuts = try LinkCuts(try scenario.make(), scenario.change)
        var total = LinkCuts.Counts()
        var calls = 0
        while let recording = try cuts.recording(killedAfter: calls) {
            // What a cut before the second run leaves is in `everyCut`.
            total += cuts.count(recording, imageLimit: 64, seed: UInt64(calls), after: 0).counts
            calls += 1
            try #require(calls < 60)
        }
        print("LinkPowerCutTests: \(scenario), killed before: \(total)")
        #expect(total.isClean && total.images >= calls, "\(total)")
    }

    /// After a cut, another parent than the one that was being named can be named as well.
    @Test(arguments: scenarios.filter { $0.description.hasPrefix("relink") })
    func thirdParentAfterACut(_ scenario: Scenario) throws {
        let cuts = try LinkCuts(try scenario.make(), scenario.change)
        let third = try LinkCuts.relink(try scenario.make(), to: Parents.third)
        let (counts, _) = cuts.count(
            try cuts.recording(), imageLimit: 400, again: { try VHDLinkEditor.relink($0, to: Parents.third) },
            tie: third.new)
        #expect(counts.isClean, "\(counts)")
    }

    /// Every call that changes the file fails once: the image has the old tie or the new one, and another run ends it.
    @Test(arguments: scenarios) func everyFailingCall(_ scenario: Scenario) throws {
        let initial = try scenario.make()
        let cuts = try LinkCuts(initial, scenario.change)
        for recovers in [false, true] {
            for after in 0..<60 {
                let file = RecordingFile(initial)
                let failing = FailingFile(file, after: after, recovers: recovers)
                do {
                    try scenario.change(failing)
                    #expect(after > 0 && !failing.hasFailed)
                    break
                } catch is DiskError {}
                // Nothing is cut off here: what the calls left is all there.
                let (counts, _) = cuts.count(RecordingFile(file.contents).recording, imageLimit: 1)
                #expect(counts.isClean, "call \(after), recovers \(recovers): \(counts)")
                #expect(after < 59)
            }
        }
    }

    // MARK: Broken controls

    private static func isFooter(_ operation: RecordingFile.Operation) -> Bool {
        if case .write(_, let bytes) = operation { bytes.starts(with: Footer.cookie) } else { false }
    }

    private static func isHeader(_ operation: RecordingFile.Operation) -> Bool {
        if case .write(512, _) = operation { true } else { false }
    }

    @Test func footersBeforeTheHeaderAreCaught() throws {
        let cuts = try LinkCuts.relink(Children.good(), to: Parents.reference())
        let recording = EditCuts.withoutFlushes(try cuts.recording(), before: Self.isFooter)
        let (counts, _) = cuts.count(recording, imageLimit: 400)
        print("LinkPowerCutTests: control, footers before the header: \(counts)")
        #expect(counts.unreadable > 0)
    }

    /// The header's old place is written while a footer may still lead there.
    @Test func headerBeforeFootersIsCaught() throws {
        let cuts = try LinkCuts.relink(Children.good(), to: Parents.reference())
        var recording = try cuts.recording()
        // Both footers are on their way when the header at 512 is written.
        let index = try #require(recording.operations.firstIndex(where: Self.isHeader))
        let syncs = recording.operations[..<index].indices.filter {
            if case .sync = recording.operations[$0] { true } else { false }
        }
        for sync in syncs.suffix(2).reversed() { recording.operations.remove(at: sync) }
        let (counts, _) = cuts.count(recording, imageLimit: 4096)
        print("LinkPowerCutTests: control, the header's place too early: \(counts)")
        #expect(counts.unreadable > 0)
    }

    /// Everything written over what it replaces.
    @Test func rewritingInPlaceIsCaught() throws {
        let parent = Parents.reference(Parents.otherID, "other.vhd", "C:\\d\\other.vhd")
        let new = Good.differencing {
            $0.header?.parentUniqueID = parent.identity.id
            let name = utf16Bytes(parent.name, .big)
            $0.header?.parentUnicodeName = name + .zeros(512 - name.count)
            $0.header?.parentTimestamp = 0x2000_0000
            $0.header?.parentLocators[0].platformDataLength = UInt32(parent.absolutePath!.utf16.count * 2)
            $0.header?.parentLocators[1].platformDataLength = UInt32(parent.windowsRelativePath.utf16.count * 2)
            $0.body.replaceSubrange(0..<512, with: utf16Bytes(parent.absolutePath!, .little).padded)
            $0.body.replaceSubrange(512..<1024, with: utf16Bytes(parent.windowsRelativePath, .little).padded)
        }.bytes
        let cuts = try LinkCuts(Children.good()) { file in
            try file.write(Array(new[2048..<3072]), at: 2048)
            try file.sync()
            try file.write(Array(new[512..<1536]), at: 512)
            try file.sync()
        }
        #expect(cuts.new.parentID == parent.identity.id)
        let (counts, _) = cuts.count(try cuts.recording(), imageLimit: 400)
        print("LinkPowerCutTests: control, in place: \(counts)")
        #expect(counts.wrong > 0 && counts.unreadable > 0)
    }

    /// Without flushes, what has been acknowledged can be lost.
    @Test(arguments: scenarios) func missingFlushesAreCaught(_ scenario: Scenario) throws {
        let cuts = try LinkCuts(try scenario.make(), scenario.change)
        let (counts, _) = cuts.count(try cuts.recording(ignoresSync: true), imageLimit: 400)
        #expect(counts.lost > 0, "\(counts)")
    }

    /// The flush with which a run begins is left out: what a killed one left in the host's cache is taken for durable.
    @Test func trustInTheCacheIsCaught() throws {
        let cuts = try LinkCuts(Children.good()) { try VHDLinkEditor.setParentID($0, to: Parents.otherID) }
        var total = LinkCuts.Counts()
        for calls in 0..<5 {
            let file = RecordingFile(cuts.initial)
            do { try cuts.change(FailingFile(file, after: calls)) } catch {}
            let operations = file.recording.operations.count
            try cuts.change(file)
            file.mark(1)
            var recording = file.recording
            guard case .sync = recording.operations[operations] else { continue }
            recording.operations.remove(at: operations)
            total += cuts.count(recording, imageLimit: 400).counts
        }
        print("LinkPowerCutTests: control, killed, without the first flush: \(total)")
        #expect(total.lost > 0)
    }
}

extension [UInt8] {
    /// Filled up to a sector.
    var padded: [UInt8] { self + .zeros((512 - count % 512) % 512) }
}
