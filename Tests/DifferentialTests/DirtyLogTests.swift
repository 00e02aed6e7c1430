import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Foundation
import ImageChain
import Testing
import ToolTesting

/// Images of a qemu that was killed in the middle of writing: we replay their logs as qemu does.
@Suite struct DirtyLogTests {
    static let tries = 12

    @Test func killedQemu() throws {
        guard let qemu = Qemu.find() else { return }
        let scratch = try Scratch()
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix(seed: seed)
        var dirtyCount = 0
        for number in 0..<Self.tries where dirtyCount < 2 {
            let image = scratch.path("\(number).vhdx")
            try qemu.create(image, .vhdx, "block_size=1M", 60 << 20)
            let made = try fileBytes(image).count
            // Every write takes a new block, and so an entry of the log; the file grows with the first.
            let commands = (0..<60).flatMap { ["-c", "write -q -P \($0 + 1) \($0)M 4k"] }
            let running = try HeldProgram(qemu.io, ["-f", "vhdx"] + commands + [image])
            while running.isRunning, try PosixFile(image).byteCount() == made { usleep(500) }
            usleep(UInt32.random(in: 0..<60_000, using: &random))
            running.kill()
            if try comparesDirty(image, scratch, "try \(number), seed \(seed)", qemu) { dirtyCount += 1 }
            try FileManager.default.removeItem(atPath: image)
        }
        if dirtyCount == 0 { print("SKIPPED: \(Self.tries) killed qemu-io left no dirty log: replay is not compared") }
    }

    private static let noSequence = FormatError.Code("VHDX006")

    /// Killed between marking the log as used and its first entry: nothing is lost, but no reader can tell. We refuse, and
    /// read what qemu reads when told to go on.
    private func checkMarkedOnly(_ image: String, _ scratch: Scratch, _ note: String, _ qemu: Qemu) throws {
        let raw = try rawByQemu(image, scratch, qemu)
        try expectSame(try ImageChain.open(image, OpenOptions(accepted: [Self.noSequence])), as: raw, note)
    }

    /// What qemu reads after repairing a copy.
    private func rawByQemu(_ image: String, _ scratch: Scratch, _ qemu: Qemu) throws -> String {
        let (copy, raw) = (scratch.path("copy.vhdx"), scratch.path("raw"))
        for path in [copy, raw] where FileManager.default.fileExists(atPath: path) {
            try FileManager.default.removeItem(atPath: path)
        }
        try FileManager.default.copyItem(atPath: image, toPath: copy)
        try qemu.run(["check", "-q", "-r", "all", "-f", "vhdx", copy], expecting: [0, 2, 3])
        try qemu.toRaw(copy, .vhdx, raw)
        return raw
    }

    /// Whether the log was dirty; then our reading is what qemu reads after its own repair, of a copy.
    private func comparesDirty(_ image: String, _ scratch: Scratch, _ note: String, _ qemu: Qemu) throws -> Bool {
        let before = try fileBytes(image)
        let chain: ImageChain
        do { chain = try ImageChain.open(image) } catch {
            guard error.formatError?.code == Self.noSequence else { throw error }
            try checkMarkedOnly(image, scratch, note, qemu)
            return false
        }
        guard chain.hasReplayedLog else { return false }
        let raw = try rawByQemu(image, scratch, qemu)
        try expectSame(chain, as: raw, note)
        #expect(try fileBytes(image) == before, "reading changed the file")
        // Opened for writing, the log goes into the file itself, to the same end; qemu finds nothing left to do.
        do {
            let writing = try ImageChain.open(writing: image)
            try expectSame(writing, as: raw, note)
            try writing.close()
        }
        try qemu.check(image, .vhdx)
        try qemu.compare(image, .vhdx, raw: raw)
        return true
    }
}
