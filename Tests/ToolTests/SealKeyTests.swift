import Foundation
import Testing
import ToolTesting

/// Where the sealing tools take their keys from, and seal-keygen.
@Suite struct SealKeyTests {
    private let folder: SealFolder

    init() throws { folder = try SealFolder() }

    /// Identities of age open what was sealed to their recipients, and ours are age's.
    @Test func identitiesOfAge() throws {
        guard Peer.find("age-keygen") != nil, Peer.find("age") != nil else { return }
        let result = try folder.shell(
            """
            set -e -o pipefail
            age-keygen -o age.txt 2>/dev/null
            test "$(seal-keygen -y age.txt)" = "$(age-keygen -y age.txt)"
            test "$(seal-keygen -y key.txt)" = "$(age-keygen -y key.txt)"
            age-keygen -y age.txt > recipients; seal-keygen -y key.txt >> recipients
            printf contents | seal -R recipients > s
            unseal -i age.txt s; unseal -i key.txt s
            printf contents | age -R recipients | age -d -i key.txt
            cat age.txt key.txt | unseal -i - s 2>&1 || true
            cat key.txt age.txt | seal-keygen -y - | wc -l
            """)
        #expect(result.exit == 0, "\(result.error)")
        #expect(result.output.hasPrefix("contentscontentscontents"), "\(result.output)")
        #expect(result.output.hasSuffix("2\n"), "\(result.output)")
    }

    /// The second reader, which was written from the format's page.
    @Test func secondReader() throws {
        let text = SealFolder.text(300_000)
        let sealed = try folder.run(
            "seal", ["-R", folder.recipient, "--passphrase-file", "secret", "--key-file", "disk.key"], input: text)
        _ = try folder.scratch.write("s", sealed.outputBytes)
        for key in [["--identity", "key.txt"], ["--key-file", "disk.key"], ["--passphrase", SealFolder.passphrase]] {
            guard let opened = try folder.secondReader(key, "s") else { return }
            #expect(opened.exit == 0 && opened.outputBytes == text, "\(key[0]): \(opened.error)")
        }
        #expect(try folder.secondReader(["--identity", "other.txt"], "s")?.exit == 4)
        let image = try folder.run("seal", ["-f", "--image", "--key-file", "disk.key", "-o", "s"], input: text)
        #expect(image.exit == 0, "\(image.error)")
        let opened = try folder.secondReader(["--key-file", "disk.key"], "s")
        #expect(opened?.exit == 0 && opened?.outputBytes == text, "image: \(opened?.error ?? "")")
    }

    @Test func keygen() throws {
        let path = folder.scratch.path("key.txt")
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        let lines = String(decoding: try folder.bytes("key.txt"), as: UTF8.self).split(separator: "\n")
        #expect(
            lines.count == 3 && lines[0].hasPrefix("# created: ") && lines[1] == "# public key: \(folder.recipient)")
        #expect(lines[2].hasPrefix("AGE-SECRET-KEY-1") && lines[2].count == 74)
        let again = try folder.run("seal-keygen", ["-o", "key.txt"])
        #expect(again.exit == 2 && again.error.contains("a key is never replaced"), "\(again.error)")
        let secret = try folder.bytes("key.txt")
        #expect(try folder.bytes("other.txt") != secret)
        #expect(try folder.bytes("disk.key").count == 32)
        let printed = try folder.run("seal-keygen", [])
        #expect(printed.exit == 0 && printed.error.hasPrefix("Public key: age1"))
        _ = try folder.scratch.write("printed", printed.outputBytes)
        let told = try folder.run("seal-keygen", ["-y", "printed"])
        #expect(printed.error == "Public key: \(told.output)")
        for arguments in [
            ["--json", "-o", "new.txt"], ["--json", "-y", "key.txt"], ["--json", "--key-file", "-o", "new.key"],
        ] {
            let result = try folder.run("seal-keygen", arguments)
            #expect(result.exit == 0 && !result.output.contains("SECRET"))
            if let complaints = try schemaComplaints(result.output, schema: "seal-keygen") { #expect(complaints == "") }
        }
    }

    /// What is no key is refused with its place, and without its text.
    @Test func mistakenKeys() throws {
        let secret = String(decoding: try folder.bytes("key.txt"), as: UTF8.self)
        let line = try #require(secret.split(separator: "\n").last.map(String.init))
        let files: [(String, [UInt8])] = [
            ("mistyped", Array((line.dropLast() + (line.hasSuffix("Q") ? "P" : "Q")).utf8)),
            ("none", Array("# no key\n".utf8)),
            ("short", [UInt8](repeating: 1, count: 31)), ("long", [UInt8](repeating: 1, count: 1 << 20 + 1)),
            ("nothing", []), ("blank", Array("\nsecond line".utf8)), ("endless", [UInt8](repeating: 0x61, count: 4096)),
        ]
        for (name, bytes) in files { _ = try folder.scratch.write(name, bytes) }
        try folder.seal("s", [1])
        for (tool, arguments, problem) in [
            ("unseal", ["-i", "mistyped", "s"], "mistyped: line 1 is no identity"),
            ("unseal", ["-i", "none", "s"], "none: has no identity"),
            ("unseal", ["-i", "long", "s"], "long: has more than 65536 bytes"),
            ("unseal", ["--key-file", "short", "s"], "short: has 31 bytes: a key file has 32 to 1048576"),
            ("unseal", ["--key-file", "long", "s"], "long: has more than 1048576 bytes"),
            ("unseal", ["--passphrase-file", "nothing", "s"], "nothing: the passphrase is empty"),
            ("unseal", ["--passphrase-file", "blank", "s"], "blank: the passphrase is empty"),
            ("unseal", ["--passphrase-file", "endless", "s"], "endless: the passphrase is longer than 4095 bytes"),
            ("unseal", ["s"], "s: no passphrase opens it, and no key was given"),
            ("seal", ["-R", "age1qqqq", "plain"], "age1qqqq: is no recipient"),
            ("seal", ["-R", "none", "plain"], "none: has no recipient"),
            ("seal", ["-R", "mistyped", "plain"], "mistyped: line 1 is no recipient"),
            ("seal-keygen", ["-y", "mistyped"], "mistyped: line 1 is no identity"),
        ] {
            let refused = try folder.run(tool, arguments)
            #expect(refused.exit == 4 && refused.output.isEmpty, "\(arguments): \(refused.error)")
            #expect(refused.error.hasPrefix("\(tool): \(problem)"), "\(refused.error)")
            #expect(!refused.error.contains(line.dropFirst(20).prefix(20)))
        }
        for (command, problem) in [
            ("exit 3", "the command failed: exit code 3"), ("cat secret; exit 3", "the command failed: exit code 3"),
            ("true", "the passphrase is empty"),
        ] {
            let refused = try folder.run(
                "seal", ["-p"], input: [], environment: ["VHDTOOLS_PASSPHRASE_COMMAND": command])
            #expect(refused.exit == 4 && refused.output.isEmpty, "\(refused.error)")
            #expect(refused.error.hasPrefix("seal: $VHDTOOLS_PASSPHRASE_COMMAND: \(problem)"), "\(refused.error)")
        }
    }

    /// On the terminal: without echo, twice for a new one, and only where a passphrase is of use.
    @Test func terminal() throws {
        _ = try folder.scratch.write("plain", [1, 2, 3])
        let program = """
            import os, pty, select, signal, sys, termios
            answers = [a.encode() + b"\\n" for a in sys.argv[2].split(",")]
            pid, terminal = pty.fork()
            if pid == 0:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_SETMASK, [])
                os.execvp("/bin/sh", ["sh", "-c", sys.argv[1]])
            shown = b""
            while True:
                try: piece = os.read(terminal, 4096)
                except OSError: break
                if not piece: break
                shown += piece
                if answers and shown.endswith(b": "): os.write(terminal, answers.pop(0))
            status = os.waitpid(pid, 0)[1]
            sys.stdout.buffer.write(shown)
            print("echo", bool(termios.tcgetattr(terminal)[3] & termios.ECHO))
            print(len(answers), "left, exit", os.waitstatus_to_exitcode(status))
            """
        _ = try folder.scratch.write("terminal.py", Array(program.utf8))
        func ask(_ command: String, _ answers: String) throws -> String {
            try folder.shell("python3 terminal.py '\(command)' '\(answers)'").output
        }
        let made = try ask("seal -p -o s plain", "open sesame,open sesame")
        #expect(made.contains("New passphrase for s: ") && made.contains("The same again: "), "\(made)")
        #expect(!made.contains("sesame") && made.hasSuffix("0 left, exit 0\n"), "\(made)")
        let opened = try ask("unseal -o back s < /dev/null", "open sesame")
        #expect(opened.contains("Passphrase for s: ") && !opened.contains("sesame"), "\(opened)")
        #expect(opened.hasSuffix("0 left, exit 0\n"))
        #expect(try folder.bytes("back") == [1, 2, 3])
        #expect(try ask("seal -p -o t plain", "one,two").contains("the two passphrases differ"))
        #expect(try ask("unseal -o x s", "wrong").hasSuffix("0 left, exit 4\n"))
        // Ctrl-C ends it as usual, and a signal from elsewhere does; the echo is there again.
        let interrupted = try ask("exec unseal -o x s", "\u{3}")
        #expect(interrupted.hasSuffix("echo True\n0 left, exit -2\n"), "\(interrupted)")
        let ended = try ask("(sleep 1; kill -TERM $$) & exec unseal -o x s < /dev/null", "half")
        #expect(ended.contains("echo True\n"), "\(ended)")
        // Nothing is asked where a key is given, nor where no passphrase opens it.
        let keyed = try ask("unseal -i key.txt -o x s", "unused")
        #expect(!keyed.contains("Passphrase") && keyed.hasSuffix("1 left, exit 4\n"), "\(keyed)")
        try folder.seal("k", [1])
        let closed = try ask("unseal -o x k", "unused")
        #expect(!closed.contains("Passphrase") && closed.hasSuffix("1 left, exit 4\n"), "\(closed)")
        #expect(!(try folder.scratch.names().contains { ["t", "x"].contains($0) }))
    }

    /// Neither messages nor documents nor the case log hold a secret, which no command line had.
    @Test func secretsStaySecret() throws {
        let secret = String(decoding: try folder.bytes("key.txt"), as: UTF8.self)
        let key = try #require(secret.split(separator: "\n").last.map(String.init))
        _ = try folder.scratch.write("plain", SealFolder.text(5000))
        let result = try folder.shell(
            """
            exec 2>&1
            seal --json -v --case-log log -R \(folder.recipient) --passphrase-file secret -o s plain
            unseal --json -v --case-log log --passphrase-file secret -o back s
            unseal --json -v --case-log log -i key.txt -i other.txt -o back2 s
            unseal --json -v --case-log log -i other.txt -o back3 s
            seal-status --json -v --case-log log --verify -i key.txt s
            seal-keygen --json -v --case-log log -y key.txt
            cat log
            """)
        #expect(result.exit == 0)
        #expect(result.output.contains(#""previous_sha256""#) && result.output.contains(folder.recipient))
        #expect(!result.output.contains(SealFolder.passphrase) && !result.output.contains(key))
        #expect(try folder.bytes("back") == folder.bytes("plain"))
    }
}
