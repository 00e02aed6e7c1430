import BlockIO
import ByteCodec
import DiskModel
import Foundation
import ImageChain
import Testing
import ToolTesting
import VHDX

/// The built vhdrebase: parents that moved, and other ones.
@Suite struct VHDRebaseTests {
    private let scratch = try! Scratch()
    static let endings = ["vhd", "vhdx"]

    private func run(_ tool: String, _ arguments: String...) throws -> ProgramResult {
        try runTool(tool, arguments, folder: scratch.folder)
    }

    private func make(_ name: String, size: String = "8M", _ writes: [(UInt8, Range<Int>)] = []) throws {
        #expect(try run("vhdcreate", "-q", name, size).exit == 0)
        try write(name, writes)
    }

    private func snap(_ parent: String, _ child: String, _ writes: [(UInt8, Range<Int>)] = []) throws {
        #expect(try run("vhdsnap", "-q", parent, child).exit == 0)
        try write(child, writes)
    }

    private func write(_ name: String, _ writes: [(UInt8, Range<Int>)]) throws {
        guard !writes.isEmpty else { return }
        let chain = try ImageChain.open(writing: scratch.path(name), OpenOptions(parentFolders: [scratch.folder]))
        for (value, range) in writes {
            try chain.write([UInt8](repeating: value, count: range.count), at: UInt64(range.lowerBound))
        }
        try chain.close()
    }

    private func contents(_ name: String) throws -> [UInt8] {
        let chain = try ImageChain.open(scratch.path(name))
        return try chain.bytes(at: 0, count: Int(chain.geometry.virtualByteCount))
    }

    private func folder(_ name: String) throws {
        try FileManager.default.createDirectory(atPath: scratch.path(name), withIntermediateDirectories: true)
    }

    private func move(_ from: String, _ to: String) throws {
        try FileManager.default.moveItem(atPath: scratch.path(from), toPath: scratch.path(to))
    }

    // MARK: My parent moved

    /// The link that does not hold is one lower.
    @Test(arguments: endings) func theParentOfAnotherLink(_ ending: String) throws {
        try make("base.\(ending)")
        try snap("base.\(ending)", "mid.\(ending)")
        try snap("mid.\(ending)", "top.\(ending)")
        try folder("n")
        try move("base.\(ending)", "n/base.\(ending)")
        let refused = try run("vhdrebase", "--parent", "n/base.\(ending)", "top.\(ending)")
        #expect(refused.exit == 2)
        let command = "vhdrebase --parent n/base.\(ending) mid.\(ending)"
        #expect(refused.error.contains("is not its parent, but that of mid.\(ending), below it"), "\(refused.error)")
        #expect(refused.error.hasSuffix("mend that link: \(command)\n"), "\(refused.error)")
        #expect(try run("vhdrebase", "--parent", "n/base.\(ending)", "mid.\(ending)").exit == 0)
        #expect(try run("vhdcat", "-o", "x", "top.\(ending)").exit == 0)
    }

    /// The children of Windows and XenServer, whose parents go to another folder under another name.
    @Test(arguments: [
        ("fat-differential.vhd", "fat-parent.vhd"), ("fat-differential.vhdx", "fat-parent.vhdx"),
        ("xen-child.vhd", "xen-dyn.vhd"),
    ])
    func movedParents(_ child: String, _ parent: String) throws {
        guard let corpus = try Corpus.unpackedFolder() else { return }
        try folder("new/place")
        let place = "new/place/moved." + (parent.hasSuffix("x") ? "vhdx" : "vhd")
        try FileManager.default.copyItem(atPath: "\(corpus)/\(child)", toPath: scratch.path(child))
        try FileManager.default.copyItem(atPath: "\(corpus)/\(parent)", toPath: scratch.path(place))
        let parentBefore = try fileHash(scratch.path(place))
        #expect(try run("vhdcat", "-o", "x", child).exit == 2)

        let dry = try run("vhdrebase", "--dry-run", "--parent", place, child)
        #expect(dry.exit == 0 && dry.output.hasPrefix("\(child): its parent would be \(place), id "), "\(dry)")
        #expect(try fileHash(scratch.path(child)) == fileHash("\(corpus)/\(child)"))

        let done = try run("vhdrebase", "--parent", place, child)
        #expect(done.exit == 0 && done.output.hasPrefix("\(child): its parent is now \(place), id "), "\(done)")
        #expect(done.output.hasSuffix("\n  a chain of 2 images\n"))
        let expectation = try #require(Corpus.expectations.first { $0.file == child })
        let hash = try run("vhdcat", "--hash", "sha256", "--json", "-o", "contents", child)
        #expect(hash.exit == 0 && hash.output.contains(expectation.contents), "\(hash)")
        #expect(try fileHash(scratch.path(place)) == parentBefore)
        // The data is the same, and so is what children of this child name.
        #expect(try dataWriteID(child) == dataWriteID("\(corpus)/\(child)", absolute: true))

        let before = try fileHash(scratch.path(child))
        let again = try run("vhdrebase", "--parent", place, child)
        #expect(again.exit == 0 && again.output.hasSuffix(" already: nothing to do\n"), "\(again)")
        #expect(try fileHash(scratch.path(child)) == before)
    }

    private func dataWriteID(_ name: String, absolute: Bool = false) throws -> String {
        let file = try PosixFile(absolute ? name : scratch.path(name))
        return try ImageOpener.layer(reading: file).identity.description
    }

    /// Down, up and beside, and the way back.
    @Test(arguments: endings) func places(_ ending: String) throws {
        try folder("home/below")
        try folder("beside")
        try make("home/base.\(ending)", [(1, 0..<5000)])
        try snap("home/base.\(ending)", "home/child.\(ending)", [(2, 4096..<9000)])
        let expected = try contents("home/child.\(ending)")
        var place = "home/base.\(ending)"
        let moves = [("home/below/b", "below/b"), ("b", "../b"), ("beside/c", "../beside/c"), ("home/base", "base")]
        for (next, way) in moves {
            try move(place, "\(next).\(ending)")
            place = "\(next).\(ending)"
            #expect(try run("vhdcat", "-o", "x", "home/child.\(ending)").exit == 2)
            let done = try run("vhdrebase", "--parent", place, "home/child.\(ending)")
            #expect(done.exit == 0 && done.error.isEmpty, "\(done)")
            #expect(done.output.contains("its parent is now \(way).\(ending), id "), "\(done)")
            #expect(try contents("home/child.\(ending)") == expected)
            let check = try run("vhdcheck", "--deep", "home/child.\(ending)")
            #expect(check.exit == 0 && check.output.hasSuffix("clean\n"), "\(check)")
        }
    }

    /// A child given by a link in another folder: the way is from where it really stands.
    @Test func childByALink() throws {
        try folder("home")
        try folder("links")
        try make("base.vhdx")
        try snap("base.vhdx", "home/child.vhdx")
        try folder("home/images")
        try move("base.vhdx", "home/images/base.vhdx")
        try FileManager.default.createSymbolicLink(
            atPath: scratch.path("links/child.vhdx"), withDestinationPath: "../home/child.vhdx")
        #expect(try run("vhdrebase", "-q", "--parent", "home/images/base.vhdx", "links/child.vhdx").exit == 0)
        #expect(try run("vhdcompare", "-q", "home/child.vhdx", "home/images/base.vhdx").exit == 0)
    }

    @Test func pathsOfOtherMachines() throws {
        try make("base.vhdx")
        try snap("base.vhdx", "child.vhdx")
        let volume = "\\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\base.vhdx"
        for _ in 0..<2 {
            #expect(
                try run(
                    "vhdrebase", "-q", "--windows-path", "D:\\base.vhdx", "--volume-path", volume, "--parent",
                    "base.vhdx", "child.vhdx"
                ).exit == 0)
        }
        let told = try run("vhdinfo", "--json", "child.vhdx").output
        for path in [".\\base.vhdx", "D:\\base.vhdx", volume] {
            #expect(told.contains("\"path\":\"" + path.replacingOccurrences(of: "\\", with: "\\\\") + "\""), "\(path)")
        }
        let hash = try fileHash(scratch.path("child.vhdx"))
        // Nobody named another path: these stay.
        #expect(try run("vhdrebase", "--parent", "base.vhdx", "child.vhdx").output.contains("nothing to do"))
        #expect(try fileHash(scratch.path("child.vhdx")) == hash)
    }

    /// A VHD that was copied has another time, which the child takes over, and which is said.
    @Test func copiedParent() throws {
        try make("base.vhd")
        try snap("base.vhd", "child.vhd")
        try FileManager.default.setAttributes(
            [.modificationDate: Date(timeIntervalSince1970: 1_700_000_000)], ofItemAtPath: scratch.path("base.vhd"))
        #expect(try run("vhdcheck", "child.vhd").output.contains("VHD030"))
        let done = try run("vhdrebase", "--parent", "base.vhd", "child.vhd")
        #expect(done.exit == 0 && done.error.contains("base.vhd was changed 2023-11-14T22:13:20Z"), "\(done)")
        #expect(try run("vhdcheck", "child.vhd").output == "child.vhd: clean\n")
        #expect(try run("vhdrebase", "--parent", "base.vhd", "child.vhd").output.contains("nothing to do"))
    }

    // MARK: Refused

    @Test(arguments: endings) func refusals(_ ending: String) throws {
        let other = ending == "vhd" ? "vhdx" : "vhd"
        let (title, otherTitle) = (ending.uppercased(), other.uppercased())
        try make("base.\(ending)")
        try make("another.\(ending)")
        try make("base.\(other)")
        try snap("base.\(ending)", "child.\(ending)")
        try snap("child.\(ending)", "grandchild.\(ending)")
        _ = try scratch.write("raw.img", [UInt8](repeating: 1, count: 8192))
        let before = try fileHash(scratch.path("child.\(ending)"))
        func expect(_ arguments: [String], _ part: String, exit: Int32 = 2) throws {
            for dry in [[], ["--dry-run"]] {
                let result = try runTool(
                    "vhdrebase", dry + arguments + ["child.\(ending)"], folder: scratch.folder)
                #expect(result.exit == exit && result.output.isEmpty, "\(arguments): \(result)")
                #expect(result.error.contains(part), "\(result.error)")
                #expect(result.error.split(separator: "\n").count == 1 || exit == 64, "\(result.error)")
                #expect(try fileHash(scratch.path("child.\(ending)")) == before)
            }
        }
        try expect(["--parent", "another.\(ending)"], "its parent must have the id ")
        for mode in [[], ["--safe"], ["--unsafe"], ["--force-identity"]] {
            try expect(
                mode + ["--parent", "base.\(other)"],
                "a \(title) child has a \(title) parent, and base.\(other) is a \(otherTitle)")
            try expect(
                mode + ["--parent", "raw.img"], "raw.img: neither a VHD nor a VHDX image, and a raw disk is no parent")
            try expect(mode + ["--parent", "child.\(ending)"], "it cannot be its own parent")
            try expect(
                mode + ["--parent", "grandchild.\(ending)"], "grandchild.\(ending) stands on it: the chain would loop")
            try expect(mode + ["--parent", "none.\(ending)"], "none.\(ending): open: No such file or directory")
        }
        try expect(["--safe", "--unsafe", "--parent", "base.\(ending)"], "exclude each other", exit: 64)
        try expect([], "Missing expected argument '--parent <image>'", exit: 64)
        let whole = try run("vhdrebase", "--parent", "base.\(ending)", "another.\(ending)")
        #expect(
            whole.exit == 2 && whole.error.contains("another.\(ending): it has no parent: it is a dynamic \(title)"))
    }

    @Test func otherSectors() throws {
        #expect(try run("vhdcreate", "-q", "--sector", "4096", "big.vhdx", "8M").exit == 0)
        try make("base.vhdx")
        try snap("base.vhdx", "child.vhdx")
        for mode in ["--safe", "--unsafe", "--force-identity"] {
            let refused = try run("vhdrebase", mode, "--parent", "big.vhdx", "child.vhdx")
            #expect(refused.exit == 2, "\(mode)")
            #expect(refused.error.contains("its logical sectors have 512 bytes, those of big.vhdx have 4096"))
        }
    }

    @Test(arguments: endings) func busy(_ ending: String) throws {
        try folder("away")
        try make("base.\(ending)")
        try snap("base.\(ending)", "child.\(ending)")
        try move("base.\(ending)", "away/base.\(ending)")
        for name in ["child.\(ending)", "away/base.\(ending)"] {
            let writer = try PosixFile(scratch.path(name), .write)
            let refused = try run("vhdrebase", "--parent", "away/base.\(ending)", "child.\(ending)")
            #expect(refused.exit == 5 && refused.error.contains("\(name): in use by another writer"), "\(refused)")
            _ = try writer.byteCount()
        }
        #expect(try run("vhdrebase", "-q", "--parent", "away/base.\(ending)", "child.\(ending)").exit == 0)
    }

    // MARK: Another identity, other contents

    @Test func changedIdentity() throws {
        try make("base.vhdx", [(1, 0..<8192)])
        try snap("base.vhdx", "child.vhdx", [(2, 4096..<8192)])
        try snap("child.vhdx", "grandchild.vhdx")
        try write("base.vhdx", [(3, 100_000..<100_512)])
        #expect(try run("vhdcat", "-o", "x", "child.vhdx").exit == 2)
        let plain = try run("vhdrebase", "--parent", "base.vhdx", "child.vhdx")
        #expect(plain.exit == 2 && plain.error.contains("--force-identity is for a parent whose id alone has changed"))
        let done = try run("vhdrebase", "--force-identity", "--parent", "base.vhdx", "child.vhdx")
        #expect(done.exit == 0, "\(done)")
        #expect(done.error.contains("nothing shows that base.vhdx holds what the child was made from"))
        #expect(done.error.contains("differencing images made from this one, if there are any, no longer open"))
        #expect(try contents("child.vhdx")[4095...4096] == [1, 2])
        #expect(try run("vhdcat", "-o", "x", "grandchild.vhdx").exit == 2)
        #expect(
            try run("vhdrebase", "--force-identity", "--parent", "base.vhdx", "child.vhdx").output.contains(
                "nothing to do"))
        // A disk of another size was never its parent.
        try make("large.vhdx", size: "9M")
        let refused = try run("vhdrebase", "--force-identity", "--parent", "large.vhdx", "child.vhdx")
        #expect(refused.exit == 2 && refused.error.contains("it is not the image the child was made from"))
    }

    @Test func rawDisks() throws {
        try make("base.vhdx")
        try snap("base.vhdx", "child.vhdx")
        let before = try fileHash(scratch.path("child.vhdx"))
        let raw = try run("vhdrebase", "--format", "raw", "--parent", "base.vhdx", "child.vhdx")
        #expect(raw.exit == 64 && raw.error.hasPrefix("Error: --format raw: a raw disk has no parent"), "\(raw)")
        #expect(try fileHash(scratch.path("child.vhdx")) == before)
    }

    /// The child keeps its disk's id, and the warning about it says how that comes.
    @Test func otherDisk() throws {
        try make("old.vhdx", [(1, 0..<8192)])
        try make("new.vhdx")
        try snap("old.vhdx", "child.vhdx")
        #expect(try run("vhdcheck", "child.vhdx").exit == 0)
        #expect(try run("vhdrebase", "-q", "--safe", "--parent", "new.vhdx", "child.vhdx").exit == 0)
        let check = try run("vhdcheck", "child.vhdx")
        #expect(check.exit == 3 && check.output.contains("VHDX032"), "\(check)")
        #expect(check.output.contains("which is right, and harmless, where vhdrebase --safe or --unsafe moved"))
    }

    @Test(arguments: endings) func otherContents(_ ending: String) throws {
        try make("old.\(ending)", [(1, 0..<8192)])
        try make("new.\(ending)", [(5, 0..<100_000)])
        try snap("old.\(ending)", "child.\(ending)", [(2, 4096..<8192)])
        try FileManager.default.removeItem(atPath: scratch.path("old.\(ending)"))
        let done = try run("vhdrebase", "--unsafe", "--parent", "new.\(ending)", "child.\(ending)")
        #expect(done.exit == 0 && done.error.contains("its contents change: "), "\(done)")
        var expected = try contents("new.\(ending)")
        expected.replaceSubrange(4096..<8192, with: repeatElement(2, count: 4096))
        #expect(try contents("child.\(ending)") == expected)
    }

    // MARK: The same contents

    private func copied(_ result: ProgramResult) -> String? {
        result.output.split(separator: "\n").first { $0.contains("its contents stay") }.map {
            $0.replacingOccurrences(of: "to be ", with: "")
        }
    }

    /// Expects that a child moves and shows the same, and returns the line that says how much was written.
    private func moveSafely(_ child: String, onto parent: String) throws -> String {
        let expected = try contents(child)
        let id = try dataWriteID(child)
        let before = try fileHash(scratch.path(child))
        let parentBefore = try fileHash(scratch.path(parent))
        let dry = try run("vhdrebase", "--safe", "--dry-run", "--bytes", "--parent", parent, child)
        #expect(dry.exit == 0, "\(dry)")
        #expect(try fileHash(scratch.path(child)) == before)
        let done = try run("vhdrebase", "--safe", "--bytes", "--parent", parent, child)
        #expect(done.exit == 0, "\(done)")
        #expect(copied(done) == copied(dry))
        #expect(try contents(child) == expected)
        #expect(try dataWriteID(child) == id)
        #expect(try fileHash(scratch.path(parent)) == parentBefore)
        let check = try run("vhdcheck", "--deep", child)
        #expect(!check.output.contains("error"), "\(check)")
        #expect(try run("vhdrebase", "--safe", "--parent", parent, child).output.contains("nothing to do"))
        return copied(done) ?? "none"
    }

    /// The images between drop out; only what they hold is copied.
    @Test(arguments: endings) func ontoAnAncestor(_ ending: String) throws {
        try make("base.\(ending)", [(1, 0..<3_000_000)])
        try snap("base.\(ending)", "one.\(ending)", [(2, 1_000_000..<1_002_048)])
        try snap("one.\(ending)", "two.\(ending)", [(0, 4096..<8192)])
        try snap("two.\(ending)", "top.\(ending)", [(4, 1_001_984..<1_002_560)])
        try snap("top.\(ending)", "leaf.\(ending)")
        let leaf = try contents("leaf.\(ending)")
        // 1 000 000 to 1 002 048 touches sectors 1953 to 1957, the last of which the child has itself.
        let line = try moveSafely("top.\(ending)", onto: "base.\(ending)")
        #expect(line == "  its contents stay: 2048 copied into it, 4096 zeroed", "\(line)")
        for name in ["one", "two"] { try FileManager.default.removeItem(atPath: scratch.path("\(name).\(ending)")) }
        #expect(try contents("leaf.\(ending)") == leaf)
    }

    @Test(arguments: endings) func ontoAnotherImage(_ ending: String) throws {
        try make("old.\(ending)", [(1, 0..<100_352), (6, 3_000_320..<3_001_344)])
        try make("new.\(ending)", [(1, 0..<65536), (5, 2_097_152..<2_098_176), (6, 3_000_320..<3_001_344)])
        try snap("old.\(ending)", "child.\(ending)", [(2, 99_840..<100_864)])
        let line = try moveSafely("child.\(ending)", onto: "new.\(ending)")
        // 65536 to 99840 is the old parent's alone. Where the new one alone has data, the stretch of zeros around it in
        // its block is zeroed, but for the piece of 256 KiB where both hold the same.
        #expect(line == "  its contents stay: 34304 copied into it, \(3 << 18) zeroed", "\(line)")
    }

    @Test(arguments: endings) func ontoACopy(_ ending: String) throws {
        try make("base.\(ending)", [(1, 0..<3_000_000)])
        try snap("base.\(ending)", "child.\(ending)", [(2, 4096..<8192)])
        #expect(try run("vhdconvert", "-q", "base.\(ending)", "copy.\(ending)").exit == 0)
        let line = try moveSafely("child.\(ending)", onto: "copy.\(ending)")
        #expect(line == "  its contents stay: 0 copied into it, 0 zeroed")
    }

    /// Past its end a parent shows zeros, be it the old one or the new one.
    @Test(arguments: endings, [("8M", "5M"), ("5M", "8M")]) func otherSizes(_ ending: String, _ sizes: (String, String))
        throws
    {
        try make("old.\(ending)", size: sizes.0, [(1, 4_000_000..<5_200_000)])
        try make("new.\(ending)", size: sizes.1, [(2, 4_100_000..<5_210_000)])
        try snap("old.\(ending)", "child.\(ending)", [(3, 4_050_000..<4_060_000)])
        #expect(try run("vhdresize", "-q", "child.\(ending)", "8M").exit == 0)
        _ = try moveSafely("child.\(ending)", onto: "new.\(ending)")
    }

    /// The old chain is needed, and said to be.
    @Test func oldParentGone() throws {
        try make("old.vhdx")
        try make("new.vhdx")
        try snap("old.vhdx", "child.vhdx")
        try FileManager.default.removeItem(atPath: scratch.path("old.vhdx"))
        let refused = try run("vhdrebase", "--safe", "--parent", "new.vhdx", "child.vhdx")
        #expect(
            refused.exit == 2 && refused.error.contains("its old parents are needed to keep its contents"), "\(refused)"
        )
    }

    /// A log pending in the child goes into the file first.
    @Test func pendingLog() throws {
        try make("base.vhdx", [(1, 0..<4096)])
        try snap("base.vhdx", "child.vhdx")
        let chain = try ImageChain.open(writing: scratch.path("child.vhdx"))
        try chain.write([UInt8](repeating: 7, count: 512), at: 1024)
        try chain.flush()
        _ = try scratch.write("dirty.vhdx", try fileBytes(scratch.path("child.vhdx")))
        try folder("away")
        try move("base.vhdx", "away/base.vhdx")
        #expect(try run("vhdinfo", "--field", "log.state", "dirty.vhdx").output == "dirty\n")
        let dry = try run("vhdrebase", "--dry-run", "--parent", "away/base.vhdx", "dirty.vhdx")
        #expect(dry.exit == 0 && dry.error.contains("replayed in memory, the file is unchanged"))
        let done = try run("vhdrebase", "--parent", "away/base.vhdx", "dirty.vhdx")
        #expect(done.exit == 0 && done.error == "vhdrebase: dirty.vhdx: log pending: replayed into the file first\n")
        #expect(try run("vhdinfo", "--field", "log.state", "dirty.vhdx").output == "clean\n")
        #expect(try contents("dirty.vhdx")[1023...1024] == [1, 7])
    }

    // MARK: Interrupted merges

    /// The sign of one stands in a VHDX child alone.
    @Test func anUnfinishedMergeIsNotForgotten() throws {
        try make("base.vhdx", [(1, 0..<4096)])
        try make("other.vhdx")
        try snap("base.vhdx", "child.vhdx", [(7, 1024..<2048)])
        try VHDXLinkEditor.setSecondLinkage(PosixFile(scratch.path("child.vhdx"), .write), to: .random())
        try folder("away")
        try FileManager.default.moveItem(atPath: scratch.path("base.vhdx"), toPath: scratch.path("away/base.vhdx"))
        let before = try fileHash(scratch.path("child.vhdx"))
        for arguments in [["away/base.vhdx"], ["--force-identity", "away/base.vhdx"], ["--unsafe", "away/base.vhdx"]] {
            let refused = try runTool(
                "vhdrebase", arguments.dropLast() + ["--parent", arguments[arguments.count - 1], "child.vhdx"],
                folder: scratch.folder)
            #expect(refused.exit == 2 && refused.error.contains("vhdmerge, with --parent-dir"), "\(refused.error)")
        }
        #expect(try fileHash(scratch.path("child.vhdx")) == before)
        let elsewhere = try run(
            "vhdrebase", "--safe", "--parent-dir", "away", "--parent", "other.vhdx", "child.vhdx")
        #expect(elsewhere.exit == 0 && elsewhere.error.contains("holds a mixture"), "\(elsewhere.error)")
        #expect(try contents("child.vhdx")[1023...1024] == [1, 7])
    }

    // MARK: Documents

    @Test func documents() throws {
        try make("base.vhdx", [(1, 0..<4096)])
        try make("other.vhdx")
        try snap("base.vhdx", "child.vhdx")
        let lines = try [
            run("vhdrebase", "--json", "--parent", "base.vhdx", "child.vhdx"),
            run("vhdrebase", "--json", "--parent", "other.vhdx", "child.vhdx"),
            run("vhdrebase", "--json", "--safe", "--dry-run", "--parent", "other.vhdx", "child.vhdx"),
            run("vhdrebase", "--json", "--safe", "--parent", "other.vhdx", "child.vhdx"),
            run("vhdrebase", "--json", "--unsafe", "--parent", "base.vhdx", "child.vhdx"),
        ]
        #expect(lines.map(\.exit) == [0, 2, 0, 0, 0])
        #expect(lines[0].output.contains(#""mode":"moved","dry_run":false,"changed":false,"already_linked":true"#))
        #expect(lines[2].output.contains(#""changed":false,"already_linked":false"#))
        #expect(lines[3].output.contains(#""copied_bytes":4096,"zeroed_bytes":0,"chain":["child.vhdx","other.vhdx"]"#))
        #expect(lines[4].output.contains(#""code":"contents_change""#))
        guard let complaints = try schemaReport(lines.map(\.output).joined(), schema: "vhdrebase") else { return }
        #expect(complaints == "5 documents\n")
    }

    @Test func helpAnswers() throws {
        let help = try run("vhdrebase", "--help").output
        #expect(help.contains("My parent moved: "))
        #expect(help.contains("vhdrebase --parent /new/place/base.vhdx child.avhdx"))
    }
}
