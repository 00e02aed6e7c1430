import BlockIO
import ByteCodec
import ChangeLog
import DiskConformance
import DiskModel
import Dispatch
import FaultInjection
import Foundation
import HRL
import ImageChain
import RawDisk
import Synchronization
import Testing
import VHDX

private func parts(
    _ disk: any VirtualDisk, _ folder: any TrackedFolder, _ name: String = "a.raw", _ events: EventList = EventList()
) -> TrackedDisk.Parts {
    var parts = TrackedDisk.Parts(disk, in: folder, imageName: name)
    parts.now = { time }
    parts.onEvent = { events.add($0) }
    return parts
}

/// A layer whose changes go through a tracked disk, for the conformance suite.
private final class TrackedLayer: WritableDiskLayer {
    let layer: any WritableDiskLayer
    let disk: TrackedDisk

    init(_ layer: any WritableDiskLayer, _ folder: any TrackedFolder) throws {
        self.layer = layer
        disk = try TrackedDisk.open(parts(try ImageChain(leafFirst: [layer], writableLeaf: layer), folder))
    }

    var file: any BlockFile { layer.file }
    var format: ImageFormat { layer.format }
    var type: ImageType { layer.type }
    var geometry: DiskGeometry { layer.geometry }
    var identity: DiskIdentity { layer.identity }
    var parentLink: ParentLink? { layer.parentLink }
    var findings: [Finding] { layer.findings }
    var hasReplayedLog: Bool { layer.hasReplayedLog }
    func extents(in range: Range<UInt64>, limit: Int) throws(DiskError) -> [Extent] {
        try layer.extents(in: range, limit: limit)
    }
    func write(_ bytes: RawSpan, at offset: UInt64) throws(DiskError) { try disk.write(bytes, at: offset) }
    func write(_ range: Range<UInt64>, by move: PayloadMove) throws(DiskError) { try layer.write(range, by: move) }
    func writeZeroes(_ range: Range<UInt64>) throws(DiskError) { try disk.writeZeroes(range) }
    func flush() throws(DiskError) { try disk.flush() }
    func close() throws(DiskError) { try disk.close() }
}

@Suite struct TrackedDiskTests {
    @Test func conformance() throws {
        let size: UInt64 = 4 << 20
        for seed: UInt64 in 1...3 {
            // One folder for all openings, so that logs of earlier ones are settled, too.
            let folder = RecordedDirectory(records: false)
            let raw = DiskSubject(
                name: "tracked raw",
                make: {
                    var contents = MemoryFile.Contents()
                    contents.resize(to: size)
                    return contents
                },
                openForWriting: { try TrackedLayer(try RawLayer($0), folder) },
                openForReading: { try RawLayer($0) })
            try checkConformance(raw, seed: seed)
        }
    }

    /// Threads write, zero and flush at random while logs are switched: the closed logs, applied to what the disk was,
    /// give what it is.
    @Test(arguments: 1...6) func logsTellWhatBecameOfTheDisk(seed: UInt64) throws {
        let folder = RecordedDirectory(records: false)
        let size = 1 << 20
        let initial = (0..<2).map { index in [UInt8](repeating: UInt8(index + 7), count: size) }
        let bases = initial.map { MemoryDisk($0) }
        let disks = try bases.enumerated().map { try TrackedDisk.open(parts($1, folder, "\($0).raw")) }
        let group = try TrackedGroup("vm", disks, records: folder)
        let failures = Mutex<[String]>([])
        inThreads(5) { thread in
            var random = SplitMix(seed: seed &* 1000 &+ UInt64(thread))
            do {
                if thread == 0 {
                    for cycle in 1...UInt64(12) {
                        usleep(UInt32.random(in: 0...3000, using: &random))
                        let switched = try group.switchLogs(cycle: cycle)
                        if switched.record == nil { failures.withLock { $0.append("cycle \(cycle) without record") } }
                    }
                } else {
                    try Self.work(disks, &random, count: 250, size: size)
                }
            } catch { failures.withLock { $0.append("\(error)") } }
        }
        try group.close()
        #expect(failures.withLock { $0 } == [])
        var recorded: [CycleRecord] = []
        for (index, base) in bases.enumerated() {
            let found = try FoundLogs(folder.contents, image: "\(index).raw")
            #expect(found.closed.count == found.logs.count && found.logs.count == 13)
            #expect(try FoundLogs.apply(found.logs, to: initial[index]) == base.allBytes)
            #expect(found.logs.last?.name == "\(index).raw.hrl")
            // The writes were of bytes, but the logs tell of sectors; nothing is to be said of them.
            for log in found.logs { #expect(try LogReader(log.file).validate().findings.isEmpty) }
        }
        for cycle in 1...UInt64(12) {
            let file = try #require(folder.contents[CycleRecord.fileName("vm", cycle: cycle)])
            recorded.append(try JSONDecoder().decode(CycleRecord.self, from: Data(file.allBytes)))
        }
        #expect(recorded.map(\.cycle) == Array(1...12))
        for (old, new) in zip(recorded, recorded.dropFirst()) {
            #expect(old.disks.map(\.next) == new.disks.map(\.ended))
        }
    }

    private static func work(_ disks: [TrackedDisk], _ random: inout SplitMix, count: Int, size: Int) throws {
        for _ in 0..<count {
            let disk = disks[Int.random(in: 0...1, using: &random)]
            let most = Int.random(in: 0..<30, using: &random) == 0 ? 1 << 19 : 16 << 10
            // Bytes, not sectors: overlaps of every kind.
            let start = Int.random(in: 0..<size - 1, using: &random)
            let length = Int.random(in: 1...min(most, size - start), using: &random)
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<7:
                try disk.write(
                    [UInt8](repeating: .random(in: 0...255, using: &random), count: length), at: UInt64(start))
            case 7, 8: try disk.writeZeroes(UInt64(start)..<UInt64(start + length))
            default: try disk.flush()
            }
        }
    }

    /// The instant is one for all disks: a write that began after another had returned is never in an earlier cycle.
    @Test func aSwitchIsOneInstant() throws {
        let folder = RecordedDirectory(records: false)
        let bases = (0..<2).map { _ in MemoryDisk(.zeros(1 << 16)) }
        let disks = try bases.enumerated().map { try TrackedDisk.open(parts($1, folder, "\($0).raw")) }
        let group = try TrackedGroup("vm", disks, records: folder)
        let isDone = Atomic(false)
        let failures = Mutex<[String]>([])
        inThreads(2) { thread in
            do {
                if thread == 0 {
                    for cycle in 1...UInt64(40) {
                        usleep(500)
                        _ = try group.switchLogs(cycle: cycle)
                    }
                    isDone.store(true, ordering: .releasing)
                } else {
                    var number: UInt32 = 0
                    while !isDone.load(ordering: .acquiring) {
                        number += 1
                        let bytes = (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
                        try disks[0].write(bytes, at: 0)
                        try disks[1].write(bytes, at: 0)
                        usleep(20)
                    }
                }
            } catch { failures.withLock { $0.append("\(error)") } }
        }
        try group.close()
        #expect(failures.withLock { $0 } == [])
        let found = try (0..<2).map { try FoundLogs(folder.contents, image: "\($0).raw") }
        #expect(found[0].logs.count == 41 && found[1].logs.count == 41)
        var seen = 0
        var contents = [[UInt8]](repeating: .zeros(1 << 16), count: 2)
        for count in 1...41 {
            let values = try (0..<2).map { disk -> UInt32 in
                let bytes = try FoundLogs.apply([found[disk].logs[count - 1]], to: contents[disk])
                contents[disk] = bytes
                return bytes.rawBytes.integer(at: 0, .little)
            }
            // The second disk is written after the first one: it may lag by the one write that was between.
            #expect(values[0] == values[1] || values[0] == values[1] + 1, "after \(count) logs: \(values)")
            if values[0] > 0 { seen += 1 }
        }
        #expect(seen > 20)
    }

    @Test func zeroesAreHolesAndQuotaCountsNone() throws {
        let folder = RecordedDirectory(records: false)
        let events = EventList()
        var made = parts(MemoryDisk(empty: 8 << 30), folder, "a.raw", events)
        made.policy.quotaByteCount = 1 << 20
        let disk = try TrackedDisk.open(made)
        try disk.writeZeroes(0..<8 << 30)
        try disk.flush()
        #expect(disk.log?.occupiedByteCount ?? .max < 32 << 10 && events.warningCount == 0)
        let piece = [UInt8](repeating: 1, count: 64 << 10)
        var count: UInt64 = 0
        while events.warningCount == 0, count < 100 {
            try disk.write(piece, at: count << 16)
            count += 1
        }
        // 0.8 of 1 MiB, with the header, blocks and what was written before.
        #expect(count == 13 || count == 12)
        while events.stops.isEmpty, count < 100 {
            try disk.write(piece, at: count << 16)
            count += 1
        }
        #expect(count == 16 && events.warningCount == 1 && events.stops.count == 1)
        guard case .stopped(.quota(1 << 20)) = disk.status else {
            Issue.record("\(disk.status)")
            return
        }
        // The disk goes on, and what the log had is still in it.
        try disk.write(piece, at: 1 << 30)
        #expect(try disk.bytes(at: 1 << 30, count: piece.count) == piece)
        let log = try #require(try FoundLogs(folder.contents, image: "a.raw").logs.first)
        #expect(!log.header.isClosed)
        #expect(log.file.contents.pages.pageCount * 4096 <= 1 << 20)
        let recovered = try recover(unclosed: log.file)
        #expect(try recovered.candidate().writeCount == 4 + count - 1)
        try disk.close()
        #expect(events.stops.count == 1)
    }

    /// Every call on the log may fail: the disk has all writes, the log is not closed, and it is told once.
    @Test func aFailingLogLeavesTheDiskAlone() throws {
        var stopCount = 0
        for after in 0..<40 {
            let folder = RecordedDirectory(
                records: false, wrap: { FailingFile($1, after: after, code: after % 2 == 0 ? EIO : ENOSPC) })
            let base = MemoryDisk(.zeros(4 << 20))
            var expected = [UInt8].zeros(4 << 20)
            let events = EventList()
            guard let disk = try? TrackedDisk.open(parts(base, folder, "a.raw", events)) else {
                #expect(after < 4)
                continue
            }
            for number in 0..<12 {
                let count = number % 3 == 0 ? 300 << 10 : 5 << 10
                let bytes = [UInt8](repeating: UInt8(number + 1), count: count)
                try disk.write(bytes, at: UInt64(number) << 18)
                expected.replaceSubrange(number << 18..<(number << 18) + count, with: bytes)
                if number % 4 == 3 { try disk.flush() }
            }
            let closed = (try? disk.close()) != nil
            #expect(base.allBytes == expected)
            let log = try #require(try FoundLogs(folder.contents, image: "a.raw").logs.first)
            if events.stops.isEmpty {
                // The very last step, closing the log, may have failed or not.
                #expect(log.header.isClosed || !closed)
            } else {
                stopCount += 1
                #expect(!log.header.isClosed && events.stops.count == 1)
            }
        }
        #expect(stopCount > 5)
    }

    /// A write that fails on the disk after it was logged makes the log unfit.
    @Test func aFailingDiskStopsTracking() throws {
        let folder = RecordedDirectory(records: false)
        let events = EventList()
        let failing = FailingFile(MemoryFile(MemoryFile.Contents(.zeros(1 << 20))), after: 3, recovers: true)
        let disk = try TrackedDisk.open(parts(MemoryDisk(failing, byteCount: 1 << 20), folder, "a.raw", events))
        var failures = 0
        for number in 0..<6 {
            do { try disk.write([UInt8](repeating: 1, count: 512), at: UInt64(number) << 10) } catch { failures += 1 }
        }
        #expect(failures == 1 && events.stops.count == 1)
        guard case .stopped(.diskFailed) = disk.status else {
            Issue.record("\(disk.status)")
            return
        }
        try disk.close()
        #expect(try FoundLogs(folder.contents, image: "a.raw").closed.isEmpty)
        #expect(throws: DiskError.self) { try disk.write([1], at: 0) }
        #expect(throws: DiskError.self) { try disk.close() }
    }

    @Test func aFailingMapIsRemoved() throws {
        let name = "a.raw.hrl.map"
        var lossCount = 0
        for after in 0..<16 {
            let folder = RecordedDirectory(records: false)
            let file = try folder.create(name)
            let map = try DirtyMap.create(on: file, virtualByteCount: 1 << 20)
            try map.close(ImageFingerprint(of: MemoryFile([1])))
            let failing = FailingFile(file, after: after)
            let fingerprint = try ImageFingerprint(of: MemoryFile([1]))
            guard let opened = try? DirtyMap.open(on: failing, virtualByteCount: 1 << 20, fingerprint: fingerprint)
            else {
                continue
            }
            let events = EventList()
            let base = MemoryDisk(.zeros(1 << 20))
            var made = parts(base, folder, "a.raw", events)
            made.map = opened
            made.fingerprint = { () throws(DiskError) in try ImageFingerprint(of: MemoryFile([1])) }
            let disk = try TrackedDisk.open(made)
            for number in 0..<8 { try disk.write([UInt8](repeating: 9, count: 512), at: UInt64(number) << 17) }
            #expect(
                events.mapLossCount == (failing.hasFailed ? 1 : 0) && folder.names().contains(name) != failing.hasFailed
            )
            lossCount += events.mapLossCount
            // Tracking goes on. Where closing the map is what fails, the log is not closed.
            guard (try? disk.close()) != nil else {
                #expect(failing.hasFailed && events.mapLossCount == 0)
                continue
            }
            let found = try FoundLogs(folder.contents, image: "a.raw")
            #expect(try FoundLogs.apply(found.closed, to: .zeros(1 << 20)) == base.allBytes)
        }
        #expect(lossCount > 2)
    }

    @Test func writesOutsideAreNeitherDoneNorLogged() throws {
        let folder = RecordedDirectory(records: false)
        let disk = try TrackedDisk.open(parts(MemoryDisk(.zeros(4096)), folder))
        #expect(throws: DiskError.self) { try disk.write([1], at: 4096) }
        #expect(throws: DiskError.self) { try disk.write([1, 2], at: .max) }
        #expect(throws: DiskError.self) { try disk.writeZeroes(4000..<5000) }
        #expect(disk.log?.writeCount == 0)
        guard case .tracking = disk.status else {
            Issue.record("\(disk.status)")
            return
        }
        try disk.close()
    }
}
