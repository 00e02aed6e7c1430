import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing
import VHD

/// Everything a power cut can leave of a repair: an image that was readable is readable with the bytes from before or
/// after, none is worse than it was, and the repair, run again, ends where it would have ended.
@Suite struct CheckPowerCutTests {
    struct Case: Sendable, CustomStringConvertible {
        var planted: Planted
        var kind: RepairKind
        var description: String { "\(kind) of \(planted)" }
    }

    static let cases = Planted.all.flatMap { planted in
        planted.repairs.sorted().map { Case(planted: planted, kind: $0) }
    }

    struct Counts {
        var images = 0
        /// Readable before and not after the cut.
        var unreadable = 0
        /// Sectors that hold neither what they held before nor what they hold when mended.
        var stray = 0
        /// Images where the second run did not mend the breach, or left other bytes on the disk.
        var unfinished = 0
        var isGood: Bool { unreadable == 0 && stray == 0 && unfinished == 0 }
    }

    static func recording(_ planted: Planted, _ kind: RepairKind, ignoresSync: Bool = false) throws
        -> RecordingFile.Recording
    {
        let file = RecordingFile(MemoryFile.Contents(planted.bytes), ignoresSync: ignoresSync)
        _ = try VHDChecker.repair(file, [kind], .init()) { _, _ in }
        return file.recording
    }

    static func count(_ planted: Planted, _ kind: RepairKind, _ recording: RecordingFile.Recording) -> Counts {
        var counts = Counts()
        let after = planted.changed[kind] ?? planted.disk
        PowerCuts(recording, imageLimit: 200).forEachImage { image in
            counts.images += 1
            let found = disk(image.contents)
            if planted.opens, found == nil { counts.unreadable += 1 }
            // What was not readable before may show anything on the way, and nothing is expected of what is missing.
            if let found, planted.opens { counts.stray += strays(found, planted, after) }
            do {
                let file = MemoryFile(image.contents)
                _ = try VHDChecker.repair(file, [kind], .init()) { _, _ in }
                let report = try VHDChecker.check(file, planted.options) { _, _ in }
                let isMended = !CheckPlantedTests.isShown(planted, in: report)
                let isWhole = planted.isLostOnTheWay || disk(file.contents)?.bytes == after
                if !isMended || !isWhole { counts.unfinished += 1 }
            } catch {
                counts.unfinished += 1
            }
        }
        return counts
    }

    /// What a disk shows; sectors that are missing are zeros, and listed.
    struct Shown {
        var bytes: [UInt8] = []
        var missing: Set<Int> = []
    }

    static func disk(_ contents: MemoryFile.Contents) -> Shown? {
        guard let layer = try? VHDLayer(reading: MemoryFile(contents)), (try? layer.census()) != nil else { return nil }
        var shown = Shown()
        for sector in 0..<Int(layer.geometry.virtualByteCount / 512) {
            let range = UInt64(sector) * 512..<UInt64(sector + 1) * 512
            if let bytes = try? VHDTests.contents(layer, range) {
                shown.bytes += bytes
            } else {
                shown.bytes += [UInt8].zeros(512)
                shown.missing.insert(sector)
            }
        }
        return shown
    }

    static func strays(_ found: Shown, _ planted: Planted, _ after: [UInt8]) -> Int {
        guard let before = disk(MemoryFile.Contents(planted.bytes)), before.bytes.count == found.bytes.count else {
            return 1
        }
        return (0..<found.bytes.count / 512).count { sector in
            let range = sector * 512..<sector * 512 + 512
            let bytes = Array(found.bytes[range])
            if found.missing.contains(sector) { return !before.missing.contains(sector) }
            if bytes == Array(after[range]) { return false }
            return before.missing.contains(sector) || bytes != Array(before.bytes[range])
        }
    }

    @Test func noCutIsWorse() throws {
        var total = Counts()
        for subject in Self.cases {
            let counts = Self.count(subject.planted, subject.kind, try Self.recording(subject.planted, subject.kind))
            #expect(counts.isGood && counts.images > 1, "\(subject): \(counts)")
            total.images += counts.images
            total.unreadable += counts.unreadable
            total.stray += counts.stray
            total.unfinished += counts.unfinished
        }
        print("CheckPowerCutTests: \(Self.cases.count) repairs, \(total)")
    }

    /// A repair of both sectors of a header that leaves out its flushes is caught.
    @Test func missingFlushesAreCaught() throws {
        let planted = try #require(Planted.parents.first { $0.name == "name" })
        let counts = Self.count(planted, .fields, try Self.recording(planted, .fields, ignoresSync: true))
        print("CheckPowerCutTests: control without flushes: \(counts)")
        #expect(counts.unreadable > 0)
    }

    /// So is one that writes the header in place.
    @Test func headerWrittenInPlaceIsCaught() throws {
        let planted = try #require(Planted.parents.first { $0.name == "name" })
        var recording = try Self.recording(planted, .fields)
        recording.operations.removeAll {
            if case .write(let offset, _) = $0 { offset != 512 } else { false }
        }
        recording.operations.removeAll { if case .resize = $0 { true } else { false } }
        let counts = Self.count(planted, .fields, recording)
        print("CheckPowerCutTests: control with a header in place: \(counts)")
        #expect(counts.unreadable > 0)
    }
}
