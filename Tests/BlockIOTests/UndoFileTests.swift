import ByteCodec
import FaultInjection
import Glibc
import Synchronization
import Testing

@testable import BlockIO

/// Quick in builds without optimisation, and quiet where they differ.
func isSame(_ a: [UInt8], _ b: [UInt8]) -> Bool { bytesEqual(a.rawBytes, b.rawBytes) }

/// Changes that can be taken back.
@Suite struct UndoFileTests {
    static let seeds: [UInt64] = [1, 2, 3, UInt64.random(in: 0 ... .max)]

    /// A file with pages of data, of stored zeros and holes; no whole number of pages long.
    static func original(_ random: inout SplitMix, pages: Int = 20) -> MemoryFile.Contents {
        var contents = MemoryFile.Contents()
        contents.resize(to: UInt64(pages * 4096) - UInt64.random(in: 0..<8, using: &random) * 512)
        for page in 0..<pages - 1 {
            switch Int.random(in: 0..<4, using: &random) {
            case 0: break
            case 1: contents.write([UInt8].zeros(4096).rawBytes, at: UInt64(page * 4096))
            default: contents.write(random.bytes(4096).rawBytes, at: UInt64(page * 4096))
            }
        }
        return contents
    }

    /// Some change anywhere, also past the end.
    static func change(_ file: any BlockFile, _ random: inout SplitMix, most: Int = 30_000) throws {
        let size = try file.byteCount()
        let start = UInt64.random(in: 0...size + 5000, using: &random)
        let count = Int.random(in: 0...(Bool.random(using: &random) ? 600 : most), using: &random)
        switch Int.random(in: 0..<8, using: &random) {
        case 0: try file.zero(start..<start + UInt64(count))
        case 1: try file.resize(to: UInt64.random(in: 0...size + 9000, using: &random))
        case 2: try file.sync()
        default: try file.write(random.bytes(count), at: start)
        }
    }

    @Test(arguments: seeds) func everythingComesBack(seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        for round in 0..<25 {
            let note: Comment = "seed \(seed), round \(round)"
            let original = Self.original(&random)
            let (image, plain, journal) = (MemoryFile(original), MemoryFile(original), MemoryFile())
            let undo = try UndoFile(image) { () throws(IOError) in journal }
            #expect(undo.journal == nil)
            let changes = random.next()
            let count = Int.random(in: 1...12, using: &random)
            for file in [undo as any BlockFile, plain] {
                var same = SplitMix(seed: changes)
                for _ in 0..<count { try Self.change(file, &same) }
            }
            // The file changes as one without undo.
            try #require(isSame(image.allBytes, plain.allBytes), note)
            let isClosed = Bool.random(using: &random)
            if isClosed { try undo.finish() }
            guard undo.journal != nil else {
                try #require(isSame(image.allBytes, original.allBytes), note)
                continue
            }
            let read = try UndoJournal(reading: journal)
            #expect(read.isClosed == isClosed && read.originalByteCount == original.byteCount)
            let wasOriginal = isSame(image.allBytes, original.allBytes)
            try #require(try read.check(image) == (wasOriginal ? .original : .changed), note)
            for _ in 0..<2 {
                try UndoJournal(reading: journal).restore(image) { _, _ in }
                try #require(isSame(image.allBytes, original.allBytes), note)
                try #require(try UndoJournal(reading: journal).check(image) == .original, note)
            }
        }
    }

    /// Bytes are saved once, and pages past the first end never.
    @Test func savesOnce() throws {
        let (image, journal) = (MemoryFile([UInt8](repeating: 7, count: 20_000)), MemoryFile())
        let undo = try UndoFile(image) { () throws(IOError) in journal }
        try undo.zero(30_000..<40_000)
        try undo.write([], at: 5)
        #expect(undo.journal == nil && journal.byteCount() == 0)
        try undo.write([1], at: 20_000)
        #expect(undo.journal != nil && journal.byteCount() < 300)
        try undo.write([1, 2], at: 4095)
        let count = journal.byteCount()
        try undo.write([3, 4, 5], at: 4094)
        try undo.zero(0..<8192)
        #expect(journal.byteCount() == count)
        try undo.resize(to: 100)
        try undo.resize(to: 50_000)
        try undo.finish()
        let read = try UndoJournal(reading: journal)
        #expect(read.savedByteCount == 20_000)
        try read.restore(image) { _, _ in }
        #expect(isSame(image.allBytes, [UInt8](repeating: 7, count: 20_000)))
    }

    private func repaired() throws -> (image: MemoryFile, journal: MemoryFile, original: [UInt8]) {
        var random = SplitMix(seed: 9)
        let original = Self.original(&random, pages: 8)
        let (image, journal) = (MemoryFile(original), MemoryFile())
        let undo = try UndoFile(image) { () throws(IOError) in journal }
        for _ in 0..<6 { try Self.change(undo, &random) }
        try undo.write([1, 2, 3], at: 9000)
        try undo.finish()
        return (image, journal, original.allBytes)
    }

    private func code(_ body: () throws -> Void) -> String? {
        do { try body() } catch { return (error as? FormatError)?.code.rawValue ?? "\(error)" }
        return nil
    }

    @Test func otherImagesAreRefused() throws {
        let (image, journal, original) = try repaired()
        let read = try UndoJournal(reading: journal)
        var random = SplitMix(seed: 10)
        for other in [MemoryFile(Self.original(&random)), MemoryFile(), MemoryFile([1])] {
            #expect(code { _ = try read.check(other) } == "UNDO003")
        }
        // Changed since: anywhere that was saved, in its length, or near its ends.
        let changes: [(MemoryFile) throws -> Void] = [
            { try $0.write([9], at: 9001) }, { $0.resize(to: $0.byteCount() + 1) },
            { try $0.write([0xaa, 0xbb], at: $0.byteCount() - 2) },
        ]
        for change in changes {
            let copy = MemoryFile(image.contents)
            try change(copy)
            #expect(["UNDO003", "UNDO004"].contains(code { _ = try read.check(copy) }))
        }
        // After putting back once, only what is as it was before is taken for right.
        try read.restore(image) { _, _ in }
        #expect(isSame(image.allBytes, original))
        try image.write([9], at: 9001)
        #expect(code { _ = try UndoJournal(reading: journal).check(image) } == "UNDO004")
    }

    @Test func noUndoFile() throws {
        for bytes in [[], Array("{}\n".utf8), [UInt8](repeating: 0, count: 5000), Array("{\"type\":\"saved\"".utf8)] {
            #expect(code { _ = try UndoJournal(reading: MemoryFile(bytes)) } == "UNDO001")
        }
    }

    /// A first line that is not whole: nothing was saved. All else is no such thing.
    @Test func endedBeforeAnythingWasSaved() throws {
        let bytes = try repaired().journal.allBytes
        let first = try #require(bytes.firstIndex(of: UInt8(ascii: "\n")))
        for count in 0...first {
            #expect(try UndoJournal.isUnbegun(MemoryFile(Array(bytes.prefix(count)))), "\(count)")
        }
        let others: [[UInt8]] = [
            Array(bytes.prefix(first + 1)), bytes, [0], Array(bytes.prefix(50)) + [0, 0], Array("x".utf8),
            Array("\n".utf8), Array("{}".utf8), Array(bytes.prefix(30)) + [UInt8](repeating: 65, count: 200_000),
        ]
        for other in others { #expect(try !UndoJournal.isUnbegun(MemoryFile(other))) }
    }

    /// Every bit of an undo file turned: it is refused, or still right.
    @Test func damage() throws {
        let (image, journal, original) = try repaired()
        let bytes = journal.allBytes
        var refused = 0
        // All bytes but those of the long lines of digits, of which some.
        var isLong = [Bool](repeating: false, count: bytes.count)
        for line in bytes.split(separator: UInt8(ascii: "\n")) where line.count > 600 {
            for place in line.startIndex + 60..<line.endIndex - 30 { isLong[place] = true }
        }
        for place in bytes.indices where !isLong[place] || place % 61 == 0 {
            var damaged = bytes
            damaged[place] ^= 1 << UInt8(place % 8)
            let (copy, undo) = (MemoryFile(image.contents), MemoryFile(damaged))
            let problem = code {
                let read = try UndoJournal(reading: undo)
                if try read.check(copy) == .changed { try read.restore(copy) { _, _ in } }
            }
            if problem != nil { refused += 1 } else { #expect(isSame(copy.allBytes, original), "byte \(place)") }
        }
        #expect(refused > 500)
        // Cut anywhere: not closed then, and right as far as it reaches, or refused.
        for count in stride(from: 0, to: bytes.count, by: 173) {
            let copy = MemoryFile(image.contents)
            _ = code {
                let read = try UndoJournal(reading: MemoryFile(Array(bytes.prefix(count))))
                #expect(!read.isClosed)
                _ = try read.check(copy)
            }
        }
    }

    /// No change is made in the file when its old bytes could not be saved.
    @Test func failures() throws {
        for after in 0..<14 {
            var random = SplitMix(seed: 5)
            let original = Self.original(&random)
            let (image, base) = (MemoryFile(original), MemoryFile())
            let journal = FailingFile(base, after: after, code: ENOSPC)
            let dropped = Mutex(0)
            let undo = try UndoFile(
                image, makeJournal: { () throws(IOError) in journal },
                dropJournal: { _ in dropped.withLock { $0 += 1 } })
            var failed = false
            for page in [3, 1, 2, 9] {
                do { try undo.write(random.bytes(100), at: UInt64(page * 4096)) } catch {
                    failed = true
                    break
                }
            }
            guard failed else { continue }
            // Given back where it is of no use, and only there.
            #expect(dropped.withLock { $0 } == (undo.journal == nil ? 1 : 0))
            if undo.journal == nil { #expect(isSame(image.allBytes, original.allBytes)) }
            // Nothing goes on after that, even where bytes are saved.
            #expect(throws: IOError.self) { try undo.write([1], at: 3 * 4096) }
            #expect(throws: IOError.self) { try undo.resize(to: 1) }
            if isSame(image.allBytes, original.allBytes) { continue }
            try UndoJournal(reading: base).restore(image) { _, _ in }
            #expect(isSame(image.allBytes, original.allBytes), "\(after)")
        }
    }

    @Test func ranges() {
        var random = SplitMix(seed: 6)
        var (set, model) = (ByteRanges(), Set<UInt64>())
        for _ in 0..<300 {
            let start = UInt64.random(in: 0..<200, using: &random)
            let range = start..<start + UInt64.random(in: 0..<9, using: &random)
            set.insert(range)
            model.formUnion(range)
            #expect(Set(set.all.joined()) == model)
            #expect(zip(set.all, set.all.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound })
            let window = start / 2..<start / 2 + 30
            #expect(Array(set.parts(in: window).joined()) == window.filter(model.contains))
            #expect(Array(set.gaps(in: window).joined()) == window.filter { !model.contains($0) })
        }
    }

    @Test func overlayHoldsNoMoreThanItMay() throws {
        let overlay = try OverlayFile(over: MemoryFile([UInt8](repeating: 1, count: 100_000)), heldByteLimit: 16_384)
        try overlay.write([UInt8](repeating: 2, count: 4096), at: 0)
        overlay.zero(0..<100_000)
        try overlay.write([UInt8](repeating: 3, count: 12_288), at: 8192)
        #expect(try ioError { try overlay.write([UInt8].zeros(8192), at: 50_000) }.reason == OverlayFile.isFull)
        #expect(try overlay.bytes(at: 8192, count: 1) == [3])
    }
}
