import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing
import VHD

@Suite struct CompactionPowerCutTests {
    struct Scenario: Sendable, CustomStringConvertible {
        var description: String
        var make: @Sendable () throws -> MemoryFile.Contents
    }

    static let scenarios: [Scenario] = [
        Scenario(
            description: "drops and moves",
            make: { try patchwork(blocks: 16, block: 4096, zeros: [1, 4, 5, 9, 14], seed: 5, tail: 512) }),
        Scenario(
            description: "small blocks", make: { try patchwork(blocks: 60, block: 512, zeros: [2, 5, 7, 11], seed: 6) }),
        Scenario(
            description: "table comes back",
            make: {
                try checkResize(try patchwork(blocks: 60, block: 512, zeros: [2, 5, 7, 11], seed: 6), to: 200 * 512)
                    .contents
            }),
        Scenario(
            description: "table follows",
            make: {
                let used = try patchwork(blocks: 60, block: 512, zeros: [2, 5, 7, 11, 13, 40, 41, 43, 50], seed: 3)
                return try checkResize(used, to: 700 * 512).contents
            }),
        Scenario(description: "differencing", make: { differencing() }),
        Scenario(
            description: "XenServer",
            make: {
                var image = ResizeTests.blocks(ResizeTests.xenImage(entryCount: 256), shift: 512)
                image.addBlock(2, bits: 0, fill: 0x20)
                image.addBlock(0, bits: 0xff, fill: 0x30)
                for block in [0, 2] { image.table[block] += 1 }
                return MemoryFile.Contents(image.bytes)
            }),
    ]

    static func differencing() -> MemoryFile.Contents {
        var image = TinyImage(DiskTypeCode.differencing)
        image.addLocator(0, "W2ru", Array("p.vhd".utf8).flatMap { [$0, 0] })
        image.addBlock(2, bits: 0, fill: 0x70)
        image.addBlock(3, bits: 0b1000_0000, fill: 0x40)
        image.addBlock(0, bits: 0b0010_0001, fill: 0x10)
        return MemoryFile.Contents(image.bytes)
    }

    @Test(arguments: scenarios) func everyCut(_ scenario: Scenario) throws {
        let cuts = try EditCuts.compact(try scenario.make())
        let counts = cuts.count(try cuts.recording(), imageLimit: 200)
        print("CompactionPowerCutTests: \(scenario): \(counts)")
        #expect(counts.isClean, "\(counts)")
    }

    @Test(arguments: scenarios) func killedAndRunAgain(_ scenario: Scenario) throws {
        let cuts = try EditCuts.compact(try scenario.make())
        var total = EditCuts.Counts()
        for calls in stride(from: 0, to: 40, by: 3) {
            total += cuts.count(try cuts.recording(killedAfter: calls), imageLimit: 12, seed: UInt64(calls))
        }
        print("CompactionPowerCutTests: \(scenario), killed before: \(total)")
        #expect(total.isClean, "\(total)")
    }

    // MARK: Broken controls

    private static func isEntries(_ operation: RecordingFile.Operation) -> Bool {
        if case .write(let offset, _) = operation { offset >= 1536 && offset < 2048 } else { false }
    }

    @Test func entriesBeforeCopiesAreCaught() throws {
        let cuts = try EditCuts.compact(try Self.scenarios[0].make())
        let recording = EditCuts.withoutFlushes(try cuts.recording(), before: Self.isEntries)
        let counts = cuts.count(recording, imageLimit: 200)
        print("CompactionPowerCutTests: control, entries before copies: \(counts)")
        #expect(counts.wrong > 0)
    }

    /// Places are taken while what named them may still do so.
    @Test func copiesBeforeDropsAreCaught() throws {
        var image = TinyImage(DiskTypeCode.differencing)
        image.addLocator(0, "W2ru", Array("p.vhd".utf8).flatMap { [$0, 0] })
        image.addBlock(2, bits: 0, fill: 0x70)
        image.addBlock(3, bits: 0b1000_0000, fill: 0x40)
        let cuts = try EditCuts.compact(MemoryFile.Contents(image.bytes))
        let recording = EditCuts.withoutFlushes(try cuts.recording()) {
            if case .write(let offset, let bytes) = $0 { offset >= 2048 && bytes.count > 512 } else { false }
        }
        let counts = cuts.count(recording, imageLimit: 200)
        print("CompactionPowerCutTests: control, copies before drops: \(counts)")
        #expect(counts.wrong > 0)
    }

    @Test func cutBeforeEntriesIsCaught() throws {
        let cuts = try EditCuts.compact(try Self.scenarios[0].make())
        var recording = try cuts.recording()
        // None of the last three flushes but the very last: entries, footer and cut in any order.
        let syncs = recording.operations.indices.filter {
            if case .sync = recording.operations[$0] { true } else { false }
        }
        for index in syncs.suffix(4).dropLast().reversed() { recording.operations.remove(at: index) }
        let counts = cuts.count(recording, imageLimit: 200)
        print("CompactionPowerCutTests: control, cut before entries: \(counts)")
        #expect(counts.unreadable > 0)
    }

    /// The flush with which a run begins is left out: what a killed one left in the host's cache is taken for durable.
    @Test func trustInTheCacheIsCaught() throws {
        let cuts = try EditCuts.compact(try Self.scenarios[0].make())
        var total = EditCuts.Counts()
        for calls in 0..<8 {
            let file = RecordingFile(cuts.initial)
            do { try cuts.change(FailingFile(file, after: calls)) } catch {}
            let operations = file.recording.operations.count
            try cuts.change(file)
            var recording = file.recording
            guard case .sync = recording.operations[operations] else { continue }
            recording.operations.remove(at: operations)
            total += cuts.count(recording, imageLimit: 32)
        }
        print("CompactionPowerCutTests: control, killed, without the first flush: \(total)")
        #expect(total.wrong > 0)
    }
}
