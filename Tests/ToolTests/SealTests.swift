import Foundation
import Testing
import ToolTesting

/// The built seal and unseal: what goes in comes out, or an error does.
@Suite struct SealTests {
    private let folder: SealFolder

    init() throws { folder = try SealFolder() }

    @Test(arguments: [0, 1, 65535, 65536, 65537, 3_000_000])
    func streams(byteCount: Int) throws {
        let text = SealFolder.text(byteCount)
        _ = try folder.scratch.write("plain", text)
        let sealed = try folder.run("seal", ["-R", folder.recipient], input: text)
        #expect(sealed.exit == 0 && sealed.error.isEmpty, "\(sealed.error)")
        let toFile = try folder.run("seal", ["-R", folder.recipient, "-o", "s", "plain"])
        #expect(toFile.exit == 0 && toFile.output.hasPrefix("s: sealed stream of "), "\(toFile.error)")
        #expect(try folder.bytes("s").count == sealed.outputBytes.count)
        let opened = try folder.run("unseal", ["-i", "key.txt"], input: sealed.outputBytes)
        #expect(opened.exit == 0 && opened.error.isEmpty && opened.outputBytes == text, "\(opened.error)")
        let back = try folder.run("unseal", ["-i", "key.txt", "-o", "back", "s"])
        #expect(back.exit == 0 && back.output.hasSuffix("of a sealed stream, authentic\n"), "\(back.error)")
        #expect(try folder.bytes("back") == text)
    }

    @Test(arguments: ["4K", "16K", "64K"]) func images(chunk: String) throws {
        // Not a whole number of chunks, with a hole that is a chunk's middle too.
        let text = SealFolder.text(3_000_001)
        try folder.seal("image", text, "--image", "--chunk", chunk)
        for name in ["back", "-"] {
            let opened = try folder.run("unseal", ["-f", "-i", "key.txt", "-o", name, "image"])
            #expect(opened.exit == 0, "\(opened.error)")
            #expect(try (name == "-" ? opened.outputBytes : folder.bytes("back")) == text)
        }
        try folder.seal("empty", [], "--image")
        let empty = try folder.run("unseal", ["-i", "key.txt", "empty"])
        #expect(empty.exit == 0 && empty.outputBytes.isEmpty, "\(empty.error)")
        let piped = try folder.run("seal", ["-q", "-R", folder.recipient, "--image", "-o", "piped"], input: text)
        #expect(piped.exit == 0)
        #expect(try folder.run("unseal", ["-i", "key.txt", "piped"]).outputBytes == text)
    }

    /// A disk of 8 GiB with 4 bytes on it: neither the image nor what comes out of it has more.
    @Test func holesStayHoles() throws {
        #expect(
            try folder.shell("truncate -s 8G sparse && printf here | dd of=sparse bs=1 seek=5G conv=notrunc").exit == 0)
        let result = try folder.shell(
            "seal -q --image --key-file disk.key -o s sparse && unseal -q --key-file disk.key -o back s && "
                + "du -k s back | cut -f1 && stat -c %s back && dd if=back bs=1 skip=5G count=4 status=none")
        let lines = result.output.split(separator: "\n")
        #expect(result.exit == 0 && lines.count == 4, "\(result.error)")
        #expect(lines.prefix(2).allSatisfy { (Int($0) ?? .max) < 256 }, "\(result.output)")
        #expect(lines.suffix(2) == ["8589934592", "here"], "\(result.output)")
    }

    /// Every way to a key opens what every way to name it sealed.
    @Test func keys() throws {
        let text = SealFolder.text(1000)
        let list = "# ours\n\n\(folder.recipient)\r\n"
        _ = try folder.scratch.write("recipients", Array(list.utf8))
        let all = ["-R", "recipients", "-p", "--key-file", "disk.key", "--passphrase-file", "secret"]
        let sealed = try folder.run("seal", all, input: text)
        #expect(sealed.exit == 0, "\(sealed.error)")
        _ = try folder.scratch.write("s", sealed.outputBytes)
        for opening in [
            "-i key.txt", "-i other.txt -i key.txt", "--key-file disk.key", "--passphrase-file secret",
            "--passphrase-fd 3 3<secret", "--passphrase-file <(cat secret)", "-i other.txt --passphrase-file secret",
            "-i <(cat key.txt)",
        ] {
            let opened = try folder.shell("unseal s \(opening)")
            #expect(opened.exit == 0 && opened.outputBytes == text, "\(opening): \(opened.error)")
        }
        // A line from a descriptor leaves what is behind it: here what is to be sealed.
        let piped = try folder.shell(
            "(cat secret; printf contents) | seal --passphrase-fd 0 | unseal --passphrase-file secret")
        #expect(piped.exit == 0 && piped.output == "contents", "\(piped.error)")
        let taken = try folder.shell("cat secret s | unseal --passphrase-fd 0")
        #expect(taken.exit == 64 && taken.output.isEmpty, "\(taken.error)")
        let both = try folder.shell("unseal --passphrase-fd 0 < s")
        #expect(both.exit == 64 && both.error.contains("and the passphrase come by the same descriptor"))
        let status = try folder.run("seal-status", ["--passphrase-fd", "0", "-"], input: [1])
        #expect(status.exit == 64 && status.error.contains("and the passphrase come by the same descriptor"))
        for command in [
            "cat secret", "printf '%s\\r\\nmore' \"$(cat secret)\"", "cat secret /dev/zero | head -c 3000000",
        ] {
            let opened = try folder.run("unseal", ["s"], environment: ["VHDTOOLS_PASSPHRASE_COMMAND": command])
            #expect(opened.exit == 0 && opened.outputBytes == text, "\(command): \(opened.error)")
        }
        for (opening, problem) in [
            ("-i other.txt", "none of the secrets opens it, or it was changed"),
            ("--key-file other.txt", "none of the secrets opens it, or it was changed"),
            ("--passphrase-file key.txt", "none of the secrets opens it, or it was changed"),
        ] {
            let refused = try folder.shell("unseal s \(opening)")
            #expect(refused.exit == 4 && refused.output.isEmpty && refused.error.contains(problem), "\(refused.error)")
        }
    }

    @Test func pbkdf2() throws {
        let sealed = try folder.run("seal", ["--pbkdf2", "--passphrase-file", "secret"], input: [1, 2, 3])
        let opened = try folder.run("unseal", ["--passphrase-file", "secret"], input: sealed.outputBytes)
        #expect(opened.exit == 0 && opened.outputBytes == [1, 2, 3], "\(opened.error)")
        let status = try folder.run("seal-status", ["-"], input: sealed.outputBytes)
        #expect(status.output.contains("slot 1: passphrase, PBKDF2 with SHA-512, 600000 rounds\n"))
    }

    @Test func manyKeys() throws {
        let arguments = (0..<32).flatMap { _ in ["-R", folder.recipient] }
        let sealed = try folder.run("seal", arguments, input: [7])
        #expect(sealed.exit == 0)
        #expect(try folder.run("unseal", ["-i", "key.txt"], input: sealed.outputBytes).outputBytes == [7])
        let refused = try folder.run("seal", arguments + ["--passphrase-file", "secret"], input: [7])
        #expect(refused.exit == 2 && refused.error.contains("33 keys to seal for; give 32 at most"), "\(refused.error)")
    }

    // MARK: What is not authentic

    @Test func changedBytes() throws {
        let text = SealFolder.text(400_000)
        try folder.seal("s", text)
        let sealed = try folder.bytes("s")
        for (place, kept) in [(40, 0), (100, 0), (240, 0), (300, 0), (200_000, 196_608), (sealed.count - 1, 400_000)] {
            var changed = sealed
            changed[place] ^= 1
            _ = try folder.scratch.write("changed", changed)
            let opened = try folder.run("unseal", ["-i", "key.txt", "changed"])
            #expect(opened.exit == 4, "\(place): \(opened.error)")
            #expect(opened.outputBytes == Array(text.prefix(kept)), "\(place): \(opened.outputBytes.count)")
            let names = try folder.scratch.names()
            let toFile = try folder.run("unseal", ["-i", "key.txt", "--allow-open", "-o", "out", "changed"])
            #expect(toFile.exit == 4 && toFile.output.isEmpty && toFile.error.hasPrefix("unseal: changed: "))
            #expect(try folder.scratch.names() == names, "\(place)")
        }
        for (bytes, code) in [(sealed + [0], "SEAL008"), (Array(sealed.prefix(50)), "SEAL001"), (text, "SEAL001")] {
            let refused = try folder.run("unseal", ["-i", "key.txt", "-o", "out"], input: bytes)
            #expect(refused.exit == 2 && refused.error.contains(code), "\(refused.error)")
        }
        #expect(!(try folder.scratch.names().contains { $0.contains("out") }))
    }

    @Test func changedImages() throws {
        let text = SealFolder.text(300_000)
        try folder.seal("image", text, "--image")
        var changed = try folder.bytes("image")
        changed[changed.count - 50] ^= 0x80
        _ = try folder.scratch.write("image", changed)
        let before = try folder.scratch.names()
        let refused = try folder.run("unseal", ["-i", "key.txt", "-o", "out", "image"])
        #expect(
            refused.exit == 4 && refused.error.contains("the bytes are not those that were sealed (offset 0x48000)"))
        #expect(try folder.scratch.names() == before)
        let status = try folder.run("seal-status", ["--verify", "-i", "key.txt", "image"])
        #expect(status.exit == 4 && status.error.contains("(offset 0x48000)"), "\(status.error)")
        #expect(status.output.hasSuffix("  the envelope is authentic, but not everything else\n"), "\(status.output)")
        let document = try folder.run("seal-status", ["--json", "--verify", "-i", "key.txt", "image"])
        if let complaints = try schemaComplaints(document.output, schema: "seal-status") { #expect(complaints == "") }
        let line = try #require(try jsonLines(document.output).first)
        #expect((line["error"] as? [String: Any])?["kind"] as? String == "key" && line["exit"] as? Int == 4)
    }

    @Test func openStreams() throws {
        let text = SealFolder.text(400_000)
        try folder.seal("s", text)
        _ = try folder.scratch.write("cut", Array(try folder.bytes("s").prefix(200_000)))
        let opened = try folder.run("unseal", ["-i", "key.txt", "cut"])
        #expect(opened.exit == 3 && opened.error.contains("SEAL010") && !opened.outputBytes.isEmpty)
        #expect(opened.outputBytes == Array(text.prefix(opened.outputBytes.count)))
        let refused = try folder.run("unseal", ["-i", "key.txt", "-o", "out", "cut"])
        #expect(refused.exit == 2 && refused.error.contains("--allow-open"), "\(refused.error)")
        #expect(!(try folder.scratch.names().contains("out")))
        let taken = try folder.run("unseal", ["--json", "-i", "key.txt", "--allow-open", "-o", "out", "cut"])
        #expect(taken.exit == 3)
        #expect(try folder.bytes("out") == opened.outputBytes)
        let line = try #require(try jsonLines(taken.output).first)
        #expect((line["result"] as? [String: Any])?["complete"] as? Bool == false)
        if let complaints = try schemaComplaints(taken.output, schema: "unseal") { #expect(complaints == "") }
        let status = try folder.run("seal-status", ["--verify", "-i", "key.txt", "cut"])
        #expect(status.exit == 3 && status.output.hasSuffix("authentic as far as it goes: the end is missing\n"))
    }

    @Test func anchors() throws {
        try folder.seal("image", SealFolder.text(100_000), "--image")
        let line = try #require(
            try jsonLines(try folder.run("seal-status", ["--json", "-i", "key.txt", "image"]).output).first)
        let anchor = try #require((line["result"] as? [String: Any])?["anchor"] as? String)
        #expect(try folder.run("unseal", ["--anchor", anchor, "-i", "key.txt", "image"]).exit == 0)
        var parts = anchor.split(separator: ":").map(String.init)
        parts[2] = "2"
        for wrong in [
            parts.joined(separator: ":"), anchor.dropLast() + (anchor.hasSuffix("0") ? "1" : "0"),
        ] {
            let refused = try folder.run("unseal", ["--anchor", String(wrong), "-i", "key.txt", "image"])
            #expect(refused.exit == 4 && refused.output.isEmpty && refused.error.contains("anchor"), "\(refused.error)")
        }
        #expect(try folder.run("unseal", ["--anchor", "sealed1:1", "-i", "key.txt", "image"]).exit == 64)
        try folder.seal("s", [1])
        let stream = try folder.run("unseal", ["--anchor", anchor, "-i", "key.txt", "s"])
        #expect(stream.exit == 2 && stream.error.contains("which has no anchor"), "\(stream.error)")
    }

    // MARK: Outputs

    @Test func outputsAreNew() throws {
        try folder.seal("s", [1, 2, 3])
        _ = try folder.scratch.write("there", [9])
        for (tool, arguments, problem) in [
            ("seal", ["-R", folder.recipient, "-o", "there", "plain"], "use -f to replace it"),
            ("seal", ["-f", "-R", folder.recipient, "-o", "./plain", "plain"], "the output is the input"),
            ("unseal", ["-i", "key.txt", "-o", "there", "s"], "use -f to replace it"),
            ("unseal", ["-f", "-i", "key.txt", "-o", "./s", "s"], "the output is the input"),
            ("unseal", ["-i", "key.txt", "absent"], "No such file"),
            ("seal", ["-R", folder.recipient, "-o", "x", "absent"], "No such file"),
        ] {
            let refused = try folder.run(tool, arguments)
            #expect(refused.exit == 2 && refused.error.contains(problem), "\(arguments): \(refused.error)")
        }
        #expect(try folder.bytes("there") == [9])
        #expect(try folder.run("unseal", ["-f", "-i", "key.txt", "-o", "there", "s"]).exit == 0)
        #expect(try folder.bytes("there") == [1, 2, 3])
        let full = try folder.shell("seal -R \(folder.recipient) plain > /dev/full")
        #expect(full.exit == 2 && full.error.contains("standard output: ") && full.error.contains("No space left"))
        let terminal = try folder.shell("script -qec 'seal -R \(folder.recipient) plain' /dev/null < /dev/null")
        #expect(terminal.output.contains("bytes are not written to a terminal"), "\(terminal.output)")
    }

    @Test func usage() throws {
        for (tool, arguments) in [
            ("seal", ["plain"]), ("seal", ["--pbkdf2", "-R", folder.recipient]),
            ("seal", ["--image", "-R", folder.recipient]),
            ("seal", ["--chunk", "16K", "-R", folder.recipient]),
            ("seal", ["--image", "--chunk", "5000", "-R", folder.recipient, "-o", "x"]),
            ("seal", ["--json", "-R", folder.recipient]), ("seal", ["--passphrase-fd", "77"]),
            ("seal", ["--passphrase-fd", "0", "--passphrase-file", "secret"]), ("unseal", ["--json", "s"]),
            ("seal-status", []), ("seal-keygen", ["-y", "key.txt", "-o", "x"]), ("seal-keygen", ["--json"]),
        ] {
            let refused = try folder.run(tool, arguments)
            #expect(refused.exit == 64 && refused.error.hasPrefix("Error: "), "\(tool) \(arguments)")
        }
        for tool in ["seal", "unseal", "seal-keygen", "seal-status"] {
            let help = try folder.run(tool, ["--help"])
            #expect(help.exit == 0 && help.output.contains("EXAMPLES\n"))
        }
    }

    @Test func documents() throws {
        for options in [[], ["--image"]] {
            _ = try folder.scratch.write("plain", SealFolder.text(70_000))
            let made = try folder.run(
                "seal",
                ["--json", "-f", "-R", folder.recipient, "--passphrase-file", "secret", "-o", "s", "plain"] + options)
            let opened = try folder.run("unseal", ["--json", "-f", "-i", "key.txt", "-o", "back", "s"])
            for (tool, output) in [
                ("seal", made.output), ("unseal", opened.output),
                ("seal-status", try folder.run("seal-status", ["--json", "s"]).output),
                ("seal-status", try folder.run("seal-status", ["--json", "--verify", "-i", "key.txt", "s"]).output),
                ("seal-status", try folder.run("seal-status", ["--json", "-i", "other.txt", "s"]).output),
                ("unseal", try folder.run("unseal", ["--json", "-i", "other.txt", "-o", "x", "s"]).output),
            ] {
                if let complaints = try schemaComplaints(output, schema: tool) {
                    #expect(complaints == "", "\(output)")
                }
            }
            let line = try #require(try jsonLines(made.output).first)
            let result = try #require(line["result"] as? [String: Any])
            #expect(result["keys"] as? Int == 2 && result["length"] as? Int == 70_000)
            #expect(result["file_size"] as? Int == (try folder.bytes("s").count))
        }
        let status = try folder.run("seal-status", ["s"])
        #expect(status.output.hasSuffix("  not authenticated: this is only what the file says about itself\n"))
    }
}
