import BlockIO
import ByteCodec
import DiskModel
import Foundation
import HRL
import Replication
import Replicator
import Testing
import ToolTesting

/// A log at fault stops the machine: nothing of the cycle reaches the replica, of any disk.
@Suite struct LogFaultTests {
    struct Fault: Sendable, CustomStringConvertible {
        var description: String
        /// What the error says besides machine and disk.
        var says: String
        var make: @Sendable (Machine) throws -> Void
    }

    static let write = Machine.Write(offset: 4096, value: 5, count: 8192)

    /// Changes a byte of the first entry.
    static func damage(_ path: String) throws {
        var offset: UInt64?
        try LogReader(PosixFile(path)).forEachWrite(verifyingData: false) { offset = offset ?? $0.entryOffset }
        let file = try PosixFile(path, .write)
        let place = try #require(offset) + 12
        try file.write([try file.bytes(at: place, count: 1)[0] ^ 0x10], at: place)
    }

    static let faults: [Fault] = [
        Fault(description: "gap", says: "disk0.vhdx.3.hrl: out of order: log") { machine in
            try machine.log([write], disk: 0, previous: .random())
        },
        Fault(description: "restart", says: "out of order: starts a new chain") { machine in
            try machine.log([write], disk: 0, previous: .zero)
        },
        Fault(description: "fork", says: "out of order: several logs follow log") { machine in
            let last = machine.lastLogs[0]
            try machine.log([write], disk: 0, previous: last)
            try machine.log([write], disk: 0, previous: last)
        },
        Fault(description: "duplicate", says: "out of order: several logs have UniqueId") { machine in
            let id = GUID.random()
            try machine.log([write], disk: 0, id: id)
            try machine.log([write], disk: 0, id: id)
        },
        Fault(description: "cycle", says: "out of order: logs follow each other in a circle") { machine in
            let (a, b) = (GUID.random(), GUID.random())
            try machine.log([write], disk: 0, previous: a, id: b)
            try machine.log([write], disk: 0, previous: b, id: a)
        },
        Fault(description: "unclosed", says: "disk0.vhdx.3.hrl: not closed") { machine in
            try machine.log([write], disk: 0, closes: false)
        },
        Fault(description: "beyond the disk", says: "beyond the disk: writes up to byte 5267968 of 5263872") {
            machine in
            try machine.log([Machine.Write(offset: Machine.byteCount, value: 5, count: 4096)], disk: 0)
        },
        Fault(description: "entry", says: "disk0.vhdx.3.hrl: damaged: HRL015") { machine in
            try damage(try machine.log([write], disk: 0))
        },
        Fault(description: "header checksum", says: "damaged: HRL003") { machine in
            let path = try machine.log([write], disk: 0)
            try PosixFile(path, .write).write([0x77], at: 12)
        },
        Fault(description: "no log at all", says: "damaged: HRL") { machine in
            _ = try machine.scratch.write("vm/disk0.vhdx.9.hrl", [UInt8](repeating: 1, count: 9000))
        },
        Fault(description: "empty", says: "damaged: HRL040") { machine in
            _ = try machine.scratch.write("vm/disk0.vhdx.9.hrl", [])
        },
        Fault(description: "version 1", says: "damaged: HRL002") { machine in
            let path = try machine.log([write], disk: 0)
            let file = try PosixFile(path, .write)
            var bytes = try file.bytes(at: 0, count: 4096)
            bytes.replaceSubrange(8..<12, with: [0, 0, 1, 0])
            bytes.replaceSubrange(40..<44, with: [0, 0, 0, 0])
            var raw = bytes.mutableRawBytes
            raw.store(complementedByteSum(raw.bytes, skippingField: 40), at: 40, .little)
            try file.write(bytes, at: 0)
        },
        Fault(description: "fault on the second disk", says: "disk disk1: disk1.vhd.4.hrl: not closed") { machine in
            try machine.log([write], disk: 0)
            try machine.log([write], disk: 1, closes: false)
        },
        Fault(description: "good log before the fault", says: "disk0.vhdx.4.hrl: not closed") { machine in
            try machine.log([write], disk: 0)
            try machine.log([write], disk: 0, closes: false)
        },
    ]

    @Test(arguments: faults) func stops(fault: Fault) throws {
        let machine = try Machine()
        try machine.protect()
        try machine.start()
        try machine.work()
        try machine.sync()
        let before = try machine.paths.indices.map { try fileBytes(machine.replica($0)) }
        try fault.make(machine)
        let logs = machine.files(machine.scratch.path("vm"))
        let text = message { try machine.sync() }
        #expect(text.hasPrefix("web: WaitingForStartResynchronize: disk disk"), "\(text)")
        #expect(text.contains(fault.says), "\(text)")
        #expect(text.contains("; resynchronise: "), "\(text)")
        #expect(try machine.paths.indices.map { try fileBytes(machine.replica($0)) } == before)
        #expect(machine.files(machine.scratch.path("vm")) == logs)
        #expect(machine.files(machine.store + "/logs/disk0").isEmpty)
        #expect(machine.files(machine.store + "/logs/disk1").isEmpty)
        let status = try machine.status()
        #expect(status.primary.state == .waitingForStartResynchronize)
        #expect(status.replica?.state == .waitingForStartResynchronize)
        #expect(status.level == .critical)
        #expect(status.problems.count == 1 && status.problems[0].remedy.hasPrefix("resynchronise: "))
        // It stays so, and says so.
        #expect(message { try machine.sync() } == text)
        #expect(message { try machine.start() } == text)
        _ = try machine.open().unprotect()
    }

    /// Damage that appears only in the store, as a bad medium would make it.
    @Test func damageInTheStoreIsFoundBeforeApplying() throws {
        let machine = try Machine()
        try machine.protect()
        try machine.start()
        let before = try fileBytes(machine.replica(0))
        try machine.work()
        var surroundings = machine.surroundings()
        surroundings.step = { step in
            guard step == "replica applyLogs" else { return }
            let folder = machine.store + "/logs/disk0"
            for name in machine.files(folder) { try Self.damage("\(folder)/\(name)") }
        }
        let text = message { try machine.sync(surroundings) }
        #expect(text.contains("damaged: HRL015"), "\(text)")
        #expect(try fileBytes(machine.replica(0)) == before)
        #expect(try machine.status().primary.state == .waitingForStartResynchronize)
        #expect(try machine.status().replica?.state == .waitingForStartResynchronize)
    }

    @Test func badLogsFromBeforeTheCopyAreSetAside() throws {
        let machine = try Machine([.dynamicVHDX])
        try machine.protect()
        _ = try machine.scratch.write("vm/disk0.vhdx.old.hrl", [UInt8](repeating: 1, count: 9000))
        try machine.start()
        #expect(machine.files(machine.scratch.path("vm")) == ["disk0.vhdx", "disk0.vhdx.old.hrl.aside"])
        #expect(machine.warnings.contains { $0.contains("disk0.vhdx.old.hrl: not part of the chain: renamed") })
        try machine.work()
        try machine.sync()
        try machine.expectEqual()
    }
}
