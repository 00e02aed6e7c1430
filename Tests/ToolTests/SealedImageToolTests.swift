import Foundation
import Testing
import ToolTesting

/// The image tools on sealed files: they say and write what they do on the same files unsealed, and nothing of it is left
/// for all to read.
@Suite struct SealedImageToolTests {
    private static let kinds: [TestImageKind] = [.dynamicVHD, .dynamicVHDX]

    // MARK: Reading

    /// Sealed images and sealed streams, in a chain whose links have different keys.
    @Test(arguments: kinds, [false, true]) func readersSayTheSame(kind: TestImageKind, asStreams: Bool) throws {
        let chain = try SealedChain(kind, asStreams: asStreams)
        let (leaf, base) = (chain.leaf, chain.chain.names[0])
        let commands = [
            ("vhdinfo", ["--field", "disk_id", leaf]), ("vhdinfo", ["--field", "virtual_size", leaf]),
            ("vhdinfo", ["--field", "partitions", base]), ("vhdmap", ["--chain", "--tsv", leaf]),
            ("vhdmap", ["--unclaimed", base]), ("vhdmap", ["--sector", "2048", "--chain", leaf]),
            ("vhdcheck", [base]), ("vhdcheck", ["--deep", leaf]), ("vhdcat", [leaf]),
            ("vhdcat", ["-C", "--range", "0:64K", leaf]), ("vhdcompare", [leaf, leaf]),
            ("vhdcompact", ["--dry-run", leaf]),
            ("vhdrebase", ["--dry-run", "--parent", chain.chain.names[1], leaf]),
            ("vhdconvert", ["-O", "raw", leaf, "-"]),
        ]
        for (tool, arguments) in commands {
            let plain = try chain.plain(tool, arguments)
            let sealed = try chain.sealed(tool, arguments)
            #expect(plain.exit == sealed.exit && plain.outputBytes == sealed.outputBytes, "\(tool): \(sealed.error)")
            #expect(plain.error == sealed.error, "\(tool)")
        }
        // What is zeros is told by chunks in a sealed file: more is to be moved.
        #expect(try chain.sealed("vhdmerge", ["--dry-run", leaf]).output.hasSuffix("would be removed: \(leaf)\n"))
        let chainText = try chain.sealed("vhdinfo", ["--chain", leaf])
        #expect(chainText.exit == 0 && chainText.output.contains("chain of 3 images, leaf first"), "\(chainText.error)")
        #expect(try chain.sealed("vhdcat", [leaf]).outputBytes == chain.contents())
    }

    /// What no key opens is an error of its own, and nobody is asked where nobody can answer.
    @Test func wrongAndMissingKeys() throws {
        let chain = try SealedChain(.dynamicVHDX, hasPassphrase: true)
        let (leaf, base) = (chain.leaf, chain.chain.names[0])
        let cases: [(options: [String], file: String, says: String)] = [
            ([], base, "a passphrase is needed"), ([], leaf, "no passphrase opens it, and no key was given"),
            (["-i", "../other.txt"], leaf, "none of the secrets opens it"),
            (["--key-file", "../disk.key"], leaf, "opening the parent of"),
            (["--passphrase-file", "../disk.key"], base, "none of the secrets opens it"),
        ]
        for (options, file, says) in cases {
            for (tool, arguments) in [("vhdcat", ["-o", "out"]), ("vhdconvert", ["-O", "raw"])] {
                let last = tool == "vhdcat" ? [file] : [file, "out"]
                let result = try chain.sealed(tool, arguments + last, options: options)
                #expect(result.exit == 4 && result.error.contains(says), "\(tool) \(options): \(result.error)")
                #expect(result.output.isEmpty)
            }
        }
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: chain.scratch.path("sealed")).sorted()
                == chain.chain.names.sorted())
        // A plain file needs no key, whatever is given.
        let plain = try runTool("vhdcat", ["-i", "nothing-there", leaf], folder: chain.scratch.path("plain"))
        #expect(plain.exit == 0, "\(plain.error)")
        #expect(try plain.outputBytes == chain.contents())
    }

    /// A descriptor gives its line once, and two files are opened by it.
    @Test func oneLineOpensAll() throws {
        let keys = try SealFolder()
        let made = try keys.shell(
            "vhdcreate -q --seal --passphrase-fd 3 a.vhdx 8M 3<secret && vhdsnap -q --passphrase-fd 3 a.vhdx b.avhdx 3<secret && "
                + "vhdcat --passphrase-fd 3 b.avhdx 3<secret | cmp - <(head -c 8M /dev/zero) && "
                + "VHDTOOLS_PASSPHRASE_COMMAND='echo x >> calls; cat secret' vhdmerge -q b.avhdx && cat calls && "
                + "unseal -q --passphrase-file secret -o plain.vhdx a.vhdx && vhdcheck plain.vhdx")
        #expect(made.exit == 0 && made.output == "x\nplain.vhdx: clean\n", "\(made.error)")
    }

    // MARK: Making

    @Test(arguments: TestImageKind.allCases) func conversionsBothWays(kind: TestImageKind) throws {
        let chain = try SealedChain(.dynamicVHDX)
        let options: [String] =
            switch kind {
            case .raw: ["-O", "raw"]
            case .fixedVHD: ["-O", "vhd", "--fixed"]
            case .dynamicVHD: ["-O", "vhd"]
            case .fixedVHDX: ["-O", "vhdx", "--fixed"]
            case .dynamicVHDX: ["-O", "vhdx"]
            }
        let made = try chain.sealed(
            "vhdconvert", options + ["--seal", "--seal-to", chain.keys.recipient, "--verify", chain.leaf, "copy"])
        #expect(made.exit == 0 && made.output.contains("verified"), "\(made.error)")
        #expect(try chain.leaks() == [])
        // Each of the keys opens it by itself, the recipient's identity among them.
        for key in [["-i", "../other.txt"], ["-i", "../key.txt"], ["--key-file", "../disk.key"]] {
            let read = try chain.sealed("vhdcat", kind.options + ["copy"], options: key)
            #expect(read.exit == 0, "\(read.error)")
            #expect(try read.outputBytes == chain.contents())
        }
        let out = try chain.sealed("vhdconvert", kind.options + options + ["copy", "../plain/back"])
        #expect(out.exit == 0, "\(out.error)")
        #expect(try chain.plain("vhdcat", kind.options + ["back"]).outputBytes == chain.contents())
        let cat = try chain.sealed("vhdcat", ["--seal", "-o", "raw", chain.leaf])
        #expect(cat.exit == 0, "\(cat.error)")
        #expect(try chain.sealed("vhdcat", ["--format", "raw", "raw"]).outputBytes == chain.contents())
        #expect(try chain.leaks() == [])
    }

    @Test func whatCannotBeSealed() throws {
        let chain = try SealedChain(.dynamicVHDX)
        for (tool, arguments) in [
            ("vhdcat", ["--seal", chain.leaf]), ("vhdcat", ["--seal", "-C", "-o", "x", chain.leaf]),
            ("vhdconvert", ["--seal", "-O", "raw", chain.leaf, "-"]),
            ("vhdconvert", ["--seal", "--fixed", "--preallocate", chain.leaf, "x.vhdx"]),
            ("vhdcreate", ["--seal", "--fixed", "--preallocate", "x.vhdx", "8M"]),
        ] {
            let result = try chain.sealed(tool, arguments)
            #expect(result.exit == 64 && result.output.isEmpty, "\(tool): \(result.error)")
        }
        let bad = try chain.sealed("vhdconvert", ["--seal-to", "age1nothing", chain.leaf, "x.vhdx"])
        #expect(bad.exit == 4 && bad.error.contains("is no recipient"), "\(bad.error)")
        #expect(!FileManager.default.fileExists(atPath: chain.scratch.path("sealed/x.vhdx")))
    }

    /// A sealed stream is read, and never written.
    @Test func streamsAreNotWritten() throws {
        let chain = try SealedChain(.dynamicVHDX, asStreams: true)
        let before = try fileBytes(chain.scratch.path("sealed/\(chain.leaf)"))
        for (tool, arguments) in [
            ("vhdmerge", [chain.leaf]), ("vhdresize", [chain.leaf, "16M"]), ("vhdcompact", [chain.leaf]),
            ("vhdcheck", ["--repair=safe", chain.leaf]),
        ] {
            let result = try chain.sealed(tool, arguments)
            #expect(
                result.exit == 2 && result.error.contains("seal --image"), "\(tool): \(result.exit) \(result.error)")
        }
        #expect(try fileBytes(chain.scratch.path("sealed/\(chain.leaf)")) == before)
    }

    // MARK: Changing

    @Test(arguments: kinds) func changesInPlace(kind: TestImageKind) throws {
        let chain = try SealedChain(kind)
        let names = chain.chain.names
        let ending = kind == .dynamicVHD ? "avhd" : "avhdx"
        let snap = try chain.sealed("vhdsnap", ["-q", chain.leaf, "new.\(ending)"])
        #expect(snap.exit == 0, "\(snap.error)")
        // It opens with the key that its parent opens with.
        let status = try runTool("seal-status", ["sealed/new.\(ending)"], folder: chain.scratch.folder)
        #expect(status.output.contains("slot 1: key file"), "\(status.output)\(status.error)")
        #expect(try chain.sealed("vhdcat", ["new.\(ending)"]).outputBytes == chain.contents())
        let other = try chain.sealed("vhdrebase", ["-q", "--safe", "--parent", names[0], "new.\(ending)"])
        #expect(other.exit == 0, "\(other.error)")
        #expect(try chain.sealed("vhdcat", ["new.\(ending)"]).outputBytes == chain.contents())
        let merged = try chain.sealed("vhdmerge", ["-f", "--into", names[0], chain.leaf])
        #expect(merged.exit == 0 && merged.output.contains("removed: "), "\(merged.error)")
        #expect(try chain.sealed("vhdcat", [names[0]]).outputBytes == chain.contents())
        for arguments in [["vhdcompact", "-q", names[0]], ["vhdresize", "-q", names[0], "16M"]] {
            let result = try chain.sealed(arguments[0], Array(arguments.dropFirst()))
            #expect(result.exit == 0, "\(arguments): \(result.error)")
        }
        let grown = try chain.contents() + [UInt8](repeating: 0, count: 8 << 20)
        #expect(try chain.sealed("vhdcat", [names[0]]).outputBytes == grown)
        #expect(try chain.sealed("vhdcheck", [names[0]]).output == "\(names[0]): clean\n")
        #expect(try chain.leaks() == [])
        // It is at rest: a copy of it opens alone, and is an image again when it is unsealed.
        let out = try chain.keys.run(
            "unseal", ["-q", "-i", "other.txt", "-o", "plain/back", "sealed/\(names[0])"])
        #expect(out.exit == 0, "\(out.error)")
        #expect(try chain.plain("vhdcat", ["back"]).outputBytes == grown)
    }

    /// A repair's undo file holds bytes of the image: it is sealed as the image is.
    @Test func repairsAreUndone() throws {
        let chain = try SealedChain(.dynamicVHD)
        let base = chain.chain.names[0]
        var bytes = try fileBytes(chain.scratch.path("plain/\(base)"))
        // The copy of the footer at the start.
        bytes.replaceSubrange(100..<140, with: [UInt8](repeating: 0x55, count: 40))
        _ = try chain.scratch.write("broken", bytes)
        let seal = try chain.keys.run(
            "seal", ["-q", "-f", "--image", "-R", chain.keys.recipient, "-o", "sealed/\(base)", "broken"])
        #expect(seal.exit == 0, "\(seal.error)")
        let repaired = try chain.sealed("vhdcheck", ["--repair=safe", "--undo-file", "back.undo", base])
        #expect(repaired.exit == 0, "\(repaired.output)\(repaired.error)")
        #expect(try chain.sealed("vhdcheck", [base]).output == "\(base): clean\n")
        #expect(try chain.leaks() == [])
        let undone = try chain.sealed("vhdcheck", ["--undo", "back.undo", base])
        #expect(undone.exit == 0 && undone.output.contains("is as before the repair again"), "\(undone.error)")
        let out = try chain.keys.run("unseal", ["-i", "key.txt", "sealed/\(base)"])
        #expect(out.outputBytes == bytes)
    }

    /// Killed at any moment, a merge of sealed images leaves a leaf that shows what it showed, and ends when run again.
    @Test(arguments: kinds) func mergesAreKilled(kind: TestImageKind) throws {
        var kills = 0
        for round in 0..<8 {
            let chain = try SealedChain(kind)
            let (base, leaf) = (chain.chain.names[0], chain.leaf)
            let arguments = ["-q", "--into", base, leaf]
            let killed = try chain.keys.shell(
                "cd sealed && timeout -s KILL 0.\(String(format: "%03d", 40 + round * 25)) vhdmerge "
                    + (chain.options + arguments).joined(separator: " "))
            kills += killed.exit == 137 ? 1 : 0
            let isThere = FileManager.default.fileExists(atPath: chain.scratch.path("sealed/\(leaf)"))
            let read = try chain.sealed("vhdcat", [isThere ? leaf : base])
            #expect(read.exit == 0, "\(round): \(read.error)")
            #expect(try read.outputBytes == chain.contents())
            if isThere {
                let again = try chain.sealed("vhdmerge", arguments)
                #expect(again.exit == 0, "\(round): \(again.error)")
            }
            #expect(try chain.sealed("vhdcat", [base]).outputBytes == chain.contents(), "\(round)")
            #expect(try chain.leaks() == [])
        }
        print("sealed merges killed: \(kills) of 8 (\(kind))")
    }
}
