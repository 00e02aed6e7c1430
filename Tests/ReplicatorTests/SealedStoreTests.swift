import BlockIO
import Cipher
import DiskModel
import Foundation
import HRL
import Replication
import Replicator
import SealedFile
import Testing
import ToolTesting

/// A replica that is sealed at the target.
@Suite struct SealedStoreTests {
    /// Every file below a folder, by its path.
    private func tree(_ folder: String) throws -> [String: Data] {
        var files: [String: Data] = [:]
        for name in try FileManager.default.subpathsOfDirectory(atPath: folder) {
            files[name] = FileManager.default.contents(atPath: "\(folder)/\(name)")
        }
        return files
    }

    /// Neither bytes of disks and logs nor signs of their formats, and no digest.
    private func expectNothingReadable(_ machine: Machine, _ marker: [UInt8], _ note: String) throws {
        let files = try tree(machine.store).filter { $0.key != "replica.json" }
        #expect(!files.isEmpty)
        let signs = [
            marker, Array("vhdxfile".utf8), Array("conectix".utf8), Array("cxsparse".utf8),
            Array(LogHeader.signature), Array("VTCOPY1".utf8),
        ]
        for (name, bytes) in files {
            guard !bytes.isEmpty else { continue }
            #expect(bytes.prefix(8) == Data([0x89, 0x53, 0x45, 0x41, 0x4c, 0x0d, 0x0a, 0x1a]), "\(name) \(note)")
            let all = [UInt8](bytes)
            for sign in signs { #expect(!occurs(sign, in: all), "\(sign) in \(name) \(note)") }
        }
        for path in [machine.store + "/replica.json", machine.scratch.path("state/web/primary.json")] {
            let text = try String(contentsOfFile: path, encoding: .utf8)
            #expect(!text.contains("sha256") && !text.uppercased().contains("AGE-SECRET-KEY"), "\(path) \(note)")
        }
    }

    private func stop(before name: String, _ machine: Machine, _ body: (Surroundings) throws -> Void) {
        var surroundings = machine.surroundings()
        surroundings.step = { if $0 == name { throw Interruption() } }
        #expect(throws: Interruption.self) { try body(surroundings) }
    }

    /// At rest, in the middle of a copy, and with logs stored.
    @Test(arguments: Machine.Kind.allCases) func nothingIsReadable(kind: Machine.Kind) throws {
        let machine = try Machine([kind], sealed: true)
        let marker = [UInt8]("PLAINTEXT MARKER".utf8)
        let write = Machine.Write(offset: 8192, value: marker[0], count: 512)
        try machine.apply([write], to: 0)
        let run = [UInt8](repeating: marker[0], count: 16)
        try machine.protect()
        stop(before: "replica close copy", machine) { try machine.start($0) }
        #expect(machine.files(machine.store + "/disks").count == 2)
        try expectNothingReadable(machine, run, "while copying")
        try machine.start()
        try expectNothingReadable(machine, run, "after the copy")
        #expect(try machine.open().performer.state.name == .replicating)
        try machine.log([write, .init(offset: 1 << 20, value: nil, count: 2 << 20)], disk: 0)
        try machine.apply([write, .init(offset: 1 << 20, value: nil, count: 2 << 20)], to: 0)
        stop(before: "replica begin applyLogs", machine) { try machine.sync($0) }
        #expect(machine.files(machine.store + "/logs/disk0").count == 1)
        try expectNothingReadable(machine, run, "with a log stored")
        try machine.sync()
        try machine.expectEqual()
    }

    /// The stored log is the one that was sent, holes included.
    @Test func storedLogIsTheLog() throws {
        let machine = try Machine([.dynamicVHDX], sealed: true)
        try machine.protect()
        try machine.start()
        // Zeros of 4 MiB are a hole of the log.
        let writes = [
            Machine.Write(offset: 0, value: nil, count: 4 << 20), .init(offset: 4 << 20, value: 7, count: 512),
        ]
        let path = try machine.log(writes, disk: 0)
        try machine.apply(writes, to: 0)
        let sent = try fileBytes(path)
        stop(before: "replica begin applyLogs", machine) { try machine.sync($0) }
        let name = try #require(machine.files(machine.store + "/logs/disk0").first)
        let stored = try machine.replicaFiles.open(machine.store + "/logs/disk0/" + name)
        #expect(stored.isSealed)
        let bytes = try stored.contents.bytes(at: 0, count: Int(stored.contents.byteCount()))
        #expect(bytes == sent)
        var status = stat()
        _ = unsafe stat(machine.store + "/logs/disk0/" + name, &status)
        #expect(Int(status.st_blocks) * 512 < 1 << 20, "the hole was filled")
    }

    /// A first copy needs nobody's identity, nor does a cycle without logs. What needs one says so before anything is touched.
    @Test func keysAreAskedForWhenNeeded() throws {
        let machine = try Machine(sealed: true)
        machine.hasKey = false
        try machine.protect()
        try machine.start()
        try machine.sync()
        try machine.expectEqual("copied without a key")
        try machine.work()
        func expectUntouched(_ note: String, _ body: () throws -> Void) throws {
            let (store, state) = (try tree(machine.store), try tree(machine.scratch.path("state")))
            #expect(message(body).contains("is sealed, and no key was given"), "\(note)")
            #expect(try tree(machine.store) == store, "\(note)")
            #expect(try tree(machine.scratch.path("state")) == state, "\(note)")
        }
        try expectUntouched("logs to merge") { try machine.sync() }
        machine.hasKey = true
        try machine.sync()
        try machine.expectEqual()
        machine.hasKey = false
        try machine.sync()
        try expectUntouched("to be compared") { try machine.open().sync(verifying: true) }
        try machine.apply([.init(offset: 0, value: 9, count: 512)], to: 1)
        try expectUntouched("a source was changed") { try machine.sync() }
        #expect(try machine.status().primary.state == .replicating)
    }

    @Test func interruptedCopyNeedsTheKey() throws {
        let machine = try Machine([.dynamicVHDX], sealed: true)
        machine.hasKey = false
        try machine.protect()
        stop(before: "replica close copy", machine) { try machine.start($0) }
        let before = try tree(machine.store)
        #expect(message { try machine.start() }.contains("is sealed, and no key was given"))
        #expect(try tree(machine.store) == before)
        machine.hasKey = true
        let relationship = try machine.open()
        try relationship.start()
        try machine.expectEqual()
        #expect(relationship.performer.tallies[0].copiedBytes == 0, "all of it was there")
    }

    /// A file of plain bytes in a sealed file's place is not written to; nor is what the store says believed about sealing.
    @Test func plainFilesAreRefused() throws {
        let machine = try Machine([.dynamicVHDX], sealed: true)
        try machine.protect()
        try machine.start()
        try FileManager.default.removeItem(atPath: machine.replica(0))
        try FileManager.default.copyItem(atPath: machine.paths[0], toPath: machine.replica(0))
        let before = try fileBytes(machine.replica(0))
        try machine.work()
        #expect(message { try machine.sync() }.contains("is not sealed, as all files of this replica are"))
        #expect(try fileBytes(machine.replica(0)) == before)
        #expect(try machine.status().level == .critical)
    }

    /// Nor is one that somebody else sealed for the same recipient, who could read what is merged into it.
    @Test func anotherContainerIsRefused() throws {
        let machine = try Machine([.dynamicVHDX], sealed: true)
        try machine.protect()
        try machine.start()
        let path = machine.replica(0)
        let contents = try machine.replicaFiles.open(path).contents
        let bytes = try contents.bytes(at: 0, count: Int(contents.byteCount()))
        try FileManager.default.removeItem(atPath: path)
        do {
            let identity = try #require(machine.identity)
            let other = try SealedImage.create(
                on: try PosixFile(path, .create), for: [.recipient(identity.recipient)], creationTime: 0)
            try other.write(bytes, at: 0)
            try other.close()
        }
        let before = try fileBytes(path)
        #expect(try machine.isEqual(0), "it opens, and holds the same")
        try machine.work()
        #expect(message { try machine.sync() }.contains("is another sealed file than the one that was made here"))
        #expect(try machine.status().level == .critical)
        #expect(message { try machine.open().sync(verifying: true) }.contains("is another sealed file"))
        #expect(try fileBytes(path) == before)
    }

    /// A stored log that was changed is not merged, and stops the machine.
    @Test func changedLogStops() throws {
        let machine = try Machine([.dynamicVHDX], sealed: true)
        try machine.protect()
        try machine.start()
        try machine.work()
        stop(before: "replica begin applyLogs", machine) { try machine.sync($0) }
        let name = try #require(machine.files(machine.store + "/logs/disk0").first)
        let path = machine.store + "/logs/disk0/" + name
        var bytes = try fileBytes(path)
        // All that is sealed, which begins after envelopes, roots and journal.
        let start = 393_216 + (1 << 20)
        #expect(bytes.count > start)
        for index in stride(from: start, to: bytes.count, by: 512) { bytes[index] ^= 1 }
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        let replica = try machine.contents(machine.replica(0), files: machine.replicaFiles)
        #expect(message { try machine.sync() }.contains("WaitingForStartResynchronize"))
        #expect(try machine.contents(machine.replica(0), files: machine.replicaFiles) == replica)
    }
}
