import BlockIO
import ByteCodec
import DiskModel
import Foundation
import ImageChain
import Replication
import Replicator
import Testing
import ToolTesting
import VHD
import VHDX

@Suite struct JourneyTests {
    @Test func wholePath() throws {
        let machine = try Machine(Machine.Kind.allCases)
        try machine.protect()
        #expect(try machine.status().primary.state == .readyForInitialReplication)
        #expect(try machine.status().replica?.state == .waitingForInitialReplication)
        #expect(try machine.status().level == .warning)
        try machine.start()
        try machine.expectEqual("after start")
        #expect(try machine.status().primary.state == .replicating)
        #expect(try machine.status().replica?.state == .replicating)
        #expect(try machine.status().level == .normal)
        #expect(machine.files(machine.store) == ["disks", "logs", "replica.json"])
        #expect(machine.files(machine.store + "/disks") == ["disk0.vhdx", "disk1.vhdx", "disk2.vhd", "disk3.vhd"])
        for round in 1...3 {
            try machine.work()
            if round == 3 { try machine.work() }
            try machine.sync()
            try machine.expectEqual("after sync \(round)")
        }
        for disk in try machine.status().disks {
            #expect(disk.replica?.position.applied == disk.primary.position.received)
            #expect(disk.replica?.position.applied != nil)
            #expect(disk.waitingBytes == 0 && disk.storedBytes == 0)
            #expect(disk.primary.digest != nil && disk.primary.digest == disk.replica?.digest)
        }
        #expect(machine.files(machine.scratch.path("vm")).filter { $0.hasSuffix(".hrl") }.isEmpty)
        #expect(machine.files(machine.store + "/logs/disk0").isEmpty)
        #expect(machine.warnings.isEmpty)
        let kept = try machine.open().unprotect()
        #expect(kept == machine.paths.indices.map(machine.replica))
        #expect(machine.files(machine.store) == ["disks"])
        #expect(!FileManager.default.fileExists(atPath: machine.scratch.path("state/web")))
        try machine.expectEqual("after unprotect")
    }

    @Test func replicaIsLikeItsSource() throws {
        let machine = try Machine(Machine.Kind.allCases)
        try machine.protect()
        try machine.start()
        for index in machine.paths.indices {
            let source = try ImageChain.open(machine.paths[index])
            let replica = try ImageChain.open(machine.replica(index))
            #expect(source.geometry == replica.geometry)
            #expect(source.leaf.type == replica.leaf.type)
            if let source = source.leaf as? VHDXLayer, let replica = replica.leaf as? VHDXLayer {
                #expect(source.virtualDiskID == replica.virtualDiskID)
                #expect(source.dataWriteGUID != replica.dataWriteGUID)
            }
            if let source = source.leaf as? VHDLayer, let replica = replica.leaf as? VHDLayer {
                #expect(source.footer.uniqueID == replica.footer.uniqueID)
            }
        }
    }

    /// A differencing disk becomes one flat image; real ones, made by Windows.
    @Test(arguments: ["fat-differential.vhdx", "fat-differential.vhd", "xen-child.vhd"])
    func differencingDisksAreFlattened(file: String) throws {
        guard let folder = try Corpus.unpackedFolder() else { return }
        let machine = try Machine([])
        machine.add(folder + "/" + file)
        try machine.protect(parents: [folder])
        try machine.start()
        #expect(try machine.isEqual(0, parents: [folder]))
        let replica = try ImageChain.open(machine.replica(0))
        #expect(replica.layers.count == 1 && replica.leaf.type == .dynamic)
    }

    /// A pending log of a VHDX is replayed in memory; its source is not changed.
    @Test func dirtySource() throws {
        guard let folder = try Corpus.unpackedFolder() else { return }
        let machine = try Machine([])
        let path = machine.scratch.path("vm/dirty.vhdx")
        try FileManager.default.copyItem(atPath: folder + "/vhdx-log-replay.vhdx", toPath: path)
        machine.add(path)
        let before = try fileBytes(path)
        try machine.protect()
        try machine.start()
        #expect(try fileBytes(path) == before)
        #expect(machine.warnings.contains { $0.contains("replayed in memory") })
        let (source, replica) = (try ImageChain.open(path), try ImageChain.open(machine.replica(0)))
        var stored: [Range<UInt64>] = []
        for disk in [source, replica] {
            try disk.forEachExtent(in: disk.wholeRange) { mapped in
                if case .file = mapped.extent.source { stored.append(mapped.extent.range) }
            }
        }
        var compared: UInt64 = 0
        for range in stored {
            let (offset, count) = (range.lowerBound, Int(range.upperBound - range.lowerBound))
            #expect(try source.bytes(at: offset, count: count) == replica.bytes(at: offset, count: count))
            compared += UInt64(count)
        }
        #expect(compared > 1 << 20)
    }

    @Test func holesAndZerosStayHoles() throws {
        let machine = try Machine([])
        let path = machine.scratch.path("vm/big.vhdx")
        try VHDXCreator.create(
            on: try PosixFile(path, .create), type: .dynamic, virtualByteCount: 64 << 40, blockByteCount: 1 << 20)
        machine.add(path)
        // A page of data in a block of zeros, at both ends of the disk.
        try machine.apply(
            [
                .init(offset: 0, value: 0, count: 1 << 20), .init(offset: 4096, value: 7, count: 4096),
                .init(offset: (64 << 40) - 4096, value: 9, count: 4096),
            ], to: 0)
        try machine.protect()
        let started = Date()
        try machine.start()
        #expect(Date().timeIntervalSince(started) < 20, "64 TiB of holes take long")
        let replica = try ImageChain.open(machine.replica(0))
        #expect(
            try replica.bytes(at: 0, count: 12288) == .init(repeating: 0, count: 4096)
                + .init(repeating: 7, count: 4096) + .init(repeating: 0, count: 4096))
        #expect(try replica.bytes(at: (64 << 40) - 4096, count: 4096) == .init(repeating: 9, count: 4096))
        var status = stat()
        _ = unsafe stat(machine.replica(0), &status)
        #expect(status.st_blocks * 512 < 4 << 20, "the replica takes \(status.st_blocks * 512) bytes")
    }

    @Test func keptLogsAreKnown() throws {
        let machine = try Machine()
        try machine.protect(keepsLogs: true)
        try machine.start()
        for round in 1...3 {
            try machine.work()
            try machine.sync()
            try machine.expectEqual("round \(round)")
        }
        #expect(machine.files(machine.scratch.path("vm")).filter { $0.hasSuffix(".hrl") }.count == 6)
        #expect(try machine.status().disks.allSatisfy { $0.waitingBytes == 0 })
    }

    /// Logs that were there before the copy are in it: neither sent nor removed.
    @Test func logsFromBeforeTheCopyStay() throws {
        let machine = try Machine()
        try machine.work()
        try machine.protect()
        try machine.start()
        try machine.work()
        try machine.sync()
        try machine.sync()
        try machine.expectEqual()
        #expect(machine.files(machine.scratch.path("vm")).filter { $0.hasSuffix(".hrl") }.count == 2)
    }

    @Test func liveLogIsLeftAlone() throws {
        let machine = try Machine([.dynamicVHDX])
        try machine.protect()
        try machine.start()
        try machine.work()
        try machine.log(machine.randomWrites(2), disk: 0, closes: false, fileName: "disk0.vhdx.hrl")
        try machine.sync()
        try machine.expectEqual()
        #expect(machine.files(machine.scratch.path("vm")) == ["disk0.vhdx", "disk0.vhdx.hrl"])
        // A tracker that has only made the file.
        try Data().write(to: URL(fileURLWithPath: machine.scratch.path("vm/disk0.vhdx.hrl")))
        try machine.sync()
        #expect(try machine.status().level == .normal)
    }

    /// `disk.vhdx.1.hrl` is no log of `disk.vhd`.
    @Test func logsOfALongerNameAreAnotherDisks() throws {
        let machine = try Machine([])
        for file in ["d.vhd", "other/x.vhdx"] {
            try FileManager.default.createDirectory(
                atPath: machine.scratch.path("vm/other"), withIntermediateDirectories: true)
            let path = machine.scratch.path("vm/" + file)
            if file.hasSuffix("vhdx") {
                try VHDXCreator.create(
                    on: try PosixFile(path, .create), type: .dynamic, virtualByteCount: 12 << 20,
                    blockByteCount: 1 << 20)
            } else {
                try VHDCreator.create(
                    on: try PosixFile(path, .create), type: .dynamic, virtualByteCount: 12 << 20,
                    uniqueID: .random(), created: .init(rawValue: 1))
            }
            machine.add(path)
        }
        try machine.protect()
        try machine.start()
        _ = try machine.scratch.write("vm/d.vhdx", [1])
        _ = try machine.scratch.write("vm/d.vhdx.1.hrl", [1])
        try machine.sync()
        #expect(try machine.status().level == .normal)
    }

    /// Logs that close while a disk is copied account for what changes: the copy is fuzzy, and right at the end.
    @Test func changesWhileCopyingWithLogs() throws {
        let machine = try Machine()
        try machine.protect()
        var surroundings = machine.surroundings()
        var count = 0
        surroundings.step = { step in
            guard step == "replica flush copy" || step == "primary verifyDisk", count < 6 else { return }
            count += 1
            try machine.work(3)
        }
        try machine.start(surroundings)
        try machine.expectEqual()
        #expect(count > 2)
        #expect(machine.warnings.isEmpty)
        try machine.work()
        try machine.sync()
        try machine.expectEqual()
    }

    @Test func changesWhileCopyingWithoutLogsAreNamed() throws {
        let machine = try Machine()
        try machine.protect()
        var surroundings = machine.surroundings()
        var count = 0
        surroundings.step = { step in
            guard step == "replica close copy", count == 0 else { return }
            count += 1
            try machine.apply(machine.randomWrites(4), to: 0)
        }
        try machine.start(surroundings)
        try machine.expectEqual()
        #expect(machine.warnings.contains { $0.contains("disk0.vhdx") && $0.contains("changed while it was copied") })
    }

    @Test func endlessChangesWithoutLogsAreAnError() throws {
        let machine = try Machine()
        try machine.protect()
        var surroundings = machine.surroundings()
        surroundings.step = { step in
            if step == "replica close copy" { try machine.apply(machine.randomWrites(1), to: 0) }
        }
        let text = message { try machine.start(surroundings) }
        #expect(text.contains("disk0.vhdx: changed while it was copied") && text.contains("3 attempts"))
        #expect(try machine.status().primary.state == .error)
        #expect(try machine.status().problems.first?.code == "copy_mismatch")
        // Once nothing changes it any more, the same command goes on.
        try machine.start()
        try machine.expectEqual()
    }

    @Test func changesAfterTheCopyWithoutLogsStopTheMachine() throws {
        let machine = try Machine()
        try machine.protect()
        var surroundings = machine.surroundings()
        surroundings.step = { step in
            if step == "primary endCycle" { try machine.apply(machine.randomWrites(1), to: 0) }
        }
        let text = message { try machine.start(surroundings) }
        #expect(text.contains("disk0: the disk was changed while nothing tracked it"))
        #expect(try machine.status().primary.state == .waitingForStartResynchronize)
        #expect(try machine.status().replica?.state == .waitingForInitialReplication)
        #expect(message { try machine.start() }.contains("WaitingForStartResynchronize"))
    }

    @Test func changeWithoutALogStopsTheMachine() throws {
        let machine = try Machine()
        try machine.protect()
        try machine.start()
        try machine.work()
        try machine.sync()
        #expect(machine.warnings.isEmpty)
        try machine.apply([.init(offset: 512, value: 0xee, count: 1024)], to: 1)
        let text = message { try machine.sync() }
        #expect(text.contains("disk1: the disk was changed while nothing tracked it"))
        #expect(machine.warnings.contains { $0.contains("disk1.vhd") && $0.contains("differs from byte") })
        #expect(try machine.status().primary.state == .waitingForStartResynchronize)
        #expect(message { try machine.sync() }.contains("WaitingForStartResynchronize"))
    }

    /// Only the contents count: a new date, or a rewrite with the same bytes, is no change.
    @Test func touchedDiskIsNoChange() throws {
        let machine = try Machine()
        try machine.protect()
        try machine.start()
        for path in machine.paths {
            try FileManager.default.setAttributes(
                [.modificationDate: Date(timeIntervalSince1970: 1)], ofItemAtPath: path)
        }
        try machine.sync()
        #expect(machine.warnings.isEmpty)
        #expect(try machine.status().primary.state == .replicating)
    }

    /// A log that was sent before the disk followed: said at every cycle until it does.
    @Test func logAheadOfTheDiskIsSaid() throws {
        let machine = try Machine([.dynamicVHDX])
        try machine.protect()
        try machine.start()
        let writes = [Machine.Write(offset: 8192, value: 0x5a, count: 4096)]
        try machine.log(writes, disk: 0)
        for count in 1...2 {
            try machine.sync()
            #expect(machine.warnings.count == count && machine.warnings[count - 1].contains("not in this disk"))
        }
        try machine.apply(writes, to: 0)
        try machine.sync()
        #expect(machine.warnings.count == 2)
        try machine.expectEqual()
    }

    /// A change that came together with a log is found when asked for.
    @Test func verifyingFindsWhatALogHides() throws {
        let machine = try Machine([.dynamicVHDX])
        try machine.protect()
        try machine.start()
        try machine.work()
        try machine.apply([.init(offset: 0, value: 0x77, count: 512)], to: 0)
        let text = message { try machine.open().sync(verifying: true) }
        #expect(text.contains("disk0: the disk was changed while nothing tracked it"))
    }

    @Test func oneRelationshipADisk() throws {
        let machine = try Machine([.dynamicVHDX])
        try machine.protect()
        var request = machine.request()
        request.name = "second"
        let text = message {
            _ = try Relationship.protect(
                request, try Prerequisites(request), in: machine.state, machine.surroundings())
        }
        #expect(text.contains("is protected already, as a disk of"))
    }

    @Test func missingSourceIsAnError() throws {
        let machine = try Machine([.dynamicVHDX])
        try machine.protect()
        try machine.start()
        try FileManager.default.moveItem(atPath: machine.paths[0], toPath: machine.paths[0] + ".gone")
        #expect(message { try machine.sync() }.contains("No such file"))
        try FileManager.default.moveItem(atPath: machine.paths[0] + ".gone", toPath: machine.paths[0])
        try machine.sync()
    }

    @Test func sizeChangeIsRefused() throws {
        let machine = try Machine([.dynamicVHDX])
        try machine.protect()
        try FileManager.default.removeItem(atPath: machine.paths[0])
        try VHDXCreator.create(
            on: try PosixFile(machine.paths[0], .create), type: .dynamic, virtualByteCount: 20 << 20)
        let text = message { try machine.start() }
        #expect(text.contains("20971520 bytes"))
        #expect(try machine.status().problems.first?.code == "size_changed")
    }
}
