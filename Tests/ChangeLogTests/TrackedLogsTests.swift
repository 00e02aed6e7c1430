import BlockIO
import ByteCodec
import ChangeLog
import DiskModel
import FaultInjection
import Foundation
import HRL
import Testing
import ToolTesting

/// What the logs of a run are called, and what the next start makes of what is there.
@Suite struct TrackedLogsTests {
    private static func open(_ folder: any TrackedFolder, _ events: EventList = EventList()) throws -> TrackedDisk {
        var parts = TrackedDisk.Parts(MemoryDisk(.zeros(1 << 16)), in: folder, imageName: "d.vhd")
        parts.now = { time }
        parts.onEvent = { events.add($0) }
        return try TrackedDisk.open(parts)
    }

    /// In a folder of the host.
    @Test func runsFollowEachOther() throws {
        let scratch = try Scratch()
        let folder = HostFolder(scratch.path("."))
        let events = EventList()
        var ids: [GUID] = []
        for run in 0..<3 {
            let disk = try Self.open(folder, events)
            let log = try #require(disk.log)
            #expect(log.header.previousUniqueID == ids.last ?? .zero)
            #expect(disk.continuityLoss == nil)
            ids.append(log.uniqueID)
            try disk.write([UInt8](repeating: UInt8(run), count: 512), at: 0)
            // Another tracker of the same image is kept away.
            var kind: DiskError.Kind?
            do throws(DiskError) { _ = try Self.open2(folder) } catch { kind = error.kind }
            #expect(kind == .busy)
            let group = try TrackedGroup("vm", [disk], records: folder)
            let switched = try group.switchLogs(cycle: UInt64(run))
            #expect(switched.record?.disks.map(\.ended) == [log.uniqueID.description])
            #expect(switched.holdDuration >= switched.drainDuration)
            ids.append(try #require(disk.log).uniqueID)
            try group.close()
        }
        #expect(events.losses.isEmpty)
        let names = try folder.names().filter { $0.hasPrefix("d.vhd") }.sorted()
        #expect(Set(names) == Set(ids.dropLast().map { "d.vhd.\($0).hrl" } + ["d.vhd.hrl"]))
        for name in names {
            let file = try PosixFile(scratch.path(name))
            #expect(try LogReader(file).validate().findings.isEmpty)
        }
    }

    private static func open2(_ folder: any TrackedFolder) throws(DiskError) -> TrackedDisk {
        try TrackedDisk.open(TrackedDisk.Parts(MemoryDisk(.zeros(1 << 16)), in: folder, imageName: "d.vhd"))
    }

    private static func header(id: GUID, previous: GUID = .zero, closed: Bool) throws -> MemoryFile.Contents {
        let file = MemoryFile()
        let writer = try LogWriter.create(on: file, uniqueID: id, previousUniqueID: previous, created: time)
        if closed { try writer.close(at: time) }
        return file.contents
    }

    @Test(arguments: [0, 1, 2], [0, 1, 2, 3]) func whatIsFound(current: Int, new: Int) throws {
        let (a, b) = (GUID.random(), GUID.random())
        var files: [String: MemoryFile.Contents] = [:]
        if current > 0 { files["d.vhd.hrl"] = try Self.header(id: a, closed: current == 2) }
        switch new {
        case 0: break
        case 3: files["d.vhd.hrl.new"] = MemoryFile.Contents([UInt8](repeating: 0, count: 300))
        default: files["d.vhd.hrl.new"] = try Self.header(id: b, previous: a, closed: new == 2)
        }
        let folder = RecordedDirectory(files, records: false)
        let disk = try Self.open(folder)
        #expect((disk.continuityLoss != nil) == (current == 1 || new == 1))
        var expected: Set<String> = ["d.vhd.hrl"]
        if current > 0 { expected.insert(current == 2 ? "d.vhd.\(a).hrl" : "d.vhd.\(a).unclosed.hrl") }
        if new == 1 || new == 2 { expected.insert(new == 2 ? "d.vhd.\(b).hrl" : "d.vhd.\(b).unclosed.hrl") }
        #expect(Set(folder.names()) == expected)
        let previous = try #require(disk.log).header.previousUniqueID
        #expect(previous == (new == 1 || new == 2 ? b : current > 0 ? a : .zero))
    }

    @Test func whatIsNoLogIsKept() throws {
        let folder = RecordedDirectory(["d.vhd.hrl": MemoryFile.Contents([1, 2, 3])], records: false)
        let disk = try Self.open(folder)
        #expect(disk.continuityLoss?.contains("no log that can be read") == true)
        #expect(disk.log?.header.previousUniqueID != .zero)
        #expect(folder.names().count { $0.hasSuffix(".unclosed.hrl") } == 1)
    }

    /// A switch that cannot make one of its logs changes nothing.
    @Test func aSwitchThatCannotBeginChangesNothing() throws {
        let folder = RecordedDirectory(records: false)
        let disks = try ["1.raw", "2.raw"].map { name in
            var parts = TrackedDisk.Parts(MemoryDisk(.zeros(1 << 16)), in: folder, imageName: name)
            parts.now = { time }
            return try TrackedDisk.open(parts)
        }
        let group = try TrackedGroup("vm", disks, records: folder)
        let ids = disks.map { $0.log?.uniqueID }
        _ = try folder.create("2.raw.hrl.new")
        #expect(throws: DiskError.self) { try group.switchLogs(cycle: 1) }
        #expect(disks.map { $0.log?.uniqueID } == ids)
        #expect(!folder.names().contains("1.raw.hrl.new"))
        try folder.remove("2.raw.hrl.new")
        #expect(try group.switchLogs(cycle: 1).record != nil)
        try group.close()
        #expect(throws: DiskError.self) { try group.switchLogs(cycle: 2) }
    }

    @Test func groupsNeedDifferentNames() throws {
        let folder = RecordedDirectory(records: false)
        let disk = try Self.open(folder)
        #expect(throws: DiskError.self) { try TrackedGroup("vm", [disk, disk], records: folder) }
        #expect(throws: DiskError.self) { try TrackedGroup("vm", [], records: folder) }
    }

    @Test func recordsAreJSONWhateverTheNames() throws {
        let name = "a\"b\\c\u{1}\u{7f}ä.vhdx"
        let record = CycleRecord(cycle: .max, time: time, disks: [.init(name: name, ended: "x", next: "y")])
        let parsed = try JSONDecoder().decode(CycleRecord.self, from: Data(record.json.utf8))
        #expect(parsed == record)
    }
}
