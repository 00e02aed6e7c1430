import BlockIO
import ByteCodec
import DiskModel
import Foundation
import Replication
import Replicator
import Testing
import ToolTesting
import VHDX

@Suite struct PrerequisiteTests {
    private func refusal(_ machine: Machine, _ change: (inout ProtectionRequest) -> Void) -> String {
        var request = machine.request()
        change(&request)
        let text = message { _ = try Prerequisites(request) }
        #expect(machine.files(machine.scratch.folder) == ["vm"], "something was made")
        return text
    }

    @Test func refusals() throws {
        let machine = try Machine()
        let raw = try machine.scratch.write("vm/raw.img", [UInt8](repeating: 0, count: 4096))
        #expect(refusal(machine) { $0.imagePaths.append(raw) }.contains("only VHD and VHDX disks are replicated"))
        #expect(refusal(machine) { $0.imagePaths.append(machine.paths[0]) }.contains("is the same disk as"))
        try FileManager.default.createDirectory(atPath: machine.scratch.path("vm/2"), withIntermediateDirectories: true)
        let twin = machine.scratch.path("vm/2/disk0.vhdx")
        try FileManager.default.copyItem(atPath: machine.paths[0], toPath: twin)
        #expect(refusal(machine) { $0.imagePaths.append(twin) }.contains("the disk's name disk0 is that of"))
        #expect(refusal(machine) { $0.imagePaths = [] }.contains("--disk"))
        #expect(refusal(machine) { $0.imagePaths = [machine.scratch.path("none.vhdx")] }.contains("No such file"))
        #expect(refusal(machine) { $0.interval = 0 }.contains("at least 1 second"))
        for name in ["", ".", "..", "a/b", "a\\b", ".x", "-x", "a\n", "x ", String(repeating: "x", count: 300)] {
            #expect(refusal(machine) { $0.name = name }.contains("the machine's name"), "\(name)")
        }
        #expect(refusal(machine) { $0.target = machine.paths[0] }.contains("is not a folder"))
    }

    @Test func brokenChain() throws {
        guard let folder = try Corpus.unpackedFolder() else { return }
        let machine = try Machine([])
        let path = machine.scratch.path("vm/child.vhdx")
        try FileManager.default.copyItem(atPath: folder + "/fat-differential.vhdx", toPath: path)
        machine.add(path)
        #expect(message { try machine.protect() }.contains("its parent"))
        #expect(machine.files(machine.scratch.folder) == ["vm"])
    }

    @Test func storeOfAnother() throws {
        let machine = try Machine()
        try machine.protect()
        #expect(message { try machine.protect() }.contains("is protected already"))
        #expect(message { _ = try Prerequisites(machine.request()) }.contains("another relationship's replica"))
        let other = try Machine()
        let request = ProtectionRequest(name: "web", imagePaths: other.paths, target: machine.target)
        #expect(message { _ = try Prerequisites(request) }.contains("another relationship's replica"))
        // Lost records at the source: the replica can be removed by itself.
        try FileManager.default.removeItem(atPath: machine.scratch.path("state"))
        let kept = try Relationship.removeReplica("web", of: machine.target, in: machine.state, machine.surroundings())
        #expect(kept.isEmpty && machine.files(machine.target).isEmpty)
        try machine.protect()
        try machine.start()
        try machine.expectEqual()
    }

    @Test func foreignStoreIsNotTouched() throws {
        let (machine, other) = (try Machine(), try Machine())
        try machine.protect()
        try machine.start()
        try other.protect()
        try FileManager.default.removeItem(atPath: other.store)
        try FileManager.default.copyItem(atPath: machine.store, toPath: other.store)
        let before = try fileBytes(other.store + "/replica.json")
        #expect(message { try other.start() }.contains("another relationship's replica"))
        #expect(message { _ = try other.open().unprotect() }.contains("another relationship's replica"))
        #expect(try fileBytes(other.store + "/replica.json") == before)
    }

    /// A whole disk that was left by an earlier relationship is never written over.
    @Test func earlierDisksAreNotOverwritten() throws {
        let machine = try Machine()
        try machine.protect()
        try machine.start()
        _ = try machine.open().unprotect()
        let text = message { try machine.protect() }
        #expect(text.contains("disk0.vhdx: a disk of that name is there already"))
        try FileManager.default.removeItem(atPath: machine.store)
        try machine.protect()
        try machine.start()
        try machine.expectEqual()
    }

    @Test func lostStoreIsSaidWhenUnprotecting() throws {
        let machine = try Machine()
        try machine.protect()
        try FileManager.default.removeItem(atPath: machine.target)
        #expect(try machine.open().unprotect().isEmpty)
        #expect(machine.warnings.count == 1 && machine.warnings[0].contains("there is no replica here"))
        #expect(machine.files(machine.scratch.path("state")).isEmpty)
    }

    @Test func damagedRecords() throws {
        let machine = try Machine()
        try machine.protect()
        for (path, isSource) in [
            (machine.scratch.path("state/web/primary.json"), true), (machine.store + "/replica.json", false),
        ] {
            let whole = try fileBytes(path)
            for count in [0, 10, whole.count / 2, whole.count - 3] {
                try Data(whole[..<count]).write(to: URL(fileURLWithPath: path))
                let text = message { try machine.start() }
                #expect(text.contains("damaged"), "\(text)")
                if isSource {
                    #expect(message { _ = try machine.status() }.contains("damaged"))
                } else {
                    #expect(try machine.status().problems.contains { $0.code == "unreachable" })
                }
            }
            try Data(whole).write(to: URL(fileURLWithPath: path))
        }
        try machine.start()
        try machine.expectEqual()
    }

    @Test func oneAtATime() throws {
        let machine = try Machine()
        try machine.protect()
        let first = try machine.open()
        #expect(message { _ = try machine.open() }.contains("in use by another vhdreplica"))
        _ = first.state
        withExtendedLifetime(first) {}
    }

    @Test func lostCopyIsMadeAgain() throws {
        let machine = try Machine()
        try machine.protect()
        var surroundings = machine.surroundings()
        surroundings.step = {
            if $0 == "replica create disk", machine.files(machine.store + "/disks").count > 1 { throw Interruption() }
        }
        #expect(throws: Interruption.self) { try machine.start(surroundings) }
        try FileManager.default.removeItem(atPath: machine.replica(0))
        try machine.start()
        try machine.expectEqual()
        try FileManager.default.removeItem(atPath: machine.replica(1))
        #expect(message { try machine.sync() }.contains("disk1.vhd: the replica's disk is gone"))
        #expect(try machine.status().problems.map(\.code) == ["disk_missing"])
        #expect(try machine.status().level == .critical)
    }

    @Test func names() {
        #expect(SafeName.ofDisk(fileName: "a.vhdx") == "a")
        #expect(SafeName.ofDisk(fileName: "a_1.AVHDX") == "a_1")
        #expect(SafeName.ofDisk(fileName: "a.b.vhd") == "a.b")
        #expect(SafeName.ofDisk(fileName: "a.img") == "a.img")
        #expect(SafeName.ofDisk(fileName: ".vhd") == ".vhd")
    }
}
