import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing
import ToolTesting

@testable import SealedFile

/// Slots of an image that come and go, in place.
@Suite struct ImageSlotTests {
    /// Where the envelopes end.
    private static let end: UInt64 = 131_072

    @Test(arguments: SlotCase.all) func changes(_ change: SlotCase) throws {
        let (before, disk) = try change.image()
        let file = RecordingFile(before)
        try change.perform(on: file)
        try change.check(file.contents, disk, isDone: true)
        let (old, new) = (MemoryFile(before).allBytes, MemoryFile(file.contents).allBytes)
        #expect(old.count == new.count && old[Int(Self.end)...] == new[Int(Self.end)...], "data and journal")
        #expect(new[0..<65_536] == new[65_536..<Int(Self.end)], "both copies")
        let again = try ImageSlots(of: MemoryFile(file.contents), secrets: [keyFile(3), keyFile(2)])
        let count = change.octetsAfter.count + (change.start == .long ? 1 : 0)
        #expect(!again.isUnfinished && again.envelope.slots.count == count)
        #expect(again.envelope.headerSequence == (change.start == .unfinished ? 3 : 2))
    }

    /// Cuts at every flush: each write kept, lost, torn.
    @Test(arguments: SlotCase.all) func everyCut(_ change: SlotCase) throws {
        let (before, disk) = try change.image()
        let file = RecordingFile(before)
        try change.perform(on: file)
        var unfinished = 0
        let tally = try PowerCuts(file.recording, imageLimit: 600).forEachImage { cut in
            try change.check(cut.contents, disk, isDone: cut.marks.contains(1))
            unfinished += try finishes(cut.contents, change, disk) ? 1 : 0
        }
        #expect(tally.exhaustiveMomentCount == tally.momentCount && tally.imageCount > 500, "\(tally)")
        #expect(unfinished > 1, "\(unfinished)")
    }

    /// The next one who wants to change something is told that a change was cut off, and can finish it, cut again or not.
    private func finishes(_ contents: MemoryFile.Contents, _ change: SlotCase, _ disk: [UInt8]) throws -> Bool {
        let file = RecordingFile(contents)
        let kept = try #require(change.keptOctets.first)
        var slots = try ImageSlots(of: file, secrets: [keyFile(kept)])
        guard slots.isUnfinished else { return false }
        try slots.add(keyFile(77))
        #expect(throws: DiskError.self) { try slots.write() }
        #expect(file.recording.operations.isEmpty)
        try slots.finish()
        let wanted = slots.envelope.headerSequence == (change.start == .unfinished ? 3 : 2)
        if wanted { try change.check(file.contents, disk, isDone: true) }
        let areEqual = try file.bytes(at: 0, count: 65_536) == file.bytes(at: 65_536, count: 65_536)
        try #require(areEqual && !slots.isUnfinished)
        return true
    }

    @Test func cutsOfFinishing() throws {
        let change = SlotCase(removes: [2], start: .unfinished)
        let (before, disk) = try change.image()
        let file = RecordingFile(before)
        var slots = try ImageSlots(of: file, secrets: [keyFile(1)])
        try slots.finish()
        let tally = try PowerCuts(file.recording, imageLimit: 600).forEachImage { cut in
            for octet in SlotCase.octetsBefore {
                let image = try SealedImage(reading: MemoryFile(cut.contents), secrets: [keyFile(octet)])
                #expect(try image.everything() == disk)
            }
            let removed = removedSecretError(cut.contents)
            #expect(removed == .key)
        }
        #expect(tally.imageCount > 250)
    }

    /// What the removed secret meets.
    private func removedSecretError(_ contents: MemoryFile.Contents) -> DiskError.Kind? {
        do throws(DiskError) { _ = try SealedImage(reading: MemoryFile(contents), secrets: [keyFile(9)]) } catch {
            return error.kind
        }
        return nil
    }

    /// Without the flushes both copies can be torn at once.
    @Test func brokenControl() throws {
        var failures = 0
        for change in [SlotCase(adds: [4]), SlotCase(removes: [2])] {
            let (before, disk) = try change.image()
            let file = RecordingFile(before)
            try change.perform(on: file, dropping: .root)
            PowerCuts(file.recording, imageLimit: 600).forEachImage { cut in
                do { try change.check(cut.contents, disk, isDone: cut.marks.contains(1)) } catch { failures += 1 }
            }
        }
        #expect(failures > 50, "\(failures)")
    }

    @Test func failingCalls() throws {
        let change = SlotCase(adds: [4], removes: [0])
        let (before, disk) = try change.image()
        for after in 0..<4 {
            for recovers in [false, true] {
                let file = MemoryFile(before)
                let failing = FailingFile(file, after: after, recovers: recovers)
                var slots = try ImageSlots(of: failing, secrets: [keyFile(2)])
                try slots.remove([0])
                try slots.add(keyFile(4))
                #expect(throws: DiskError.self) { try slots.write() }
                try change.check(file.contents, disk, isDone: false)
                let contents = file.allBytes
                try slots.add(keyFile(5))
                #expect(throws: DiskError.self) { try slots.write() }
                #expect(file.allBytes == contents, "nothing follows a failure")
            }
        }
    }

    // MARK: What a change leaves

    /// The bytes of slots that were taken away stand nowhere in the envelopes.
    @Test func nothingStaysBehind() throws {
        let (before, _) = try SlotCase().image()
        let file = MemoryFile(before)
        var slots = try ImageSlots(of: file, secrets: [keyFile(2)])
        let removed = [0, 2].map { slots.envelope.slots[$0] }
        try slots.remove([0, 2])
        try slots.write()
        let left = Array(file.allBytes[..<Int(Self.end)])
        for slot in removed {
            guard case .keyFile(let salt, let wrapped) = slot.body else { preconditionFailure("key files") }
            for part in [salt, wrapped, Array(wrapped.suffix(8))] {
                let isThere = contains(left, part)
                #expect(!isThere)
            }
        }
    }

    private func contains(_ bytes: [UInt8], _ part: [UInt8]) -> Bool {
        (0...bytes.count - part.count).contains { bytes[$0] == part[0] && Array(bytes[$0..<$0 + part.count]) == part }
    }

    /// Each slot is opened by its secret, and it is told which.
    @Test func openedSlots() throws {
        let (contents, _) = try SlotCase().image()
        for (index, octet) in SlotCase.octetsBefore.enumerated() {
            let slots = try ImageSlots(of: MemoryFile(contents), secrets: [keyFile(99), keyFile(octet)])
            #expect(slots.openedSlot == index)
        }
    }

    /// Nothing is written where nothing was changed.
    @Test func noChange() throws {
        let file = RecordingFile(try SlotCase().image().contents)
        var slots = try ImageSlots(of: file, secrets: [keyFile(1)])
        try slots.remove([])
        try slots.finish()
        try slots.write()
        #expect(file.recording.operations.isEmpty)
    }

    @Test func secondReader() throws {
        let change = SlotCase(adds: [4], removes: [0], start: .pending)
        let (before, _) = try change.image()
        let file = RecordingFile(before)
        try change.perform(on: file)
        var files = [before, file.contents]
        var number = 0
        PowerCuts(file.recording, imageLimit: 600).forEachImage { cut in
            number += 1
            if number % 60 == 0 { files.append(cut.contents) }
        }
        let scratch = try Scratch(inMemory: true)
        for octet in [UInt8(1), 2, 3, 4] {
            let secret = EnvelopeVector.Secret(keyFile: hexadecimal([UInt8](repeating: octet, count: 32)))
            guard let theirs = try ImageSecondReaderTests.summaries(files, scratch, secret) else { return }
            let ours = files.map { (try? ImageSecondReaderTests.summary($0, secret)) ?? "refused" }
            #expect(theirs.map { $0.hasPrefix("refused") ? "refused" : $0 } == ours)
            #expect(ours.contains("refused") == [1, 4].contains(octet), "\(octet)")
        }
    }
}
