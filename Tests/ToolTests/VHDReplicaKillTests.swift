import Foundation
import Testing
import ToolTesting

/// `kill -9` at random moments, then the same command again: the replica is like its source every time.
///
/// Eight rounds each; `VHDTOOLS_KILL_ROUNDS=50` makes it fifty. The seeds are printed, but the moments depend on the host.
@Suite(.serialized) struct VHDReplicaKillTests {
    private static let rounds = ProcessInfo.processInfo.environment["VHDTOOLS_KILL_ROUNDS"].flatMap(Int.init) ?? 8

    /// Starts vhdreplica and kills it after a while.
    /// - Returns: whether it was still running.
    private func kill(_ machine: ReplicaMachine, _ verb: String, after seconds: Double) throws -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: toolPath("vhdreplica"))
        process.arguments = machine.arguments([verb, "web", "--quiet"])
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        usleep(UInt32(seconds * 1e6))
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        return process.terminationReason == .uncaughtSignal
    }

    private func report(_ verb: String, _ seed: UInt64, _ landed: [String: Int], _ late: Int) {
        let total = landed.values.reduce(0, +)
        print(
            "kill -9 of \(verb): \(Self.rounds) rounds, seed \(seed), \(total) kills, \(late) came too late; landed in:"
        )
        for (place, count) in landed.sorted(by: { ($1.value, $0.key) < ($0.value, $1.key) }) {
            print("  \(count) × \(place)")
        }
    }

    @Test func start() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededGenerator(seed: seed)
        var landed: [String: Int] = [:]
        var late = 0
        var duration = 1.0
        for round in 0..<Self.rounds {
            let machine = try ReplicaMachine(
                size: (96 << 20) + 512, dataByteCount: 24 << 20, seed: random.next())
            try #require(try machine.protect().exit == 0)
            if round == 0 {
                // How long it takes; then once more from the beginning.
                let whole = try machine.run("start", "web")
                try #require(whole.exit == 0, "\(whole.error)")
                duration = whole.seconds
                try #require(try machine.run("unprotect", "web").exit == 0)
                try FileManager.default.removeItem(atPath: machine.scratch.path("replica"))
                try #require(try machine.protect().exit == 0)
            }
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let wasRunning = try kill(
                    machine, "start", after: Double.random(in: 0...duration, using: &random))
                if wasRunning { landed[try machine.place(), default: 0] += 1 } else { late += 1 }
                let status = try machine.run("status", "web")
                #expect([0, 3].contains(status.exit), "\(status.output)\(status.error)")
                if status.exit == 0 { break }
            }
            let last = try machine.run("start", "web")
            let isDone = last.error.contains("start is not possible in state Replicating")
            #expect(last.exit == 0 || isDone, "seed \(seed) round \(round): \(last.error)")
            #expect(try machine.differing() == [], "seed \(seed) round \(round)")
            #expect(try machine.run("status", "web").exit == 0)
        }
        report("start", seed, landed, late)
    }

    @Test func sync() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededGenerator(seed: seed)
        var landed: [String: Int] = [:]
        var late = 0
        let machine = try ReplicaMachine(size: (96 << 20) + 512, dataByteCount: 8 << 20, seed: random.next())
        try #require(try machine.protect().exit == 0)
        try #require(try machine.run("start", "web").exit == 0)
        try machine.work(writes: 40, byteCount: 256 << 10)
        let whole = try machine.run("sync", "web")
        try #require(whole.exit == 0, "\(whole.error)")
        // One chain of logs through all rounds: a mistake in one shows in every later one.
        for round in 0..<Self.rounds {
            for _ in 0..<Int.random(in: 1...2, using: &random) {
                try machine.work(writes: Int.random(in: 1...40, using: &random), byteCount: 256 << 10)
            }
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let wasRunning = try kill(
                    machine, "sync", after: Double.random(in: 0...whole.seconds, using: &random))
                if wasRunning { landed[try machine.place(), default: 0] += 1 } else { late += 1 }
            }
            let last = try machine.run("sync", "web")
            #expect(last.exit == 0, "seed \(seed) round \(round): \(last.error)")
            #expect(try machine.differing() == [], "seed \(seed) round \(round)")
            #expect(try machine.scratch.names() == ["one.vhdx", "replica", "state", "two.vhd"])
        }
        #expect(try machine.run("status", "web").exit == 0)
        report("sync", seed, landed, late)
    }
}
