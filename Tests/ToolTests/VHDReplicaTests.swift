import Foundation
import Testing
import ToolTesting

/// The built vhdreplica.
@Suite struct VHDReplicaTests {
    private func json(_ result: ProgramResult) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(result.outputBytes)) as? [String: Any])
    }

    @Test func journey() throws {
        let machine = try ReplicaMachine()
        let (one, two) = (machine.path(0), machine.path(1))
        let dry = try machine.run(
            "protect", "web", "--disk", one, "--disk", two, "--to", machine.scratch.path("replica"), "--dry-run")
        #expect(dry.exit == 0 && dry.output.contains("all checks passed") && dry.error.isEmpty)
        #expect(try machine.scratch.names() == machine.disks, "a dry run makes nothing")
        #expect(try machine.run("status").output == "no machine is protected here\n")

        let protected = try machine.protect()
        #expect(protected.exit == 0 && protected.output.contains("web: protected, every 5 min"))
        #expect(try machine.run("status", "web").exit == 3)
        let started = try machine.run("start", "web")
        #expect(started.exit == 0 && started.error.isEmpty)
        #expect(started.output.contains("one: copied 8 MiB") && started.output.contains("web: Replicating, Normal"))
        #expect(try machine.differing() == [])
        let status = try machine.run("status", "web")
        #expect(status.exit == 0 && status.output.hasPrefix("web: Normal\n"))

        try machine.work(writes: 3, byteCount: 8192)
        let synced = try machine.run("sync", "web")
        #expect(synced.exit == 0 && synced.output.contains("one: 1 sent") && synced.output.contains("1 merged"))
        #expect(try machine.differing() == [])
        let idle = try machine.run("sync", "web")
        #expect(idle.output == "one: no new log\ntwo: no new log\nweb: Replicating, Normal\n")
        let all = try machine.run("status")
        #expect(all.exit == 0 && all.output.hasPrefix("web: Normal, Replicating, 2 disks -> "))

        let ended = try machine.run("unprotect", "web")
        #expect(ended.exit == 0 && ended.output.contains("one.vhdx: stays\n"))
        #expect(try machine.differing() == [])
        #expect(try machine.run("status", "web").exit == 2)
    }

    /// One line each, with the tool's name, what, and what to do.
    @Test func errors() throws {
        let machine = try ReplicaMachine()
        func expect(_ exit: Int32, _ text: String, _ result: ProgramResult, line: Int = #line) {
            #expect(result.exit == exit, "line \(line): \(result.error)")
            #expect(result.error.contains(text), "line \(line): \(result.error)")
            #expect(exit == 64 || result.error.hasPrefix("vhdreplica: "), "line \(line): \(result.error)")
            #expect(exit == 64 || result.error.split(separator: "\n").count == 1, "line \(line): \(result.error)")
            #expect(result.output.isEmpty, "line \(line): \(result.output)")
        }
        let to = machine.scratch.path("replica")
        let raw = try machine.scratch.write("raw.img", [UInt8](repeating: 0, count: 1 << 20))
        expect(2, "only VHD and VHDX disks", try machine.run("protect", "w", "--disk", raw, "--to", to))
        expect(2, "No such file", try machine.run("protect", "w", "--disk", raw + "x", "--to", to))
        expect(2, "slash", try machine.run("protect", "a/b", "--disk", machine.path(0), "--to", to))
        expect(2, "is not protected here", try machine.run("start", "web"))
        expect(2, "begins with a dot", try machine.run("sync", "../web"))
        expect(64, "--to", try machine.run("protect", "w", "--disk", machine.path(0)))
        expect(
            64, "interval",
            try machine.run(
                "protect", "w", "--disk", machine.path(0), "--to", to, "--interval", "0s"))
        expect(64, "Error: ", try machine.run("failover", "web"))

        #expect(try machine.protect().exit == 0)
        expect(2, "is protected already", try machine.protect())
        expect(2, "sync is not possible in state ReadyForInitialReplication", try machine.run("sync", "web"))
        #expect(try machine.run("start", "web").exit == 0)
        expect(2, "start is not possible in state Replicating", try machine.run("start", "web"))

        // Locks, of the source's side and of the store.
        for folder in ["state/web", "replica/web"] {
            let number = unsafe open(machine.scratch.path(folder), O_RDONLY)
            #expect(flock(number, LOCK_EX) == 0)
            expect(5, "is in use by another vhdreplica; wait for it to end", try machine.run("sync", "web"))
            #expect(try machine.run("status", "web").exit == 0, "status needs no lock")
            close(number)
        }

        try machine.strayLog()
        let stray = "web: WaitingForStartResynchronize: disk one: one.vhdx.stray.hrl: out of order"
        expect(2, stray, try machine.run("sync", "web"))
        expect(2, stray, try machine.run("sync", "web"))
        let status = try machine.run("status", "web")
        #expect(status.exit == 1 && status.error.isEmpty)
        #expect(status.output.contains("resync_required") && status.output.contains("remedy:"))
        #expect(try machine.run("status").exit == 1)
    }

    @Test func documentsFitTheirSchema() throws {
        let machine = try ReplicaMachine()
        let to = machine.scratch.path("replica")
        let disks = ["--disk", machine.path(0), "--disk", machine.path(1), "--to", to]
        func check(_ exit: Int32, _ arguments: [String]) throws -> [String: Any] {
            let result = try runTool("vhdreplica", machine.arguments(arguments) + ["--json"])
            #expect(result.exit == exit, "\(arguments): \(result.error)")
            let complaints = try schemaComplaints(result.output, schema: "vhdreplica")
            #expect(complaints == nil || complaints == "", "\(arguments): \(complaints ?? "")")
            let document = try json(result)
            #expect(document["exit"] as? Int32 == exit)
            return document
        }
        _ = try check(0, ["status"])
        _ = try check(2, ["status", "web"])
        _ = try check(0, ["protect", "web", "--dry-run"] + disks)
        _ = try check(0, ["protect", "web", "--interval", "30s"] + disks)
        _ = try check(3, ["status", "web"])
        let started = try check(0, ["start", "web"])
        let result = try #require(started["result"] as? [String: Any])
        #expect(result["state"] as? String == "Replicating" && result["health"] as? String == "Normal")
        try machine.work(writes: 2, byteCount: 4096)
        _ = try check(0, ["sync", "web"])
        _ = try check(0, ["status", "web"])
        try machine.strayLog()
        let failed = try check(2, ["sync", "web"])
        #expect((failed["error"] as? [String: Any])?["message"] as? String != nil)
        let status = try check(1, ["status"])
        let relationships = (status["result"] as? [String: Any])?["relationships"] as? [[String: Any]]
        #expect((relationships?.first?["problems"] as? [[String: Any]])?.first?["code"] as? String == "gap")
        _ = try check(2, ["protect", "web"] + disks)
        _ = try check(0, ["unprotect", "web"])
        _ = try check(2, ["unprotect", "web"])
    }

    @Test func helpBeginsWithExamples() throws {
        let root = try runTool("vhdreplica", ["--help"])
        #expect(root.exit == 0)
        for verb in ["protect", "start", "sync", "status", "unprotect"] {
            #expect(root.output.contains("\n  \(verb) "), "\(verb)")
            let help = try runTool("vhdreplica", [verb, "--help"])
            let lines = help.output.split(separator: "\n", omittingEmptySubsequences: false)
            let examples = try #require(lines.firstIndex(of: "EXAMPLES"), "\(verb)")
            #expect(examples <= 3)
            #expect(lines[(examples + 1)...].prefix { $0.hasPrefix("  ") }.count == 3, "\(verb): \(help.output)")
        }
        for verb in ["failover", "resync", "serve", "run", "suspend"] {
            #expect(!root.output.contains("\n  \(verb) "), "\(verb) is not there yet")
        }
    }

    /// `--state`, else the environment.
    @Test func stateFolder() throws {
        let machine = try ReplicaMachine()
        #expect(try machine.protect().exit == 0)
        let found = try runTool(
            "vhdreplica", ["status"], environment: ["VHDREPLICA_STATE": machine.scratch.path("state")])
        #expect(found.exit == 3 && found.output.hasPrefix("web: "))
        let none = try runTool("vhdreplica", ["status"], environment: ["VHDREPLICA_STATE": machine.scratch.path("x")])
        #expect(none.exit == 0)
    }

    @Test func progressGoesToItsDescriptor() throws {
        let machine = try ReplicaMachine()
        #expect(try machine.protect().exit == 0)
        let result = try runProgram(
            "/bin/bash",
            [
                "-c", "\"$0\" start web --state \"$1\" --progress 3 3>\"$2\"", toolPath("vhdreplica"),
                machine.scratch.path("state"), machine.scratch.path("progress"),
            ])
        #expect(result.exit == 0)
        let lines = String(decoding: try fileBytes(machine.scratch.path("progress")), as: UTF8.self).split(
            separator: "\n")
        #expect(lines.count >= 4 && lines.allSatisfy { $0.hasSuffix("/100") } && lines.contains("100/100"))
    }

    /// What is at rest at the target is read by the other tools.
    @Test func storeIsReadable() throws {
        let machine = try ReplicaMachine()
        #expect(try machine.protect().exit == 0)
        #expect(try machine.run("start", "web").exit == 0)
        for index in machine.disks.indices {
            let info = try runTool("vhdinfo", ["--json", machine.replica(index)])
            #expect(info.exit == 0, "\(info.error)")
            if let qemu = Peer.find("qemu-img") {
                let compared = try runProgram(qemu, ["compare", machine.path(index), machine.replica(index)])
                #expect(compared.exit == 0, "\(compared.output)\(compared.error)")
            }
        }
    }
}
