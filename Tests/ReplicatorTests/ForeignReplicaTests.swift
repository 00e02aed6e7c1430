import BlockIO
import DiskModel
import Foundation
import Glibc
import ImageChain
import Replication
import Replicator
import Testing
import ToolTesting

/// Somebody else did something to a replica's disk.
@Suite struct ForeignReplicaTests {
    private func changeReplica(_ machine: Machine) throws {
        let chain = try ImageChain.open(writing: machine.replica(0))
        try chain.write([UInt8](repeating: 0x99, count: 512), at: (5 << 20) + 4096)
        try chain.close()
    }

    /// Somebody wrote to the replica: found at the next cycle, and nothing goes on.
    @Test func changedReplicaStopsTheMachine() throws {
        let machine = try Machine([.dynamicVHDX])
        try machine.protect()
        try machine.start()
        try changeReplica(machine)
        try machine.work()
        #expect(message { try machine.sync() }.contains("WaitingForStartResynchronize"))
        #expect(machine.warnings.contains { $0.contains("was changed since the last cycle") })
        #expect(try machine.status().primary.state == .waitingForStartResynchronize)
    }

    /// While a tracker's log is open nothing can be compared; the doubt stays until it can.
    @Test func changedReplicaIsNotForgotten() throws {
        let machine = try Machine([.dynamicVHDX])
        try machine.protect()
        try machine.start()
        try changeReplica(machine)
        let open = try machine.log([], disk: 0, closes: false, fileName: "disk0.vhdx.hrl")
        for count in 1...2 {
            try machine.sync()
            #expect(machine.warnings.count == count && machine.warnings[count - 1].contains("cannot be compared"))
        }
        try FileManager.default.removeItem(atPath: open)
        #expect(message { try machine.sync() }.contains("WaitingForStartResynchronize"))
    }

    /// Equal bytes are no reason to stop, or to doubt.
    @Test func equalReplicaIsTaken() throws {
        let machine = try Machine([.dynamicVHDX])
        try machine.protect()
        try machine.start()
        let replica = machine.replica(0)
        try FileManager.default.moveItem(atPath: replica, toPath: replica + ".old")
        try FileManager.default.copyItem(atPath: replica + ".old", toPath: replica)
        var surroundings = machine.surroundings()
        var doubts: [String] = []
        surroundings.watcher.doubt = { doubts.append("\($0): \($1)") }
        try machine.sync(surroundings)
        #expect(machine.warnings.count == 1 && machine.warnings[0].hasSuffix(": it is compared") && doubts.isEmpty)
        #expect(try machine.status().level == .normal)
        machine.warnings = []
        try machine.sync()
        #expect(machine.warnings.isEmpty)
    }

    /// What a comparison cannot read is told by status until it can.
    @Test(arguments: [Machine.Kind.dynamicVHDX, .dynamicVHD]) func damagedReplicaIsCritical(kind: Machine.Kind) throws {
        let machine = try Machine([kind])
        try machine.protect()
        try machine.start()
        let whole = try #require(FileManager.default.contents(atPath: machine.replica(0)))
        #expect(unsafe truncate(machine.replica(0), 1 << 20) == 0)
        for _ in 0..<2 {
            let text = message { try machine.sync() }
            #expect(text.contains(machine.replica(0)), "\(text)")
            let status = try machine.status()
            #expect(status.level == .critical && status.primary.state == .error)
            #expect(status.problems.first?.code == "invalid_replica_state" && status.problems.first?.disk == "disk0")
            #expect(try #require(status.problems.first).remedy.contains("vhdreplica sync \(machine.name)"))
        }
        try whole.write(to: URL(fileURLWithPath: machine.replica(0)))
        machine.warnings = []
        try machine.sync()
        #expect(machine.warnings.contains { $0.contains("was changed since the last cycle: it is compared") })
        #expect(try machine.status().level == .normal)
        try machine.expectEqual()
    }

    /// A difference that was found stays found when another disk cannot be looked at.
    @Test func differenceOutlastsAnotherDisksFailure() throws {
        let machine = try Machine([.dynamicVHDX, .dynamicVHD])
        try machine.protect()
        try machine.start()
        try changeReplica(machine)
        try FileManager.default.moveItem(atPath: machine.paths[1], toPath: machine.paths[1] + ".gone")
        #expect(message { try machine.sync() }.contains("No such file"))
        try FileManager.default.moveItem(atPath: machine.paths[1] + ".gone", toPath: machine.paths[1])
        for _ in 0..<2 { #expect(message { try machine.sync() }.contains("WaitingForStartResynchronize")) }
        #expect(try machine.status().level == .critical)
    }

    /// The comparison that ends an initial replication with logs is made up for, and means the same then.
    @Test func firstComparisonIsMadeUpFor() throws {
        let machine = try Machine([.dynamicVHDX])
        try machine.protect()
        var surroundings = machine.surroundings()
        var (hasChanged, isFinalizing) = (false, false)
        surroundings.step = { step in
            if step == "replica flush copy", !hasChanged {
                hasChanged = true
                try machine.work(3)
            } else if step == "primary verifyDisk" {
                // This one escapes the logs.
                try machine.apply([.init(offset: 512, value: 0xee, count: 1024)], to: 0)
            } else if step == "primary begin finalize" {
                isFinalizing = true
            } else if isFinalizing, step == "primary save" {
                isFinalizing = false
                try FileManager.default.moveItem(atPath: machine.paths[0], toPath: machine.paths[0] + ".gone")
            }
        }
        #expect(message { try machine.start(surroundings) }.contains("No such file"))
        #expect(try machine.status().level == .critical)
        try FileManager.default.moveItem(atPath: machine.paths[0] + ".gone", toPath: machine.paths[0])
        #expect(message { try machine.sync() }.contains("WaitingForStartResynchronize"))
    }

    /// What a link leads to is somebody else's file.
    @Test func linkIsNotFollowed() throws {
        let machine = try Machine([.dynamicVHDX])
        try machine.protect()
        try machine.start()
        let replica = machine.replica(0)
        let other = machine.scratch.path("other.vhdx")
        try FileManager.default.moveItem(atPath: replica, toPath: other)
        try FileManager.default.createSymbolicLink(atPath: replica, withDestinationPath: other)
        let before = FileManager.default.contents(atPath: other)
        try machine.work()
        #expect(message { try machine.sync() }.contains("a symbolic link stands in the place of the replica's file"))
        #expect(FileManager.default.contents(atPath: other) == before)
        let status = try machine.status()
        #expect(status.level == .critical && status.problems.contains { $0.code == "disk_missing" })
        try FileManager.default.removeItem(atPath: replica)
        try FileManager.default.moveItem(atPath: other, toPath: replica)
        try machine.sync()
        try machine.expectEqual()
    }
}
