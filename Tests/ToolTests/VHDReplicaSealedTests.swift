import BlockIO
import DiskModel
import Foundation
import ImageChain
import Testing
import ToolTesting

/// The built vhdreplica with a replica that is sealed at the target, and with sealed sources.
@Suite struct VHDReplicaSealedTests {
    private static let marker = [UInt8]("NOBODY MAY READ THIS AT THE TARGET. ".utf8)

    /// A machine, and the identities `key.txt`, which the replica is sealed for, and `other.txt`.
    private struct Sealed {
        let machine: ReplicaMachine
        let recipient: String
        let key: [String]
        let wrongKey: [String]

        init(size: UInt64 = 8 << 20, dataByteCount: Int = 1 << 20) throws {
            machine = try ReplicaMachine(size: size, dataByteCount: dataByteCount)
            try FileManager.default.createDirectory(
                atPath: machine.scratch.path("keys"), withIntermediateDirectories: false)
            for name in ["key.txt", "other.txt"] {
                let made = try runTool("seal-keygen", ["-q", "-o", machine.scratch.path("keys/\(name)")])
                guard made.exit == 0 else { throw ProgramFailure(description: made.error) }
            }
            let told = try runTool("seal-keygen", ["-y", machine.scratch.path("keys/key.txt")])
            recipient = told.output.trimmingCharacters(in: .newlines)
            key = ["-i", machine.scratch.path("keys/key.txt")]
            wrongKey = ["-i", machine.scratch.path("keys/other.txt")]
            for index in machine.disks.indices {
                let chain = try ImageChain.open(writing: machine.path(index))
                let text = VHDReplicaSealedTests.marker.count
                try chain.write(
                    [UInt8]((0..<4096).map { VHDReplicaSealedTests.marker[$0 % text] }), at: 3 << 20)
                try chain.close()
            }
        }

        func run(_ verb: String, _ options: [String] = []) throws -> ProgramResult {
            try runTool("vhdreplica", machine.arguments([verb, "web"] + options))
        }

        func protect(_ options: [String] = [], disks: [String]? = nil) throws -> ProgramResult {
            let paths = disks ?? machine.disks.map { machine.scratch.path($0) }
            return try run(
                "protect",
                paths.flatMap { ["--disk", $0] } + ["--to", machine.scratch.path("replica"), "--seal-to", recipient]
                    + options)
        }

        /// Every file of the store and of the source's records.
        func files() throws -> [String: Data] {
            var files: [String: Data] = [:]
            for folder in ["replica", "state"] {
                let path = machine.scratch.path(folder)
                for name in try FileManager.default.subpathsOfDirectory(atPath: path) {
                    files["\(folder)/\(name)"] = FileManager.default.contents(atPath: "\(path)/\(name)")
                }
            }
            return files
        }

        func expectNoMarker(_ note: String) throws {
            for (name, bytes) in try files() {
                let bytes = [UInt8](bytes)
                #expect(!occurs(VHDReplicaSealedTests.marker, in: bytes), "\(name) \(note)")
                for secret in ["AGE-SECRET-KEY", "age-secret-key"] {
                    #expect(!occurs(Array(secret.utf8), in: bytes), "\(name) \(note)")
                }
            }
        }

        /// Each replica disk, unsealed, shows what the source shows.
        func expectEqual(_ note: String) throws {
            for (index, name) in machine.disks.enumerated() {
                let out = machine.scratch.path("unsealed-\(name)")
                let opened = try runTool("unseal", ["-q", "-f"] + key + ["-o", out, machine.replica(index)])
                #expect(opened.exit == 0, "\(note): \(opened.error)")
                let compared = try runTool("vhdcompare", [machine.path(index), out])
                #expect(compared.exit == 0, "\(note): \(name): \(compared.output)\(compared.error)")
                let sealed = try runTool("vhdcompare", key + [machine.path(index), machine.replica(index)])
                #expect(sealed.exit == 0, "\(note): \(name) as it is: \(sealed.output)\(sealed.error)")
                try FileManager.default.removeItem(atPath: out)
            }
        }
    }

    @Test func journey() throws {
        let sealed = try Sealed()
        let machine = sealed.machine
        let protected = try sealed.protect()
        #expect(protected.exit == 0, "\(protected.error)")
        #expect(protected.output.contains("web: protected, sealed for 1 recipient, every 5 min"))
        let record = try String(contentsOfFile: machine.scratch.path("state/web/primary.json"), encoding: .utf8)
        #expect(record.contains(sealed.recipient))
        // The first copy is written for the recipient, and verified, without the identity.
        let started = try sealed.run("start")
        #expect(started.exit == 0 && started.error.isEmpty, "\(started.error)")
        #expect(started.output.contains("verified, sha256-4M:"))
        try sealed.expectNoMarker("after start")
        try sealed.expectEqual("after start")
        let status = try sealed.run("status")
        #expect(status.exit == 0 && status.output.contains("  sealed for:    \(sealed.recipient)\n"))
        let idle = try sealed.run("sync")
        #expect(idle.exit == 0 && idle.output.contains("one: no new log"), "\(idle.error)")

        try machine.work(writes: 3, byteCount: 8192)
        let before = try sealed.files()
        for (options, words) in [([], "no key was given"), (sealed.wrongKey, "none of the secrets opens it")] {
            let refused = try sealed.run("sync", options)
            #expect(refused.exit == 4 && refused.output.isEmpty, "\(refused.error)")
            #expect(refused.error.contains(words) && refused.error.split(separator: "\n").count == 1)
            #expect(try sealed.files() == before, "\(options)")
        }
        let synced = try sealed.run("sync", sealed.key)
        #expect(synced.exit == 0 && synced.output.contains("one: 1 sent"), "\(synced.error)")
        try sealed.expectNoMarker("after sync")
        try sealed.expectEqual("after sync")
        #expect(try sealed.run("sync", ["--verify"]).exit == 4)
        let verified = try sealed.run("sync", ["--verify"] + sealed.key)
        #expect(verified.exit == 0 && verified.error.isEmpty, "\(verified.error)")
        for result in [try sealed.run("status", ["--json"]), try sealed.run("sync", ["--json"])] {
            let complaints = try schemaComplaints(result.output, schema: "vhdreplica")
            #expect(complaints == nil || complaints == "", "\(complaints ?? "")")
        }
        // No key to end it; the disks stay sealed.
        let ended = try sealed.run("unprotect")
        #expect(ended.exit == 0 && ended.output.contains("one.vhdx: stays\n"))
        try sealed.expectEqual("after unprotect")
    }

    /// Killed at any moment and run again. Without the identity it says so, and the copy stays where it was.
    @Test func killedWhileCopying() throws {
        var generator = SystemRandomNumberGenerator()
        var interrupted = 0
        for round in 0..<4 {
            let sealed = try Sealed(size: (24 << 20) + 512, dataByteCount: 6 << 20)
            try #require(try sealed.protect().exit == 0)
            let process = Process()
            process.executableURL = URL(fileURLWithPath: toolPath("vhdreplica"))
            process.arguments = sealed.machine.arguments(["start", "web", "-q"] + (round % 2 == 0 ? [] : sealed.key))
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            try process.run()
            // Once a disk is being copied.
            let deadline = Date(timeIntervalSinceNow: 20)
            while process.isRunning, Date() < deadline,
                !FileManager.default.fileExists(atPath: sealed.machine.replica(round % 2))
            { usleep(500) }
            usleep(UInt32.random(in: 0...60_000, using: &generator))
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
            try sealed.expectNoMarker("round \(round)")
            let isDone = try sealed.run("status").exit == 0
            if !isDone {
                interrupted += 1
                let before = try sealed.files()
                let refused = try sealed.run("start")
                #expect(refused.exit == 4, "round \(round): \(refused.error)")
                #expect(try sealed.files() == before, "round \(round)")
                let last = try sealed.run("start", sealed.key)
                #expect(last.exit == 0, "round \(round): \(last.error)")
            }
            try sealed.expectEqual("round \(round)")
            #expect(try sealed.run("status").exit == 0)
            let names = try FileManager.default.contentsOfDirectory(
                atPath: sealed.machine.scratch.path("replica/web/disks"))
            #expect(names.sorted() == ["one.vhdx", "two.vhd"])
        }
        #expect(interrupted > 0, "every kill came too late")
    }

    @Test func sealedSource() throws {
        let sealed = try Sealed()
        let machine = sealed.machine
        let source = machine.scratch.path("vm.vhdx")
        let made = try runTool("seal", ["-q", "--image", "-R", sealed.recipient, "-o", source, machine.path(0)])
        try #require(made.exit == 0, "\(made.error)")
        for options in [[], sealed.wrongKey] {
            let refused = try sealed.protect(options, disks: [source])
            #expect(refused.exit == 4, "\(refused.error)")
            #expect(!FileManager.default.fileExists(atPath: machine.scratch.path("replica")))
        }
        #expect(try sealed.protect(sealed.key, disks: [source]).exit == 0)
        #expect(try sealed.run("start").exit == 4)
        let started = try sealed.run("start", sealed.key)
        #expect(started.exit == 0, "\(started.error)")
        let replica = machine.scratch.path("replica/web/disks/vm.vhdx")
        let compared = try runTool("vhdcompare", sealed.key + [machine.path(0), replica])
        #expect(compared.exit == 0, "\(compared.output)\(compared.error)")
        try sealed.expectNoMarker("of a sealed source")
    }

    @Test func wrongRecipients() throws {
        let sealed = try Sealed()
        let to = ["--disk", sealed.machine.path(0), "--to", sealed.machine.scratch.path("replica")]
        for recipient in ["age1wrong", sealed.machine.path(0)] {
            let refused = try sealed.run("protect", to + ["--seal-to", recipient])
            #expect(refused.exit == 4 && refused.output.isEmpty, "\(refused.error)")
            #expect(!FileManager.default.fileExists(atPath: sealed.machine.scratch.path("replica")))
        }
        // A file of recipients.
        let told = try runTool("seal-keygen", ["-y", sealed.machine.scratch.path("keys/other.txt")])
        let list = try sealed.machine.scratch.write(
            "recipients", Array("# two\n\(sealed.recipient)\n\(told.output)".utf8))
        let protected = try sealed.run("protect", to + ["--seal-to", list])
        #expect(protected.exit == 0 && protected.output.contains("sealed for 2 recipients"), "\(protected.error)")
        #expect(try sealed.run("start").exit == 0)
        for key in [sealed.key, sealed.wrongKey] {
            #expect(try runTool("vhdinfo", key + [sealed.machine.replica(0)]).exit == 0)
        }
    }
}
