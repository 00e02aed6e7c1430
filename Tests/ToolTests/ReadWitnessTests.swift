import BlockIO
import DiskModel
import Foundation
import ImageChain
import Testing
import ToolTesting

/// Images that are written while the built tools read them.
@Suite struct ReadWitnessTests {
    private let scratch: Scratch
    private static let kinds: [TestImageKind] = [.dynamicVHD, .dynamicVHDX]
    private static let changed = "was changed while it was being read; read it again\n"

    init() throws { scratch = try Scratch(inMemory: true) }

    /// Runs a tool into a pipe whose reader takes so many bytes, then does something else, and then takes the rest.
    /// - Returns: the tool's exit status, all that came, and what was said.
    private func stalled(_ tool: String, after byteCount: Int, _ meanwhile: String) throws
        -> (exit: Int32, bytes: [UInt8], error: String)
    {
        let script =
            "\(tool) | { head -c \(byteCount) > seen; { \(meanwhile); } > said 2>&1; cat >> seen; }; "
            + "exit ${PIPESTATUS[0]}"
        let run = try runProgram(
            "/bin/bash", ["-c", script], folder: scratch.folder,
            environment: ["PATH": builtProductsFolder + ":/usr/bin:/bin"])
        return (run.exit, try fileBytes(scratch.path("seen")), run.error)
    }

    private func contents(_ name: String) throws -> [UInt8] {
        let disk = try ImageChain.open(scratch.path(name))
        return try disk.bytes(at: 0, count: Int(disk.geometry.virtualByteCount))
    }

    @Test(arguments: kinds, ["vhdcat", "vhdcat -o -  --hash md5", "vhdconvert -O raw BASE -"])
    func theTargetOfAMerge(_ kind: TestImageKind, command: String) throws {
        let chain = try TestChain(kind, in: scratch.folder, children: 1)
        let (base, leaf) = (chain.names[0], chain.leaf)
        let tool =
            command.contains("BASE") ? command.replacingOccurrences(of: "BASE", with: base) : "\(command) \(base)"
        let before = try contents(base)
        let run = try stalled(tool, after: 65536, "vhdmerge -q \(leaf)")
        #expect(try !scratch.names().contains(leaf), "\(run.error)")
        #expect(run.bytes != before, "nothing was mixed: the test proves nothing")
        #expect(run.exit == 2)
        #expect(run.error.hasSuffix("\(base): \(Self.changed)"), "\(run.error)")
    }

    /// The leaf's bytes are right all the time; that they are cannot be known, since a child of it may be what is merged.
    @Test(arguments: kinds, ["--keep", "-q"]) func theLeafOfAMerge(_ kind: TestImageKind, option: String) throws {
        let chain = try TestChain(kind, in: scratch.folder, children: 3)
        let before = try contents(chain.leaf)
        let run = try stalled(
            "vhdcat \(chain.leaf)", after: 65536, "vhdmerge -q \(option) --into \(chain.names[0]) \(chain.leaf)")
        #expect(run.bytes == before)
        #expect(run.exit == 2 && run.error.hasSuffix(Self.changed), "\(run.error)")
        #expect(try chain.difference(chain.names[0]) == nil)
    }

    /// Why: read through an image between, what its child puts into the target shows.
    @Test(arguments: kinds) func anImageBetween(_ kind: TestImageKind) throws {
        let chain = try TestChain(kind, in: scratch.folder, children: 2)
        let before = try contents(chain.names[1])
        let run = try stalled(
            "vhdcat \(chain.names[1])", after: 65536, "vhdmerge -q --into \(chain.names[0]) \(chain.leaf)")
        #expect(run.bytes != before, "nothing was mixed: the test proves nothing")
        #expect(run.exit == 2 && run.error.hasSuffix(Self.changed), "\(run.error)")
    }

    /// Another name, or none, changes nothing in what is open.
    @Test(arguments: kinds) func namesDoNotCount(_ kind: TestImageKind) throws {
        let chain = try TestChain(kind, in: scratch.folder, children: 2)
        let (base, middle) = (chain.names[0], chain.names[1])
        let before = try contents(middle)
        let run = try stalled("vhdcat \(middle)", after: 65536, "mv \(base) other; rm other \(middle)")
        #expect(run.exit == 0 && run.error == "" && run.bytes == before, "\(run.error)")
    }

    @Test func aRawDisk() throws {
        let bytes = [UInt8](repeating: 7, count: 4 << 20)
        _ = try scratch.write("disk.raw", bytes)
        let tool = "vhdcat --format raw disk.raw"
        let written = try stalled(tool, after: 512, "printf x | dd of=disk.raw conv=notrunc seek=3M bs=1")
        #expect(written.exit == 2 && written.error == "vhdcat: disk.raw: \(Self.changed)", "\(written.error)")
        let read = try stalled(tool, after: 512, "chmod 600 disk.raw; ln disk.raw more; cat disk.raw")
        #expect(read.exit == 0 && read.error == "", "\(read.error)")
    }

    /// A pending log that was replayed in memory is no change; one that is replayed into the file is.
    @Test func aPendingLog() throws {
        guard let path = try Corpus.path("vhdx-log-replay.vhdx") else { return }
        try FileManager.default.copyItem(atPath: path, toPath: scratch.path("dirty.vhdx"))
        let read = try stalled("vhdcat -q dirty.vhdx", after: 512, "true")
        #expect(read.exit == 0 && read.error == "", "\(read.error)")
        let written = try stalled("vhdcat -q dirty.vhdx", after: 512, "vhdcheck --repair=log dirty.vhdx")
        #expect(written.exit == 2 && written.error == "vhdcat: dirty.vhdx: \(Self.changed)", "\(written.error)")
    }

    /// What a tool has put into a pipe before it ended well stays as it was read, whatever is done to the file then.
    @Test(arguments: [TestImageKind.fixedVHD, .dynamicVHDX]) func whatIsInThePipe(_ kind: TestImageKind) throws {
        let chain = try TestChain(kind, in: scratch.folder, children: 0)
        try scratch.fill(chain.names[0], 0x11, byteCount: 64 << 10)
        let before = Array(try contents(chain.names[0]).prefix(48 << 10))
        _ = try scratch.write("new", [UInt8](repeating: 0x22, count: 48 << 10))
        let offset = try ImageChain.open(scratch.path(chain.names[0])).fileOffsetOfStart()
        let run = try stalled(
            "vhdcat --range 0+48K \(chain.names[0])", after: 0,
            "sleep 1; dd if=new of=\(chain.names[0]) conv=notrunc bs=1 seek=\(offset)")
        #expect(run.exit == 0 && run.error == "", "\(run.error)")
        #expect(run.bytes == before, "it changed after it was read")
    }

    /// Tools that make a file, or an answer, of what they read.
    @Test(arguments: [
        ["vhdconvert", "--no-clone", "big.vhdx", "out.vhd"], ["vhdconvert", "--verify", "big.vhdx", "out.vhd"],
        ["vhdcat", "-o", "out", "big.vhdx"], ["hrl-diff", "old.vhdx", "big.vhdx", "-o", "out"],
        ["hrl-diff", "big.vhdx", "old.vhdx", "-o", "out"], ["vhdcompare", "--hash", "sha512", "old.vhdx", "big.vhdx"],
        ["vhdinfo", "--hash", "sha512", "big.vhdx"],
        ["vhdrebase", "--safe", "--parent", "old.vhdx", "child.vhdx"],
    ]) func nothingIsMadeOfAMixture(_ command: [String]) throws {
        _ = try scratch.write("big.raw", [UInt8](repeating: 0x5a, count: 96 << 20))
        let made = try runProgram(
            "/bin/bash",
            [
                "-c",
                "vhdcreate -q old.vhdx 96M && vhdconvert -q --format raw big.raw big.vhdx && rm big.raw "
                    + "&& vhdsnap -q big.vhdx child.vhdx",
            ], folder: scratch.folder, environment: ["PATH": builtProductsFolder + ":/usr/bin:/bin"])
        #expect(made.exit == 0, "\(made.error)")
        let child = try fileHash(scratch.path("child.vhdx"))
        let tool = try RunningTool(command[0], Array(command.dropFirst()), folder: scratch.folder)
        #expect(tool.wait { tool.hasOpen(scratch.path("big.vhdx")) }, "\(tool.error)")
        tool.send(SIGSTOP)
        #expect(tool.isRunning, "it was too fast to be tested")
        let handle = try #require(FileHandle(forWritingAtPath: scratch.path("big.vhdx")))
        let end = try handle.seekToEnd()
        try handle.seek(toOffset: end - 1)
        try handle.write(contentsOf: [0])
        try handle.close()
        tool.send(SIGCONT)
        #expect(tool.end() == 2, "\(tool.output)")
        #expect(tool.error == "\(command[0]): big.vhdx: \(Self.changed)", "\(tool.error)")
        #expect(try scratch.names() == ["big.vhdx", "child.vhdx", "old.vhdx"])
        if command[0] == "vhdrebase" {
            #expect(try ImageChain.open(scratch.path("child.vhdx")).layers[1].file.path.hasSuffix("big.vhdx"))
        } else {
            #expect(try fileHash(scratch.path("child.vhdx")) == child)
        }
    }
}

extension Scratch {
    /// Fills the start of an image's disk with a byte.
    fileprivate func fill(_ name: String, _ value: UInt8, byteCount: Int) throws {
        let disk = try ImageChain.open(writing: path(name))
        try disk.write([UInt8](repeating: value, count: byteCount), at: 0)
        try disk.close()
    }
}

extension ImageChain {
    /// Where the disk's first byte stands in its file.
    fileprivate func fileOffsetOfStart() throws -> UInt64 {
        guard case .file(offset: let offset)? = try extents(in: 0..<512, limit: 1).first?.extent.source else {
            throw ProgramFailure(description: "nothing is stored at the start of \(path)")
        }
        return offset
    }
}

extension RunningTool {
    /// Whether it has a file open; a moment later, so that the file was also looked at.
    fileprivate func hasOpen(_ path: String) -> Bool {
        let folder = "/proc/\(processID)/fd"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        let isOpen = names.contains {
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\($0)")) == path
        }
        if isOpen { usleep(3000) }
        return isOpen
    }
}
