import BlockIO
import ByteCodec
import ChangeLog
import DiskModel
import FaultInjection
import HRL
import Testing

/// Power cuts over disks, logs and dirty maps together.
@Suite struct TrackedCutTests {
    static let size = 16 << 10
    static let images = ["a.raw", "b.raw"]

    /// What was done to one disk, log by log, and how much of it had been acknowledged when.
    private struct Story {
        /// Writes of each log, by its UniqueId, in the order of the logs.
        var logs: [(id: GUID, writes: [LoggedWrite])] = []
        /// Log and number of writes in it that a flush had covered, by mark.
        var flushed: [(mark: Int, log: Int, count: Int)] = []
        /// How many logs the target had acknowledged, by mark. Noted before the acknowledgement is told.
        var acknowledged: [(mark: Int, count: Int)] = []
        /// Mark of a clean end.
        var closed: Int?
    }

    private struct Recording {
        var folder: RecordedDirectory
        var stories: [String: Story]
    }

    private static func initial(_ image: String) -> [UInt8] {
        [UInt8](repeating: image == "a.raw" ? 0xa0 : 0xb0, count: size)
    }

    private static let fingerprint = ImageFingerprint.dataWriteGUID(GUID(1, 2, 3, 4))

    /// Works on two disks, switches logs, acknowledges, closes.
    private static func record(
        seed: UInt64, ignoresNameSyncs: Bool = false,
        ignoresSyncs: @escaping @Sendable (String) -> Bool = { _ in false }
    ) throws -> Recording {
        var files: [String: MemoryFile.Contents] = [:]
        for image in images {
            files[image] = MemoryFile.Contents(initial(image))
            let map = MemoryFile()
            let made = try DirtyMap.create(
                on: map, virtualByteCount: UInt64(size), fingerprint: fingerprint, mapOptions)
            try made.close(fingerprint)
            files[image + ".hrl.map"] = map.contents
        }
        let folder = RecordedDirectory(files, ignoresNameSyncs: ignoresNameSyncs, ignoresSyncs: ignoresSyncs)
        var script = try Script(folder, SplitMix(seed: seed))
        try script.run()
        return Recording(folder: folder, stories: script.stories)
    }

    private static var mapOptions: DirtyMap.Options {
        var options = DirtyMap.Options()
        options.regionByteCount = 512
        options.marksAhead = false
        return options
    }

    private struct Script {
        let folder: RecordedDirectory
        var random: SplitMix
        var disks: [String: TrackedDisk] = [:]
        let group: TrackedGroup
        var stories: [String: Story] = [:]
        var mark = 0

        init(_ folder: RecordedDirectory, _ random: SplitMix) throws {
            (self.folder, self.random) = (folder, random)
            for image in images {
                let file = try folder.open(image)
                var parts = TrackedDisk.Parts(
                    MemoryDisk(file, byteCount: UInt64(size)), in: folder, imageName: image)
                parts.map = try DirtyMap.open(
                    on: try folder.open(image + ".hrl.map"), virtualByteCount: UInt64(size),
                    fingerprint: TrackedCutTests.fingerprint, mapOptions)
                parts.fingerprint = { () throws(DiskError) in TrackedCutTests.fingerprint }
                parts.now = { time }
                disks[image] = try TrackedDisk.open(parts)
                var story = Story()
                story.logs.append((disks[image]!.log!.uniqueID, []))
                stories[image] = story
            }
            let members = images.compactMap { [disks] in disks[$0] }
            group = try TrackedGroup("vm", members, records: folder)
        }

        mutating func nextMark() -> Int {
            mark += 1
            folder.mark(mark)
            return mark
        }

        mutating func run() throws {
            for round in 0..<3 {
                for _ in 0..<4 { try act() }
                try `switch`(round)
                for _ in 0..<2 { try act() }
                if round == 1 { try acknowledge() }
            }
            try group.close()
            let end = nextMark()
            for image in images {
                stories[image]!.closed = end
                note(flushOf: image, end)
            }
        }

        private mutating func act() throws {
            let image = images[Int.random(in: 0...1, using: &random)]
            let sectors = UInt64(size / 512)
            let start = UInt64.random(in: 0..<sectors, using: &random)
            let count = UInt64.random(in: 1...min(3, sectors - start), using: &random)
            let log = stories[image]!.logs.count - 1
            switch Int.random(in: 0..<6, using: &random) {
            case 0..<3:
                let bytes = random.bytes(Int(count) * 512)
                stories[image]!.logs[log].writes.append(LoggedWrite(offset: start * 512, bytes: bytes))
                try disks[image]!.write(bytes, at: start * 512)
            case 3:
                stories[image]!.logs[log].writes.append(
                    LoggedWrite(offset: start * 512, bytes: .zeros(Int(count) * 512)))
                try disks[image]!.writeZeroes(start * 512..<(start + count) * 512)
            default:
                try disks[image]!.flush()
                note(flushOf: image, nextMark())
            }
        }

        private mutating func note(flushOf image: String, _ mark: Int) {
            let logs = stories[image]!.logs
            for (index, log) in logs.enumerated() { stories[image]!.flushed.append((mark, index, log.writes.count)) }
        }

        private mutating func `switch`(_ round: Int) throws {
            // The next log's writes come after the switch has returned, but it may be there before.
            let switched = try group.switchLogs(cycle: UInt64(round + 1))
            #expect(switched.failures.isEmpty)
            for image in images { stories[image]!.logs.append((disks[image]!.log!.uniqueID, [])) }
            let mark = nextMark()
            for image in images {
                let closed = stories[image]!.logs.count - 2
                stories[image]!.flushed.append((mark, closed, stories[image]!.logs[closed].writes.count))
            }
        }

        private mutating func acknowledge() throws {
            for image in images {
                let last = stories[image]!.logs.count - 2
                stories[image]!.acknowledged.append((nextMark(), last + 1))
                try disks[image]!.map!.acknowledge(through: stories[image]!.logs[last].id)
            }
        }
    }

    // MARK: Judging

    private struct Tally {
        var wrong: [String] = []
        var closedEnds = 0
        var losses = 0
        var unclosedLogs = 0
        mutating func say(_ what: String) { wrong.append(what) }
    }

    /// What a cut left of one disk, against the story up to the last mark passed.
    private static func judge(
        _ cut: RecordedDirectory.Image, _ image: String, _ story: Story, _ tally: inout Tally
    ) throws {
        let mark = cut.marks.last ?? 0
        let found: FoundLogs
        do { found = try FoundLogs(cut.files, image: image) } catch {
            return tally.say("\(image): \(error), cut: \(cut.fates)")
        }
        let disk = cut.files[image]!.allBytes
        // Each log holds a prefix of what went to it, closed ones all of it, and what was flushed is there.
        for (index, expected) in story.logs.enumerated() {
            let promised = story.flushed.last { $0.mark <= mark && $0.log == index }?.count ?? 0
            guard let log = found.logs.first(where: { $0.header.uniqueID == expected.id }) else {
                if promised > 0 { tally.say("\(image): log \(index) is gone, cut: \(cut.fates)") }
                continue
            }
            let kept = try writes(of: log)
            if kept != Array(expected.writes.prefix(kept.count)) { tally.say("\(image): log \(index) is no prefix") }
            if log.header.isClosed, kept.count != expected.writes.count {
                tally.say("\(image): closed log \(index) has \(kept.count) of \(expected.writes.count)")
            }
            if kept.count < promised { tally.say("\(image): log \(index) lost flushed writes, cut: \(cut.fates)") }
            if !log.header.isClosed { tally.unclosedLogs += 1 }
        }
        try judgeMap(cut, image, story, found, disk, mark, &tally)
        try judgeRestart(cut, image, found, disk, &tally)
        if let closed = story.closed, mark >= closed { tally.closedEnds += 1 }
    }

    /// Where the disk differs from what the target may have, it is dirty.
    private static func judgeMap(
        _ cut: RecordedDirectory.Image, _ image: String, _ story: Story, _ found: FoundLogs, _ disk: [UInt8],
        _ mark: Int, _ tally: inout Tally
    ) throws {
        let map = try DirtyMap.open(
            on: MemoryFile(cut.files[image + ".hrl.map"]!), virtualByteCount: UInt64(size), fingerprint: fingerprint,
            mapOptions)
        let dirty = map.dirtyRanges
        let acknowledged = story.acknowledged.last { $0.mark <= mark }?.count ?? 0
        let least = min(acknowledged, found.closed.count)
        if least < acknowledged { tally.say("\(image): an acknowledged log is not closed") }
        for count in least...found.closed.count {
            let target = try FoundLogs.apply(found.closed.prefix(count), to: initial(image))
            for sector in 0..<UInt64(size / 512) {
                let range = Int(sector) * 512..<Int(sector + 1) * 512
                guard !bytesEqual(disk.rawBytes.extracting(range), target.rawBytes.extracting(range)) else { continue }
                if map.continuity.state == .clean, count < found.closed.count { continue }
                if !dirty.contains(where: { $0.contains(sector * 512) }) {
                    tally.say("\(image): sector \(sector) differs after \(count) logs and is clean, cut: \(cut.fates)")
                }
            }
        }
    }

    /// The next start says that continuity was lost, unless the closed logs tell all.
    private static func judgeRestart(
        _ cut: RecordedDirectory.Image, _ image: String, _ found: FoundLogs, _ disk: [UInt8], _ tally: inout Tally
    ) throws {
        let folder = RecordedDirectory(cut.files, records: false)
        var parts = TrackedDisk.Parts(MemoryDisk(disk), in: folder, imageName: image)
        parts.now = { time }
        let tracked: TrackedDisk
        do { tracked = try TrackedDisk.open(parts) } catch {
            return tally.say("\(image): no start: \(error), cut: \(cut.fates)")
        }
        if tracked.continuityLoss != nil {
            tally.losses += 1
        } else if try FoundLogs.apply(found.logs, to: initial(image)) != disk {
            tally.say("\(image): the logs do not give the disk, and nobody says so, cut: \(cut.fates)")
        }
        let names = folder.names().filter { $0.hasPrefix(image + ".") }
        let isTidy = names.contains(image + ".hrl") && !names.contains(image + ".hrl.new")
        let after = try FoundLogs(folder.contents, image: image)
        if !isTidy || after.logs.last?.name != image + ".hrl" || after.logs.count != found.logs.count + 1 {
            tally.say("\(image): names after the start: \(names), cut: \(cut.fates)")
        }
    }

    /// Ends the looking once something was found.
    private struct Found: Error { var what: String }

    private static func judge(
        _ recording: Recording, imageLimit: Int, seed: UInt64
    ) throws -> (PowerCuts.Tally, Tally) {
        var tally = Tally()
        let tried = try recording.folder.forEachCut(imageLimit: imageLimit, seed: seed) { cut in
            for image in images {
                do { try judge(cut, image, recording.stories[image]!, &tally) } catch {
                    tally.say("\(image): \(error), cut: \(cut.fates)")
                }
            }
            if let what = tally.wrong.first { throw Found(what: what) }
        }
        return (tried, tally)
    }

    @Test(arguments: 1...2) func powerCuts(seed: UInt64) throws {
        let (tried, tally) = try Self.judge(try Self.record(seed: seed), imageLimit: 8, seed: seed)
        print(
            "tracked disks, power cuts: \(tried.imageCount) images of \(tried.momentCount) moments, "
                + "\(tally.unclosedLogs) unclosed logs, \(tally.losses) losses told")
        #expect(tally.losses > 100 && tally.closedEnds > 0 && tally.unclosedLogs > 100)
    }

    /// Broken controls: syncs of one kind of file are answered and not done.
    @Test(arguments: ["the disk", "the logs", "the map", "the names"]) func missingSyncsAreCaught(of what: String)
        throws
    {
        var wrong: String?
        for seed: UInt64 in 1...4 where wrong == nil {
            let recording = try Self.record(seed: seed, ignoresNameSyncs: what == "the names") { name in
                switch what {
                case "the disk": name.hasSuffix(".raw")
                case "the logs": name.hasSuffix(".hrl") || name.hasSuffix(".new")
                case "the map": name.hasSuffix(".map")
                default: false
                }
            }
            do { _ = try Self.judge(recording, imageLimit: 16, seed: seed) } catch let found as Found {
                wrong = found.what
            }
        }
        print("tracked disks without syncs of \(what): \(wrong ?? "nothing found")")
        #expect(wrong != nil)
    }
}
