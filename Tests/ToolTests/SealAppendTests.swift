import BlockIO
import Foundation
import Testing
import ToolTesting

/// seal --append, --dry-run and --hash, and what seal-status and unseal have of them.
@Suite struct SealAppendTests {
    private let folder: SealFolder

    init() throws { folder = try SealFolder() }

    private func append(_ arguments: String..., input: [UInt8] = []) throws -> ProgramResult {
        try folder.run("seal", ["--append", "-i", "key.txt", "-o", "s"] + arguments, input: input)
    }

    private func contents() throws -> [UInt8] {
        let opened = try folder.run("unseal", ["-i", "key.txt", "s"])
        #expect(opened.exit == 0, "\(opened.error)")
        return opened.outputBytes
    }

    @Test func moreAndMore() throws {
        let text = SealFolder.text(200_000)
        try folder.seal("s", text, "--passphrase-file", "secret")
        let first = try append(input: [1, 2, 3])
        #expect(first.exit == 0 && first.error.isEmpty, "\(first.error)")
        #expect(first.output == "s: 3 bytes added to the sealed stream, for 2 keys\n", "\(first.output)")
        // With holes, from a file; and nothing.
        #expect(try folder.shell("truncate -s 100000 holes").exit == 0)
        #expect(try append("holes").exit == 0)
        #expect(try append().exit == 0)
        let expected = text + [1, 2, 3] + [UInt8](repeating: 0, count: 100_000)
        #expect(try contents() == expected)
        let other = try folder.shell("VHDTOOLS_PASSPHRASE_COMMAND='cat secret' seal --append -o s plain")
        #expect(other.exit == 0, "\(other.error)")
        #expect(try contents() == expected + text)
        guard let theirs = try folder.secondReader(["--identity", "key.txt"], "s") else { return }
        #expect(theirs.exit == 0 && theirs.outputBytes == expected + text, "\(theirs.error)")
    }

    /// A cut stream goes on behind its last whole frame; an input that fails leaves a stream without an end, and says so.
    @Test func openStreams() throws {
        try folder.seal("s", [1, 2, 3])
        #expect(try append(input: SealFolder.text(100_000)).exit == 0)
        _ = try folder.scratch.write("s", Array(try folder.bytes("s").dropLast(50_000)))
        let mended = try append(input: [4, 5])
        #expect(mended.exit == 3 && mended.error.contains("the stream had been cut off: "), "\(mended.error)")
        #expect(try contents() == [1, 2, 3, 4, 5])
        let failed = try folder.shell("seal --append -i key.txt -o s < .")
        #expect(failed.exit == 2 && failed.output.isEmpty, "\(failed.error)")
        #expect(failed.error.contains("has no end now; to end it, append again"), "\(failed.error)")
        let open = try folder.run("unseal", ["-i", "key.txt", "s"])
        #expect(open.exit == 3 && open.outputBytes == [1, 2, 3, 4, 5])
        #expect(try append().exit == 0)
        #expect(try contents() == [1, 2, 3, 4, 5])
    }

    /// A stream that came through a pipe and was cut is one frame without an end: what of it can be read is not thrown away,
    /// unless that is asked for. The dry run answers as the run does.
    @Test func cutPipes() throws {
        let text = SealFolder.text(200_000)
        _ = try folder.scratch.write("plain", text)
        #expect(try folder.shell("seal -R \(folder.recipient) < plain | head -c 150000 > s").exit == 0)
        let before = try folder.bytes("s")
        for end in [["--dry-run"], []] {
            let refused = try folder.run("seal", ["--append", "-i", "key.txt", "-o", "s", "--json"] + end, input: [1])
            #expect(refused.exit == 2 && refused.error.contains("131072 bytes of text"), "\(refused.error)")
            #expect(refused.error.contains("unseal to standard output gives them"), "\(refused.error)")
            _ = try folder.document(refused, "seal")
            #expect(try folder.bytes("s") == before)
        }
        let saved = try folder.run("unseal", ["-i", "key.txt", "s"])
        #expect(saved.exit == 3 && saved.outputBytes == Array(text.prefix(131_072)))
        let told = try folder.run("seal", ["--append", "-f", "--dry-run", "-i", "key.txt", "-o", "s", "secret"])
        #expect(told.exit == 3 && told.output.hasPrefix("s: would add "), "\(told.output)\(told.error)")
        #expect(told.error.contains("would be taken away, with 131072 bytes of text"), "\(told.error)")
        #expect(try folder.bytes("s") == before)
        let cut = try append("-f", input: [1, 2])
        #expect(cut.exit == 3 && cut.error.contains("were taken away, with 131072 bytes of text"), "\(cut.error)")
        #expect(try contents() == [1, 2])
    }

    /// What came before an input failed is a whole frame, however long.
    @Test func failingInputs() throws {
        let text = SealFolder.text(3_000_000)
        try folder.seal("s", [1])
        _ = try folder.scratch.write("plain", text)
        // Its progress is written into the input, which is found at its end.
        let failed = try folder.shell("seal --append -i key.txt -o s --progress 3 plain 3>>plain")
        #expect(
            failed.exit == 2 && failed.error.contains("the stream keeps the 3000000 bytes that came"), "\(failed.error)"
        )
        let open = try folder.run("unseal", ["-i", "key.txt", "s"])
        #expect(open.exit == 3 && open.outputBytes == [1] + text)
        #expect(try append(input: [2]).exit == 0)
        #expect(try contents() == [1] + text + [2])
    }

    /// Where the output fails, its last frame is not finished, and the message does not promise more.
    @Test func fullDisk() throws {
        try folder.seal("s", [1])
        _ = try folder.scratch.write("plain", SealFolder.text(5_000_000))
        let failed = try folder.shell("ulimit -f 3000; seal --append -i key.txt -o s plain")
        #expect(failed.exit == 2 && failed.error.contains("its last frame is not finished"), "\(failed.error)")
        #expect(try append().exit == 2)
        #expect(try append("-f").exit == 3)
        #expect(try contents() == [1])
    }

    /// The stream that gets more is neither what is added nor a key; the dry run knows it, too.
    @Test func inputsAreNoOutputs() throws {
        try folder.seal("s", [1, 2, 3], "--key-file", "disk.key")
        try folder.seal("k", [UInt8](repeating: 7, count: 40), "--key-file", "disk.key")
        let before = try (folder.bytes("s"), folder.bytes("k"), folder.bytes("disk.key"))
        for command in [
            "seal --append --key-file disk.key -o s < s", "seal --append --key-file disk.key --key-file k -o k plain",
            "seal --append --passphrase-fd 3 -o s plain 3<s", "seal -f --key-file disk.key -o disk.key plain",
            "seal -f --key-file disk.key -o s < s", "seal -f --key-file disk.key -o . plain",
        ] {
            for end in ["", " --dry-run"] {
                let refused = try folder.shell(command + end)
                #expect(refused.exit == 2 && refused.output.isEmpty, "\(command + end): \(refused.error)")
                let isTold = refused.error.contains("the output is") || refused.error.contains("not a regular file")
                #expect(isTold, "\(command + end): \(refused.error)")
            }
        }
        let after = try (folder.bytes("s"), folder.bytes("k"), folder.bytes("disk.key"))
        #expect(before == after)
        let writer = try PosixFile(folder.scratch.path("s"), .write)
        #expect(try folder.shell("seal -f --dry-run --key-file disk.key -o s plain").exit == 5)
        withExtendedLifetime(writer) {}
        #expect(try folder.shell("seal --dry-run --key-file disk.key -o absent/s plain").exit == 2)
    }

    /// A frame that was torn before its first segment was there: the dry run says what the run would take away.
    @Test func tornTails() throws {
        try folder.seal("s", [1, 2, 3])
        #expect(try append(input: SealFolder.text(1000)).exit == 0)
        var torn = Array(try folder.bytes("s").dropLast(84))
        torn[torn.count - 500] ^= 1
        _ = try folder.scratch.write("s", torn)
        let told = try append("--dry-run", "plain")
        #expect(
            told.exit == 3 && told.error.contains("1068 bytes of an unfinished frame would be taken away"),
            "\(told.error)")
        #expect(try folder.bytes("s") == torn)
        let cut = try append("plain")
        #expect(
            cut.exit == 3 && cut.error.contains("1068 bytes of an unfinished frame were taken away"), "\(cut.error)")
    }

    @Test func refusals() throws {
        try folder.seal("image", [1], "--image")
        try folder.seal("s", SealFolder.text(200_000))
        var changed = try folder.bytes("s")
        changed[150_000] ^= 1
        _ = try folder.scratch.write("changed", changed + changed)
        let before = try (folder.bytes("s"), folder.bytes("image"), folder.bytes("changed"))
        for (arguments, exit, problem) in [
            (["-i", "other.txt", "-o", "s", "plain"], Int32(4), "none of the secrets opens it, or it was changed"),
            (["-i", "key.txt", "-o", "image", "plain"], 2, "only a stream can get more at its end"),
            (["-i", "key.txt", "-o", "plain", "key.txt"], 2, "SEAL001"),
            (["-i", "key.txt", "-o", "absent", "plain"], 2, "No such file"),
            (["-i", "key.txt", "-o", "s", "./s"], 2, "the output is the input"),
            (["-i", "key.txt", "-o", "s", "absent"], 2, "No such file"),
            (["-i", "key.txt", "plain"], 64, "--append needs -o FILE"),
            (["-i", "key.txt", "-o", "s", "--image", "plain"], 64, "leave out --image"),
            (["--key-file", "s", "-o", "s", "plain"], 2, "the output is a file that a key was read from"),
            (["-i", "key.txt", "-o", "key.txt", "plain"], 2, "SEAL001"),
            (["-i", "key.txt", "-o", "s", "-R", folder.recipient, "plain"], 64, "leave out -R and --pbkdf2"),
        ] {
            for end in [[], ["--dry-run"]] {
                let refused = try folder.run("seal", ["--append"] + end + arguments)
                #expect(refused.exit == exit && refused.output.isEmpty, "\(arguments): \(refused.output)")
                #expect(refused.error.contains(problem), "\(arguments): \(refused.error)")
            }
        }
        let damaged = try folder.run("seal", ["--append", "--dry-run", "-i", "key.txt", "-o", "changed", "plain"])
        #expect(damaged.exit == 4, "\(damaged.error)")
        let misplaced = try folder.run("seal", ["-i", "key.txt", "-R", folder.recipient, "-o", "x", "plain"])
        #expect(misplaced.exit == 64 && misplaced.error.contains("-i goes with --append"))
        let writer = try PosixFile(folder.scratch.path("s"), .write)
        #expect(try append("plain").exit == 5)
        withExtendedLifetime(writer) {}
        let after = try (folder.bytes("s"), folder.bytes("image"), folder.bytes("changed"))
        #expect(before == after)
    }

    @Test func dryRuns() throws {
        try folder.seal("s", [1, 2, 3])
        _ = try folder.scratch.write("there", [9])
        let (names, before) = (try folder.scratch.names(), try folder.bytes("s"))
        for (arguments, exit, told) in [
            (["-R", folder.recipient, "-o", "x"], Int32(0), "x: would seal 3 bytes as stream, for 1 key"),
            (["--image", "--key-file", "disk.key", "-o", "x"], 0, "x: would seal 3 bytes as image, for 1 key"),
            (["-R", folder.recipient], 0, "plain: would seal 3 bytes as stream, for 1 key"),
            (["-R", folder.recipient, "-o", "there"], 2, "use -f to replace it"),
            (["-f", "-R", folder.recipient, "-o", "there"], 0, "there: would seal"),
            (["-R", "age1qqqq", "-o", "x"], 4, "is no recipient"),
            (["--append", "-i", "key.txt", "-o", "s"], 0, "s: would add 3 bytes to the sealed stream, for 1 key"),
        ] {
            let result = try folder.run("seal", ["--dry-run"] + arguments + ["plain"])
            #expect(
                result.exit == exit && (result.output + result.error).contains(told), "\(result.output)\(result.error)")
            guard arguments.contains("-o") else { continue }
            let document = try folder.document(
                try folder.run("seal", ["--json", "--dry-run"] + arguments + ["plain"]), "seal")
            #expect(document["exit"] as? Int32 == exit)
        }
        #expect(try folder.scratch.names() == names)
        #expect(try folder.bytes("s") == before)
        #expect(try folder.bytes("there") == [9])
    }

    @Test(arguments: [[], ["--image"]]) func hashes(kind: [String]) throws {
        let text = SealFolder.text(300_000)
        _ = try folder.scratch.write("plain", text)
        let sum = try folder.shell("sha256sum < plain").output.prefix(64)
        let made = try folder.run(
            "seal", ["--json", "--hash", "sha256,md5", "-R", folder.recipient, "-o", "s", "plain"] + kind)
        let opened = try folder.run("unseal", ["--json", "--hash", "sha256", "-i", "key.txt", "-o", "back", "s"])
        let checked = try folder.run("seal-status", ["--json", "--verify", "--hash", "sha256", "-i", "key.txt", "s"])
        for (tool, result) in [("seal", made), ("unseal", opened), ("seal-status", checked)] {
            let document = try #require(try folder.document(result, tool)["result"] as? [String: Any])
            #expect((document["hashes"] as? [String: String])?["sha256"] == String(sum), "\(tool)")
        }
        let piped = try folder.run("unseal", ["--hash", "sha256", "-i", "key.txt", "s"])
        #expect(piped.outputBytes == text && piped.error == "\(sum)  s  (sha256)\n", "\(piped.error)")
        let shown = try folder.run("seal-status", ["--verify", "--hash", "sha256", "-i", "key.txt", "s"])
        #expect(shown.output.contains("  \(sum)  s  (sha256)\n"))
        #expect(try folder.run("seal-status", ["--hash", "sha256", "-i", "key.txt", "s"]).exit == 64)
    }

    @Test func changesSince() throws {
        try folder.seal("image", SealFolder.text(100_000), "--image")
        let told = try folder.run("seal-status", ["--json", "-i", "key.txt", "image"])
        let first = try #require(try folder.document(told, "seal-status")["result"] as? [String: Any])
        let anchor = try #require(first["anchor"] as? String)
        #expect(first["changes"] is NSNull)
        let since = try folder.run("seal-status", ["--json", "--since", anchor, "-i", "key.txt", "image"])
        let now = try #require(try folder.document(since, "seal-status")["result"] as? [String: Any])
        let changes = try #require(now["changes"] as? [String: Any])
        #expect(changes["bytes"] as? Int == 0 && changes["since"] as? String == anchor)
        // Of the empty image, before the first commit: everything that is no hole.
        let parts = anchor.split(separator: ":")
        let empty = "sealed1:\(parts[1]):0:\(parts[3])"
        let text = try folder.run("seal-status", ["--since", empty, "-i", "key.txt", "image"])
        #expect(text.exit == 0 && text.output.contains("changed since generation 0: 8"), "\(text.output)\(text.error)")
        let later = "sealed1:\(parts[1]):2:\(parts[3])"
        #expect(try folder.run("seal-status", ["--since", later, "-i", "key.txt", "image"]).exit == 4)
        try folder.seal("s", [1])
        let stream = try folder.run("seal-status", ["--since", anchor, "-i", "key.txt", "s"])
        #expect(stream.exit == 2 && stream.error.contains("which has no anchor; leave out --since"), "\(stream.error)")
    }
}
