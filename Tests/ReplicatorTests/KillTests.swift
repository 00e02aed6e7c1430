import BlockIO
import FaultInjection
import Foundation
import Glibc
import Replication
import Replicator
import Testing
import ToolTesting

/// The work may stop at every step, and is gone on with.
@Suite struct KillTests {
    /// Runs `body` with surroundings that stop before step number `stop`.
    /// - Returns: the steps taken.
    private func run(_ machine: Machine, stopAt stop: Int, _ body: (Surroundings) throws -> Void) throws -> [String] {
        var surroundings = machine.surroundings()
        var steps: [String] = []
        surroundings.step = { step in
            if steps.count == stop { throw Interruption() }
            steps.append(step)
        }
        do { try body(surroundings) } catch is Interruption {}
        return steps
    }

    @Test(arguments: [false, true]) func protectAtEveryStep(sealed: Bool) throws {
        var stop = 0
        while true {
            let machine = try Machine([.dynamicVHD], sealed: sealed)
            let steps = try run(machine, stopAt: stop) { try machine.protect($0) }
            if steps.count < stop { break }
            // Whatever was left is made again; only what was whole already cannot be.
            let text = message { try machine.protect() }
            #expect(text.isEmpty || text.contains("is protected already, and is in state ReadyFor"), "\(text)")
            try machine.start()
            try machine.expectEqual("stopped after \(steps)")
            stop += 1
        }
        #expect(stop > 4)
    }

    @Test(arguments: [false, true]) func startAtEveryStep(sealed: Bool) throws {
        var stop = 0
        while true {
            let machine = try Machine([.dynamicVHDX, .dynamicVHD], sealed: sealed, seed: UInt64(stop))
            try machine.protect()
            let steps = try run(machine, stopAt: stop) { try machine.start($0) }
            if steps.count < stop { break }
            // A second time somewhere later.
            let again = Int.random(in: 0..<30, using: &machine.random)
            let more = try run(machine, stopAt: again) { surroundings in
                if try machine.status().primary.state != .replicating { try machine.start(surroundings) }
            }
            if try machine.status().primary.state != .replicating { try machine.start() }
            try machine.expectEqual("stopped after \(steps), then after \(more)")
            try machine.work()
            try machine.sync()
            try machine.expectEqual("after a sync, stopped after \(steps)")
            #expect(try machine.status().level == .normal)
            #expect(machine.files(machine.store + "/disks").count == 2)
            stop += 1
        }
        #expect(stop > 30)
    }

    /// What is below a mark is not copied again; what was written past it does not show when the source has changed.
    @Test(arguments: [false, true], [false, true]) func goesOnAtTheMark(hasLog: Bool, sealed: Bool) throws {
        let machine = try Machine([.dynamicVHDX], sealed: sealed)
        try machine.apply([.init(offset: 0, value: 1, count: 5 << 20)], to: 0)
        try machine.protect()
        var surroundings = machine.surroundings()
        var flushes = 0
        surroundings.step = { step in
            if step == "replica flush copy" { flushes += 1 }
            // The second chunk is written, and neither flushed nor noted.
            if flushes == 2 { throw Interruption() }
        }
        #expect(throws: Interruption.self) { try machine.start(surroundings) }
        let writes = [Machine.Write(offset: 4 << 20, value: nil, count: 1 << 20)]
        if hasLog { try machine.log(writes, disk: 0) }
        try machine.apply(writes, to: 0)
        let relationship = try machine.open()
        try relationship.start()
        try machine.expectEqual()
        let copied = relationship.performer.tallies[0].copiedBytes
        #expect(hasLog ? copied < 1 << 20 : copied >= 4 << 20, "\(copied) bytes")
        #expect(machine.warnings.contains { $0.contains("changed since its copy was interrupted") } == !hasLog)
    }

    @Test(arguments: [false, true]) func syncAtEveryStep(sealed: Bool) throws {
        var stop = 0
        while true {
            let machine = try Machine([.dynamicVHDX, .dynamicVHD], sealed: sealed, seed: UInt64(stop))
            try machine.protect()
            try machine.start()
            try machine.work()
            try machine.work()
            let steps = try run(machine, stopAt: stop) { try machine.sync($0) }
            if steps.count < stop { break }
            let again = Int.random(in: 0..<20, using: &machine.random)
            let more = try run(machine, stopAt: again) { try machine.sync($0) }
            if stop % 2 == 0 { try machine.work() }
            try machine.sync()
            try machine.expectEqual("stopped after \(steps), then after \(more)")
            #expect(machine.files(machine.scratch.path("vm")).count == 2)
            #expect(machine.files(machine.store + "/logs/disk0").isEmpty)
            #expect(machine.files(machine.store) == ["disks", "logs", "replica.json"])
            #expect(try machine.status().level == .normal)
            stop += 1
        }
        #expect(stop > 15)
    }

    @Test(arguments: [false, true]) func unprotectAtEveryStep(sealed: Bool) throws {
        for started in [false, true] {
            var stop = 0
            while true {
                let machine = try Machine([.dynamicVHD], sealed: sealed)
                try machine.protect()
                if started {
                    try machine.start()
                } else {
                    // In the middle of the first copy.
                    var surroundings = machine.surroundings()
                    surroundings.step = { if $0 == "replica close copy" { throw Interruption() } }
                    #expect(throws: Interruption.self) { try machine.start(surroundings) }
                }
                let steps = try run(machine, stopAt: stop) { _ = try machine.open($0).unprotect() }
                if steps.count < stop { break }
                if FileManager.default.fileExists(atPath: machine.scratch.path("state/web/primary.json")) {
                    _ = try machine.open().unprotect()
                }
                if started {
                    #expect(machine.files(machine.store) == ["disks"])
                    try machine.expectEqual()
                } else {
                    #expect(!FileManager.default.fileExists(atPath: machine.store), "stopped after \(steps)")
                }
                #expect(machine.files(machine.scratch.path("state")).isEmpty)
                stop += 1
            }
            #expect(stop > 3)
        }
    }
}

/// Files at the target fail at every call: a full volume is waited for, a broken one is an error; both are gone on with.
@Suite struct FailureTests {
    final class Budget: @unchecked Sendable {
        var left: Int
        let code: CInt
        var hasFailed = false
        init(_ left: Int, _ code: CInt) { (self.left, self.code) = (left, code) }
        func take() -> Bool {
            left -= 1
            if left < 0 { hasFailed = true }
            return left >= 0
        }
    }

    /// One count of changing calls over all files.
    final class SharedFailure: BlockFile {
        let base: any BlockFile
        let budget: Budget
        init(_ base: any BlockFile, _ budget: Budget) { (self.base, self.budget) = (base, budget) }
        var path: String { base.path }
        private func check(_ call: String) throws(IOError) {
            guard budget.take() else { throw IOError(call, path: path, .errno(budget.code)) }
        }
        func byteCount() throws(IOError) -> UInt64 { try base.byteCount() }
        func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
            try base.read(into: &buffer, at: offset)
        }
        func write(_ bytes: RawSpan, at offset: UInt64) throws(IOError) {
            try check("pwrite")
            try base.write(bytes, at: offset)
        }
        func resize(to byteCount: UInt64) throws(IOError) {
            try check("ftruncate")
            try base.resize(to: byteCount)
        }
        func zero(_ range: Range<UInt64>) throws(IOError) {
            try check("fallocate")
            try base.zero(range)
        }
        func sync() throws(IOError) {
            try check("fdatasync")
            try base.sync()
        }
        func data(from offset: UInt64) throws(IOError) -> Range<UInt64>? { try base.data(from: offset) }
    }

    @Test(arguments: [ENOSPC, EIO], [false, true]) func startAtEveryCall(code: CInt, sealed: Bool) throws {
        var after = 0
        while true {
            let machine = try Machine([.dynamicVHDX, .dynamicVHD], sealed: sealed, seed: 3)
            try machine.protect()
            let budget = Budget(after, code)
            var surroundings = machine.surroundings()
            surroundings.seam = { SharedFailure($0, budget) }
            let text = message { try machine.start(surroundings) }
            guard budget.hasFailed else { break }
            #expect(!text.isEmpty, "call \(after)")
            let status = try machine.status()
            #expect(status.level > .normal)
            #expect(
                status.problems.first?.code == (code == ENOSPC ? "low_disk_space" : "input_output"),
                "call \(after): \(text): \(status.problems)")
            #expect((status.primary.state == .error) == (code == EIO))
            try machine.start()
            try machine.expectEqual("call \(after)")
            after += after < 20 ? 1 : 3
        }
        #expect(after > 40)
    }

    @Test(arguments: [ENOSPC, EIO], [false, true]) func syncAtEveryCall(code: CInt, sealed: Bool) throws {
        var after = 0
        while true {
            let machine = try Machine([.dynamicVHDX, .dynamicVHD], sealed: sealed, seed: 3)
            try machine.protect()
            try machine.start()
            try machine.work()
            let budget = Budget(after, code)
            var surroundings = machine.surroundings()
            surroundings.seam = { SharedFailure($0, budget) }
            let text = message { try machine.sync(surroundings) }
            guard budget.hasFailed else { break }
            // What failed while closing a disk that was applied and flushed is told, too.
            #expect(!text.isEmpty, "call \(after)")
            let status = try machine.status()
            #expect(status.level == .critical || status.problems.first?.retryTime != nil, "call \(after): \(text)")
            try machine.sync()
            try machine.expectEqual("call \(after)")
            #expect(try machine.status().level == .normal)
            after += after < 20 ? 1 : 3
        }
        #expect(after > 20)
    }
}
