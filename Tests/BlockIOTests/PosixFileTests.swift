@testable import BlockIO
import ByteCodec
import Foundation
import Testing
import ToolTesting

/// Runs `body` and returns the `IOError` it must throw.
func ioError(_ body: () throws -> Void, sourceLocation: SourceLocation = #_sourceLocation) throws -> IOError {
    try #require(throws: IOError.self, sourceLocation: sourceLocation) { try body() }
}

@Suite struct PosixFileTests {
    private let scratch = try! Scratch()

    private func file(_ bytes: [UInt8], _ access: PosixFile.Access = .write) throws -> PosixFile {
        try PosixFile(scratch.write("file", bytes), access)
    }

    @Test func readsAndWrites() throws {
        let file = try file([1, 2, 3])
        #expect(try file.bytes(at: 1, count: 2) == [2, 3])
        #expect(try file.bytes(at: 3, count: 0) == [])
        try file.write([9], at: 1)
        try file.write([7, 8], at: 6)
        #expect(try file.byteCount() == 8)
        #expect(try fileBytes(file.path) == [1, 9, 3, 0, 0, 0, 7, 8])
        try file.write([], at: 100)
        #expect(try file.byteCount() == 8)
        try file.resize(to: 2)
        try file.resize(to: 4)
        try file.sync()
        #expect(try fileBytes(file.path) == [1, 9, 0, 0])
        #expect(file.hostFile === file)
    }

    @Test func readsPastTheEnd() throws {
        let file = try file([1, 2, 3])
        for (offset, count) in [(3, 1), (2, 2), (0, 4), (1000, 1), (UInt64(Int64.max), 1), (.max, 1), (.max - 1, 5)] {
            let error = try ioError { _ = try file.bytes(at: offset, count: count) }
            #expect(error.reason == .endOfFile(byteCount: 3))
            #expect(error.offset == offset)
            #expect(error.explanation == "the file ends after 3 bytes (offset 0x\(String(offset, radix: 16)))")
            #expect(error.description == "\(file.path): \(error.explanation)")
        }
    }

    @Test func writesTooFar() throws {
        let file = try file([1])
        for offset in [UInt64(Int64.max), UInt64(Int64.max) + 1, .max] {
            #expect(try ioError { try file.write([1, 2], at: offset) }.reason == .errno(EFBIG))
        }
        #expect(try ioError { try file.resize(to: .max) }.reason == .errno(EFBIG))
        #expect(try file.byteCount() == 1)
    }

    @Test func readOnlyRefusesWrites() throws {
        let file = try file([1, 2, 3], .read)
        #expect(try ioError { try file.write([9], at: 0) }.reason == .readOnly)
        #expect(try ioError { try file.write([9], at: 0) }.explanation == "not open for writing (offset 0x0)")
        #expect(try ioError { try file.resize(to: 1) }.reason == .readOnly)
        #expect(try ioError { try file.resize(to: 100) }.reason == .readOnly)
        #expect(try ioError { try file.zero(0..<3) }.reason == .readOnly)
        #expect(try fileBytes(file.path) == [1, 2, 3])
    }

    @Test func createIsExclusive() throws {
        let path = scratch.path("new")
        let file = try PosixFile(path, .create)
        try file.write([1], at: 0)
        #expect(try ioError { _ = try PosixFile(path, .create) }.reason == .errno(EEXIST))
        #expect(try file.bytes(at: 0, count: 1) == [1])
        let link = scratch.path("dangling")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: scratch.path("elsewhere"))
        #expect(try ioError { _ = try PosixFile(link, .create) }.reason == .errno(EEXIST))
        #expect(!FileManager.default.fileExists(atPath: scratch.path("elsewhere")))
        let missing = try ioError { _ = try PosixFile(scratch.path("absent")) }
        #expect(missing.reason == .errno(ENOENT))
        #expect(missing.explanation == "open: No such file or directory")
    }

    @Test func identityIsOfTheFile() throws {
        let path = try scratch.write("file", [1])
        try FileManager.default.linkItem(atPath: path, toPath: scratch.path("hard"))
        try FileManager.default.createSymbolicLink(atPath: scratch.path("soft"), withDestinationPath: "file")
        let own = try PosixFile(path).identity
        #expect(try PosixFile(scratch.path("hard")).identity == own)
        #expect(try PosixFile(scratch.path("soft")).identity == own)
        #expect(try PosixFile(scratch.write("copy", [1])).identity != own)
    }

    /// Whoever waited for the lock while its owner put another file in place must not write what nobody will see.
    @Test func replacedBeforeTheLock() throws {
        let path = try scratch.write("file", [1])
        for other in [true, false] {
            let number = unsafe open(path, O_RDWR | O_CLOEXEC)
            let pending = try PendingFile(path, replaces: true)
            try pending.file.write([2], at: 0)
            try pending.commit()
            if !other { try FileManager.default.removeItem(atPath: path) }
            let error = try ioError { _ = try PosixFile(number, path, .write) }
            #expect(error.reason == .replaced && error.explanation == "was replaced meanwhile; run it again")
        }
        // By other names it is the same file, also where it has none any more.
        let named = try PosixFile(scratch.write("file", [1]), .read)
        try FileManager.default.createSymbolicLink(atPath: scratch.path("link"), withDestinationPath: "file")
        #expect(try PosixFile(scratch.path("link"), .write).identity == named.identity)
        try FileManager.default.removeItem(atPath: path)
        let number = named.withDescriptor { dup($0) }
        defer { close(number) }
        #expect(try PosixFile("/dev/fd/\(number)", .write).identity == named.identity)
    }

    // What is no regular file

    @Test(arguments: [PosixFile.Access.read, .write], [0, 1, 2, 3])
    func refusesOthers(_ access: PosixFile.Access, _ kind: Int) throws {
        let path: String
        switch kind {
        case 0: path = scratch.folder
        case 1:
            path = scratch.path("fifo")
            #expect(try runProgram("/usr/bin/mkfifo", [path]).exit == 0)
        case 2: path = "/dev/null"
        default:
            path = scratch.path("link-to-fifo")
            #expect(try runProgram("/usr/bin/mkfifo", [scratch.path("fifo")]).exit == 0)
            try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "fifo")
        }
        let started = ContinuousClock.now
        let error = try ioError { _ = try PosixFile(path, access) }
        #expect(error.reason == (kind == 0 ? .errno(EISDIR) : .notRegular))
        if kind != 0 { #expect(error.explanation == "is not a regular file") }
        #expect(ContinuousClock.now - started < .seconds(5))
    }

    // Locks

    @Test func secondWriterIsLockedOut() throws {
        let path = try scratch.write("file", [1])
        try FileManager.default.linkItem(atPath: path, toPath: scratch.path("other-name"))
        do {
            let first = try PosixFile(path, .write)
            for name in [path, scratch.path("other-name")] {
                let error = try ioError { _ = try PosixFile(name, .write) }
                #expect(error.reason == .locked)
                #expect(error.explanation == "in use by another writer")
            }
            // Readers are let in, and their closing does not give the lock away.
            #expect(try PosixFile(path).bytes(at: 0, count: 1) == [1])
            #expect(try ioError { _ = try PosixFile(path, .write) }.reason == .locked)
            try first.sync()
        }
        try PosixFile(path, .write).sync()
        do {
            let created = try PosixFile(scratch.path("created"), .create)
            #expect(try ioError { _ = try PosixFile(created.path, .write) }.reason == .locked)
        }
    }

    /// While another thread starts a program, the new process holds a copy of every descriptor for a moment: a file that
    /// was let go is free all the same.
    @Test func freeThoughADescriptorWasCopied() throws {
        let path = try scratch.write("file", [1])
        var copy: CInt = -1
        do {
            let file = try PosixFile(path, .write)
            copy = file.withDescriptor { dup($0) }
        }
        defer { close(copy) }
        #expect(copy >= 0)
        try PosixFile(path, .write).sync()
    }

    /// A lock of the whole file or of one byte, shared or exclusive, held by another process.
    @Test(arguments: ["flock(f, 0, 0, 3)", "flock(f, 100, 1, 3)", "flock(f, 201, 1, 0)"])
    func otherProcess(_ lock: String) throws {
        guard let python = Peer.find("python3") else { return }
        let path = try scratch.write("file", [1])
        let script = """
            import fcntl, struct, sys, os
            def flock(f, start, length, shared):
                kind = fcntl.F_RDLCK if shared == 0 else fcntl.F_WRLCK
                fcntl.fcntl(f, 37, struct.pack("hhqqi4x", kind, 0, start, length, 0))
            f = os.open(sys.argv[1], os.O_RDWR)
            \(lock)
            print("held", flush=True)
            sys.stdin.read()
            """
        let holder = try HeldProgram(python, ["-c", script, path], until: "held")
        #expect(try ioError { _ = try PosixFile(path, .write) }.reason == .locked)
        #expect(try PosixFile(path).byteCount() == 1)
        holder.end()
        try PosixFile(path, .write).sync()
    }

    /// While qemu has an image, we do not get it for writing; while we have it, qemu does not.
    @Test func qemuAndWe() throws {
        guard let qemu = Peer.find("qemu-io"), let img = Peer.find("qemu-img") else { return }
        let path = try scratch.write("disk.raw", .zeros(1 << 20))
        for readOnly in [false, true] {
            let holder = try HeldProgram(
                qemu, (readOnly ? ["-r"] : []) + ["-f", "raw", path], commands: "length\n", until: "MiB")
            let error = try ioError { _ = try PosixFile(path, .write) }
            #expect(error.reason == .locked, "readOnly: \(readOnly)")
            holder.end()
        }
        let ours = try PosixFile(path, .write)
        let refused = try runProgram(qemu, ["-f", "raw", "-c", "write 0 512", path])
        #expect(refused.error.contains("lock") || refused.output.contains("lock"), "\(refused.error)")
        #expect(try ours.bytes(at: 0, count: 512) == .zeros(512))
        #expect(try runProgram(img, ["check", "-f", "raw", path]).error.contains("lock"))
    }

    // Zeroing, holes

    @Test func zeroKeepsTheSizeAndPunches() throws {
        let file = try file([UInt8](repeating: 0xee, count: 1 << 20))
        try file.sync()
        let before = try file.status().st_blocks
        try file.zero(4096..<(1 << 20) - 4096)
        #expect(try file.byteCount() == 1 << 20)
        if before > 0 { #expect(try file.status().st_blocks <= 2 * 8, "space was not given back") }
        #expect(try file.isZero(4096..<(1 << 20) - 4096))
        #expect(try file.bytes(at: 4095, count: 2) == [0xee, 0])
        #expect(try file.bytes(at: (1 << 20) - 4097, count: 2) == [0, 0xee])
    }

    @Test func zeroOddRanges() throws {
        let file = try file([UInt8](repeating: 0xee, count: 10_000))
        try file.zero(1..<2)
        try file.zero(4000..<9001)
        try file.zero(9999..<20_000)
        try file.zero(30_000..<40_000)
        try file.zero(5..<5)
        try file.zero(9999..<UInt64.max)
        var expected = [UInt8](repeating: 0xee, count: 10_000)
        for place in [1..<2, 4000..<9001, 9999..<10_000].joined() { expected[place] = 0 }
        #expect(try fileBytes(file.path) == expected)
        #expect(try file.isZero(4000..<9001))
        #expect(try !file.isZero(4000..<9002))
        #expect(try !file.isZero(3999..<9001))
    }

    @Test func dataOfSparseFiles() throws {
        let file = try file([])
        #expect(try file.data(from: 0) == nil)
        try file.resize(to: 16 << 20)
        try file.write([UInt8](repeating: 1, count: 4096), at: 8 << 20)
        try file.write([2], at: (16 << 20) - 1)
        try file.sync()
        var found: [Range<UInt64>] = []
        var position: UInt64 = 0
        while let data = try file.data(from: position) {
            try #require(data.lowerBound >= position && !data.isEmpty && data.upperBound <= 16 << 20)
            found.append(data)
            position = data.upperBound
        }
        #expect(found.contains { $0.contains(8 << 20) && $0.contains((8 << 20) + 4095) })
        #expect(found.last?.upperBound == 16 << 20)
        if try file.status().st_blocks * 512 < 1 << 20 {
            #expect(found.reduce(0) { $0 + $1.upperBound - $1.lowerBound } < 1 << 20, "\(found)")
        }
        // From inside a run: never before the place asked for.
        #expect(try file.data(from: (8 << 20) + 100)?.lowerBound == (8 << 20) + 100)
        for past in [16 << 20, (16 << 20) + 1, UInt64(Int64.max), .max] { #expect(try file.data(from: past) == nil) }
        #expect(try file.isZero(0..<8 << 20))
        #expect(try !file.isZero(0..<16 << 20))
    }
}
