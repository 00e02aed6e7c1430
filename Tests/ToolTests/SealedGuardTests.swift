import BlockIO
import Foundation
import Testing
import ToolTesting

/// What would lose a key, or what is sealed for it, or show it, is refused before anything is done.
@Suite struct SealedGuardTests {
    private let folder: SealFolder

    init() throws { folder = try SealFolder() }

    private func shell(_ command: String) throws -> ProgramResult { try folder.shell(command) }

    /// A chain of a base and two children, whose second child is sealed for somebody else.
    private func family() throws {
        let made = try shell(
            "K=$(seal-keygen -y key.txt); O=$(seal-keygen -y other.txt); vhdcreate -q --seal-to $K base.vhdx 8M && "
                + "vhdsnap -q -i key.txt --seal-to $O base.vhdx theirs.avhdx && vhdsnap -q -i key.txt base.vhdx mine.avhdx && "
                + "truncate -s 8M old new && printf changed | dd of=new bs=1 seek=1M conv=notrunc status=none && "
                + "hrl-diff -q --format raw old new -o log.hrl && hrl-apply -q -i key.txt --to mine.avhdx log.hrl")
        #expect(made.exit == 0, "\(made.error)")
    }

    @Test func mergesSeeLockedChildren() throws {
        try family()
        let base = try folder.bytes("base.vhdx")
        let refused = try shell("vhdmerge -i key.txt mine.avhdx")
        #expect(refused.exit == 2 && refused.error.contains("theirs.avhdx: it is sealed, and could not be opened"))
        do {
            let writer = try PosixFile(folder.scratch.path("theirs.avhdx"), .write)
            let busy = try shell("vhdmerge -i key.txt -i other.txt mine.avhdx")
            #expect(busy.exit == 2 && busy.error.contains("theirs.avhdx: it is sealed, and could not be opened"))
            withExtendedLifetime(writer) {}
        }
        let whole = try folder.bytes("theirs.avhdx")
        for count in [200_000, whole.count - 4096] {
            _ = try folder.scratch.write("theirs.avhdx", Array(whole.prefix(count)))
            let cut = try shell("vhdmerge -i key.txt -i other.txt mine.avhdx")
            #expect(
                cut.exit == 2 && cut.error.contains("theirs.avhdx: it is sealed, and could not be opened"), "\(count)")
        }
        _ = try folder.scratch.write("theirs.avhdx", whole)
        let known = try shell("vhdmerge -i key.txt -i other.txt mine.avhdx")
        #expect(known.exit == 2 && known.error.contains("theirs.avhdx: it is another child"), "\(known.error)")
        #expect(try folder.bytes("base.vhdx") == base)
        let forced = try shell("vhdmerge -f -i key.txt mine.avhdx && vhdcat -i key.txt base.vhdx | cmp - new")
        #expect(forced.exit == 0, "\(forced.error)")
    }

    @Test func plainImagesTakeNothingSealed() throws {
        let made = try shell(
            "K=$(seal-keygen -y key.txt); vhdcreate -q plain.vhdx 8M && vhdsnap -q --seal-to $K plain.vhdx mine.avhdx && "
                + "truncate -s 8M old new && printf changed | dd of=new bs=1 seek=1M conv=notrunc status=none && "
                + "hrl-diff -q --format raw old new -o log.hrl && hrl-apply -q -i key.txt --to mine.avhdx log.hrl && "
                + "vhdconvert -q --seal-to $K --format raw -O vhdx new sealed.vhdx && vhdcreate -q other.vhdx 8M && "
                + "vhdsnap -q -i key.txt sealed.vhdx child.avhdx && unseal -q -i key.txt -o open.avhdx child.avhdx")
        #expect(made.exit == 0, "\(made.error)")
        for force in ["", "-f "] {
            let merged = try shell("vhdmerge \(force)-i key.txt mine.avhdx")
            #expect(merged.exit == 2 && merged.error.contains("would take its data in plain"), "\(merged.error)")
        }
        let rebased = try shell("vhdrebase --safe -i key.txt --parent other.vhdx open.avhdx")
        #expect(rebased.exit == 2 && rebased.error.contains("would be written in plain"), "\(rebased.error)")
        let found = try shell("grep -l changed plain.vhdx open.avhdx other.vhdx")
        #expect(found.exit == 1 && found.output.isEmpty)
    }

    /// A file that a key was read from is never replaced: something may be sealed for it alone.
    @Test func keysAreNotReplaced() throws {
        try family()
        let names = ["key.txt", "disk.key", "secret", "people"]
        let made = try shell(
            "seal-keygen -y key.txt > people && vhdcreate -q --seal --key-file disk.key disk.vhdx 8M && seal -q -i key.txt "
                + "-R people -o log.sealed log.hrl || seal -q -R people -o log.sealed log.hrl")
        #expect(made.exit == 0, "\(made.error)")
        let before = try names.map { try folder.bytes($0) }
        for command in [
            "seal -f --key-file disk.key -o disk.key log.hrl", "seal -f --passphrase-file secret -o secret log.hrl",
            "seal -f -R people -o people log.hrl", "seal -f --image -R people -o people log.hrl",
            "unseal -f -i key.txt -o key.txt log.sealed", "hrl-merge -f -i key.txt log.sealed -o key.txt",
            "hrl-apply -f --key-file disk.key --undo disk.key --to disk.vhdx log.hrl",
            "vhdconvert -f --seal --key-file disk.key -O vhdx disk.vhdx disk.key",
            "vhdcat -f --key-file disk.key -o disk.key disk.vhdx", "unseal -f -i key.txt -o log.sealed < log.sealed",
        ] {
            let result = try shell(command)
            #expect(
                result.exit == 2 && result.error.contains("the output is "),
                "\(command): \(result.exit) \(result.error)")
        }
        #expect(try names.map { try folder.bytes($0) } == before)
        #expect(
            try shell(
                "vhdcat --key-file disk.key disk.vhdx | cmp - old && unseal -q -i key.txt log.sealed | cmp - log.hrl"
            ).exit == 0)
    }

    /// An identity in the place of a file's name is not repeated anywhere.
    @Test func identitiesAreNoArguments() throws {
        let secret = try String(decoding: folder.bytes("key.txt"), as: UTF8.self)
            .split(separator: "\n").first { $0.hasPrefix("AGE-") }.map(String.init)
        let identity = try #require(secret)
        for (tool, arguments) in [
            ("unseal", ["-i", identity, "x"]), ("seal", ["--json", "-R", identity.lowercased(), "x"]),
            ("vhdinfo", ["--case-log", "log", "-i", identity, "x"]),
        ] {
            let result = try folder.run(tool, arguments)
            #expect(result.exit == 64 && result.error.contains("as an argument"))
            #expect(result.error.contains("and make a new one"))
            #expect(!(result.error + result.output.uppercased()).contains(identity.dropFirst(20)))
            guard arguments.contains("--json") else {
                #expect(result.output.isEmpty)
                continue
            }
            let document = try folder.document(result, "seal")
            #expect(
                (document["error"] as? [String: Any])?["kind"] as? String == "usage" && document["exit"] as? Int == 64)
        }
        #expect(try !folder.scratch.names().contains("log"))
    }

    @Test func lockedParentsAreNoErrorsOfTheChild() throws {
        try family()
        let check = try shell("vhdcheck -i other.txt theirs.avhdx")
        #expect(
            check.exit == 4 && check.output.isEmpty && check.error.contains("none of the secrets"), "\(check.error)")
        let info = try shell("vhdinfo -i other.txt theirs.avhdx")
        #expect(info.exit == 4 && info.output.contains("parent sealed"), "\(info.output)\(info.error)")
        let chain = try shell("vhdinfo --chain -i other.txt theirs.avhdx")
        #expect(chain.exit == 4, "\(chain.output)\(chain.error)")
        #expect(chain.output.contains("parent     ") && chain.output.contains("which is sealed, and opens with no key"))
        #expect(chain.output.contains("give its key too") && !chain.output.contains("bring the right parent back"))
        #expect(!chain.output.contains("looked"), "\(chain.output)")
    }

    /// A raw disk has no signature: a sealed one whose first bytes are damaged must not pass for one, keys or none.
    @Test func damagedEnvelopesAreNoRawDisks() throws {
        _ = try folder.scratch.write("disk.raw", SealFolder.text(1 << 20))
        let made = try shell(
            "seal -q --image --key-file disk.key -o s disk.raw && printf X | dd of=s bs=1 conv=notrunc status=none && "
                + "vhdcreate -q new.vhdx 1M && hrl-diff -q --format raw disk.raw new.vhdx -o log.hrl")
        #expect(made.exit == 0, "\(made.error)")
        let before = try folder.bytes("s")
        for command in ["vhdcat --format raw s", "hrl-apply --format raw --to s log.hrl", "vhdinfo --format raw s"] {
            let result = try shell("unset VHDTOOLS_PASSPHRASE_COMMAND; \(command) < /dev/null")
            #expect(result.exit == 4 && result.output.isEmpty, "\(command): \(result.error)")
        }
        #expect(try folder.bytes("s") == before)
        let read = try shell("vhdcat --key-file disk.key --format raw s | cmp - disk.raw")
        #expect(read.exit == 0, "\(read.error)")
    }

    /// Nor where more than an image's two envelopes is gone, or a stream has lost its only one.
    @Test func damagedStartsAreNoRawDisks() throws {
        // The stream's length is made one of a raw disk.
        let made = try shell(
            "for n in $(seq 0 511); do head -c $((65536 + n)) /dev/zero | seal -q --key-file disk.key > s; "
                + "[ $(($(stat -c %s s) % 512)) = 0 ] && break; done; cp s stream && "
                + "head -c 1M /dev/zero > d && seal -q --image --key-file disk.key -o image d && "
                + "vhdcreate -q new.vhdx 1M && hrl-diff -q --format raw d new.vhdx -o log.hrl")
        #expect(made.exit == 0, "\(made.error)")
        #expect(try folder.bytes("stream").count % 512 == 0)
        for (name, count) in [("stream", 1), ("stream", 512), ("stream", 4096), ("image", 65_544), ("image", 200_000)] {
            let spoilt = try shell("cp \(name) s && dd if=/dev/zero of=s bs=\(count) count=1 conv=notrunc status=none")
            #expect(spoilt.exit == 0)
            let before = try folder.bytes("s")
            for command in [
                "vhdcat --format raw", "vhdcompare --format raw new.vhdx", "hrl-apply log.hrl --format raw --to",
            ] {
                for key in ["", "--key-file disk.key"] {
                    let result = try shell("\(command) s \(key) < /dev/null")
                    #expect(result.exit == 2 && result.output.isEmpty, "\(name) \(count) \(command)")
                    #expect(result.error.contains("s: is a sealed file whose start is damaged"), "\(result.error)")
                }
            }
            #expect(try folder.bytes("s") == before)
        }
    }

    @Test func keysWithoutASeal() throws {
        let made = try shell("vhdcreate --key-file disk.key new.vhdx 8M")
        #expect(made.exit == 64 && made.error.contains("a key goes with --seal"), "\(made.error)")
        #expect(try !folder.scratch.names().contains("new.vhdx"))
    }

    @Test func sealedTwice() throws {
        let made = try shell(
            "vhdcreate -q --seal --key-file disk.key a 8M -O vhdx && seal -q --image --key-file disk.key -o b a && "
                + "vhdinfo --key-file disk.key b")
        #expect(made.exit == 2 && made.error.contains("holds another sealed file"), "\(made.error)")
        let written = try shell("vhdresize --format raw --key-file disk.key b 99M")
        #expect(written.exit == 2 && written.error.contains("holds another sealed file"), "\(written.error)")
    }

    /// The command's first line counts, whatever follows, and however long it goes on where a passphrase shows at once to be the
    /// right one. A new one counts when the command has ended well.
    @Test func passphraseCommandsThatGoOn() throws {
        _ = try folder.scratch.write("plain", SealFolder.text(1000))
        // The second one ends when it is let, which is after seal did.
        let result = try shell(
            "mkfifo gate; export VHDTOOLS_PASSPHRASE_COMMAND; for rest in yes 'cat gate'; do "
                + "VHDTOOLS_PASSPHRASE_COMMAND='cat secret; yes' seal -p -o s -f -q plain && "
                + "VHDTOOLS_PASSPHRASE_COMMAND=\"cat secret; $rest\" unseal s | cmp - plain && echo right; done; : > gate"
        )
        #expect(result.exit == 0 && result.output == "right\nright\n", "\(result.error)")
        let failing = try folder.run(
            "seal", ["-p", "-o", "s", "-f", "plain"], environment: ["VHDTOOLS_PASSPHRASE_COMMAND": "cat secret; exit 3"]
        )
        #expect(failing.exit == 4 && failing.error.contains("exit code 3"), "\(failing.error)")
        let before = try folder.bytes("s")
        let complaint = try folder.run(
            "seal", ["-p", "-o", "s", "-f", "plain"],
            environment: ["VHDTOOLS_PASSPHRASE_COMMAND": "echo vault: timed out; sleep 3; exit 1"])
        #expect(complaint.exit == 4 && complaint.error.contains("exit code 1"), "\(complaint.error)")
        #expect(try folder.bytes("s") == before)
    }

    /// What a key was read into is in no core.
    @Test func noCores() throws {
        let made = try shell("truncate -s 4M raw && seal -q --image --key-file disk.key -o s raw && mkfifo pipe")
        #expect(made.exit == 0, "\(made.error)")
        let limits = try shell(
            "vhdcat --format raw --key-file disk.key -o - s > pipe & exec 3< pipe; head -c 1 <&3 > byte; "
                + "grep 'core file' /proc/$!/limits; kill -KILL $!; wait")
        #expect(limits.output.split(separator: " ").dropFirst(4).prefix(2) == ["1", "1"], "\(limits.output)")
        // Nor what it was made into by one who only has the public key.
        let sealing = try shell(
            "seal -R \(folder.recipient) < pipe > s2 & exec 3> pipe; for turn in {1..200}; do "
                + "told=$(grep 'core file' /proc/$!/limits); case $told in *' 1 '*) break;; esac; sleep 0.05; done; "
                + "echo $told; exec 3>&-; wait $!")
        #expect(sealing.exit == 0)
        #expect(sealing.output.split(separator: " ").dropFirst(4).prefix(2) == ["1", "1"], "\(sealing.output)")
    }
}
