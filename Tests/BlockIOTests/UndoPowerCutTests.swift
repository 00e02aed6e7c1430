import ByteCodec
import FaultInjection
import Synchronization
import Testing

@testable import BlockIO

/// A power cut at any moment of a repair, or of putting it back: the image is what it was, or its undo file makes it so.
@Suite struct UndoPowerCutTests {
    /// Both files' numbers of operations, after each operation of either.
    private final class Clock: Sendable {
        let moments = Mutex<[(image: Int, journal: Int)]>([(0, 0)])
    }

    /// A recorded file that tells the clock.
    private final class Ticking: BlockFile {
        let file: RecordingFile
        private let tick: @Sendable () -> Void
        init(_ file: RecordingFile, _ tick: @escaping @Sendable () -> Void) { (self.file, self.tick) = (file, tick) }
        var path: String { file.path }
        func byteCount() -> UInt64 { file.byteCount() }
        func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
            try file.read(into: &buffer, at: offset)
        }
        func data(from offset: UInt64) -> Range<UInt64>? { file.data(from: offset) }
        func write(_ bytes: RawSpan, at offset: UInt64) {
            file.write(bytes, at: offset)
            tick()
        }
        func resize(to byteCount: UInt64) {
            file.resize(to: byteCount)
            tick()
        }
        func zero(_ range: Range<UInt64>) {
            file.zero(range)
            tick()
        }
        func sync() {
            file.sync()
            tick()
        }
    }

    /// What a power cut can leave of both files.
    private struct Cuts {
        let image: RecordingFile
        let journal: RecordingFile
        let clock = Clock()
        let tickingImage: Ticking
        let tickingJournal: Ticking

        init(_ original: MemoryFile.Contents, _ log: MemoryFile.Contents, journalIgnoresSync: Bool = false) {
            let (image, journal) = (
                RecordingFile(original), RecordingFile(log, ignoresSync: journalIgnoresSync)
            )
            (self.image, self.journal) = (image, journal)
            let clock = clock
            let tick: @Sendable () -> Void = {
                let moment = (image.recording.operations.count, journal.recording.operations.count)
                clock.moments.withLock { $0.append(moment) }
            }
            (tickingImage, tickingJournal) = (Ticking(image, tick), Ticking(journal, tick))
        }

        private static func states(
            _ recording: RecordingFile.Recording, _ count: Int, _ limit: Int, _ seed: UInt64
        ) -> [MemoryFile.Contents] {
            var cut = recording
            cut.operations = Array(recording.operations.prefix(count))
            var result: [MemoryFile.Contents] = []
            PowerCuts(cut, imageLimit: limit, seed: seed).forEachImage {
                if $0.operationCount == count { result.append($0.contents) }
            }
            return result
        }

        /// - Returns: how many pairs were tried, and how many were wrong.
        func run(_ isRight: (MemoryFile.Contents, MemoryFile.Contents) throws -> Bool) rethrows -> (Int, wrong: Int) {
            var (tried, wrong) = (0, 0)
            let (images, journals) = (image.recording, journal.recording)
            for (number, moment) in clock.moments.withLock({ $0 }).enumerated() {
                let left = Self.states(images, moment.image, 8, UInt64(number))
                for log in Self.states(journals, moment.journal, 8, UInt64(number)) {
                    for state in left {
                        tried += 1
                        if try !isRight(state, log) { wrong += 1 }
                    }
                }
            }
            return (tried, wrong)
        }
    }

    /// Whether the image is as it was, or becomes so.
    private func comesBack(_ state: MemoryFile.Contents, _ log: MemoryFile.Contents, _ original: [UInt8]) -> Bool {
        if isSame(state.allBytes, original) { return true }
        let (image, journal) = (MemoryFile(state), MemoryFile(log))
        do {
            let read = try UndoJournal(reading: journal)
            guard try read.check(image) == .changed else { return false }
            try read.restore(image) { _, _ in }
            return try isSame(image.allBytes, original) && UndoJournal(reading: journal).check(image) == .original
        } catch { return false }
    }

    private func repair(
        _ seed: UInt64, ignoresSync: Bool = false
    ) throws -> (cuts: Cuts, original: [UInt8]) {
        var random = SplitMix(seed: seed)
        let original = UndoFileTests.original(&random, pages: 6)
        let cuts = Cuts(original, .init(), journalIgnoresSync: ignoresSync)
        let journal = cuts.tickingJournal
        let undo = try UndoFile(cuts.tickingImage) { () throws(IOError) in journal }
        for _ in 0..<4 { try UndoFileTests.change(undo, &random, most: 5000) }
        try undo.write(random.bytes(700), at: 5000)
        try undo.finish()
        return (cuts, original.allBytes)
    }

    @Test(arguments: UndoFileTests.seeds) func repairCutOff(seed: UInt64) throws {
        let (cuts, original) = try repair(seed)
        let (tried, wrong) = cuts.run { comesBack($0, $1, original) }
        #expect(wrong == 0, "seed \(seed): \(wrong) of \(tried)")
        #expect(tried > 20)
        print("power cuts, undo file during a repair: \(tried) pairs of files tried, \(wrong) that do not come back")
    }

    /// The broken control: an undo file that is never flushed.
    @Test func unflushedUndoFileIsCaught() throws {
        var wrong = 0
        for seed: UInt64 in 1...3 {
            let (cuts, original) = try repair(seed, ignoresSync: true)
            wrong += cuts.run { comesBack($0, $1, original) }.wrong
        }
        #expect(wrong > 0)
    }

    /// Cut off while putting back, also behind an undo file with a torn end: done again, it is whole.
    @Test(arguments: UndoFileTests.seeds) func puttingBackCutOff(seed: UInt64) throws {
        let (repair, original) = try repair(seed)
        var journals = [repair.journal.contents]
        var torn = journals[0]
        // As if the last batch was being appended.
        torn.write(Array(#"{"type":"bytes","offset":0,"hex":"00"#.utf8).rawBytes, at: torn.byteCount)
        journals.append(torn)
        var zeros = journals[0]
        zeros.resize(to: zeros.byteCount + 700)
        journals.append(zeros)
        for log in journals {
            let cuts = Cuts(repair.image.contents, log)
            let read = try UndoJournal(reading: cuts.tickingJournal)
            #expect(try read.check(cuts.tickingImage) == .changed)
            try read.restore(cuts.tickingImage) { _, _ in }
            #expect(isSame(cuts.image.contents.allBytes, original))
            let (tried, wrong) = cuts.run { comesBack($0, $1, original) }
            #expect(wrong == 0, "seed \(seed): \(wrong) of \(tried)")
        }
    }
}
