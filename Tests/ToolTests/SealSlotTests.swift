import BlockIO
import Foundation
import Testing
import ToolTesting

/// The built seal-slot: keys that come and go.
@Suite struct SealSlotTests {
    private let folder: SealFolder
    /// Of `other.txt`.
    private let other: String
    private let text = SealFolder.text(200_000)

    /// With `image`, sealed to `key.txt`.
    init() throws {
        folder = try SealFolder()
        let told = try folder.run("seal-keygen", ["-y", "other.txt"])
        other = told.output.trimmingCharacters(in: .newlines)
        try folder.seal("image", text, "--image", "--chunk", "4K")
    }

    private func opens(_ key: String..., name: String = "image") throws -> Bool {
        let result = try folder.run("unseal", key + [name])
        guard result.exit == 0 else {
            #expect(result.exit == 4 && result.outputBytes.isEmpty, "\(result.error)")
            return false
        }
        #expect(result.outputBytes == text)
        return true
    }

    private func slot(_ arguments: String...) throws -> ProgramResult { try folder.run("seal-slot", arguments) }

    @Test func addedAndRemoved() throws {
        let before = try folder.bytes("image")
        let added = try slot(
            "add", "-i", "key.txt", "-R", other, "--new-passphrase-file", "secret", "--new-key-file", "disk.key",
            "image")
        #expect(added.exit == 0 && added.error.isEmpty, "\(added.error)")
        #expect(
            added.output == """
                image: slot 2 added: recipient, X25519
                image: slot 3 added: key file
                image: slot 4 added: passphrase, scrypt 2^17, 8, 1: 128 MiB of memory
                  it has 4 slots now

                """, "\(added.output)")
        for key in [
            ["-i", "key.txt"], ["-i", "other.txt"], ["--key-file", "disk.key"], ["--passphrase-file", "secret"],
        ] {
            #expect(try opens(key[0], key[1]))
        }
        let removed = try slot("remove", "--key-file", "disk.key", "image", "1", "3", "1")
        #expect(removed.exit == 0 && removed.output.hasSuffix("  it has 2 slots now\n"), "\(removed.error)")
        #expect(
            removed.output.contains("slot 1 removed: recipient") && removed.output.contains("slot 3 removed: key file"))
        #expect(removed.error.contains("slot 3 was the one that the key given opens\n"))
        #expect(removed.error.contains("may have kept its data key") && removed.error.contains("seal-slot rotate"))
        #expect(try !opens("-i", "key.txt"))
        #expect(try !opens("--key-file", "disk.key"))
        #expect(try opens("-i", "other.txt"))
        #expect(try opens("--passphrase-file", "secret"))
        let after = try folder.bytes("image")
        #expect(before.count == after.count && before.dropFirst(131_072) == after.dropFirst(131_072))
        for (key, exit) in [("other.txt", Int32(0)), ("key.txt", 4)] {
            guard let theirs = try folder.secondReader(["--identity", key], "image") else { return }
            #expect(theirs.exit == exit && (exit != 0 || theirs.outputBytes == text), "\(key): \(theirs.error)")
        }
    }

    /// What cannot be done leaves the file as it is.
    @Test func refusals() throws {
        try folder.seal("stream", [1, 2, 3])
        let before = try (folder.bytes("image"), folder.bytes("stream"), folder.bytes("plain"))
        let many = (0..<32).flatMap { _ in ["-R", other] }
        for (arguments, exit, problem) in [
            (
                ["add", "-i", "other.txt", "-R", other, "image"], Int32(4),
                "none of the secrets opens it, or it was changed"
            ),
            (["add", "-i", "key.txt", "-R", "age1qqqq", "image"], 4, "is no recipient"),
            (["add", "-i", "key.txt"] + many + ["image"], 2, "it has 32 slots, and there is no room for more"),
            (["add", "-i", "key.txt", "-R", other, "stream"], 2, "its frames are bound to its slots"),
            (["add", "-p", "stream"], 2, "unseal FILE | seal -R RECIPIENT -o NEW"),
            (["add", "-i", "key.txt", "-R", other, "plain"], 2, "SEAL001"),
            (["add", "-i", "key.txt", "-R", other, "absent"], 2, "No such file"),
            (["add", "-i", "key.txt", "-R", other, "--case-log", "image", "image"], 2, "case log"),
            (["remove", "-i", "key.txt", "image", "1"], 2, "no slot would be left that opens it"),
            (["remove", "-i", "key.txt", "image", "2"], 2, "there is no slot 2: it has 1; seal-status shows them"),
            (["remove", "-i", "other.txt", "image", "1"], 4, "none of the secrets opens it, or it was changed"),
            (["remove", "-i", "key.txt", "stream", "1"], 2, "its frames are bound to its slots"),
            (["remove", "-i", "key.txt", "image", "0"], 64, "slots count from 1"),
            (["remove", "-i", "key.txt", "image"], 64, "slot"),
            (["add", "-i", "key.txt", "image"], 64, "nothing says"),
            (["add", "-i", "key.txt", "--pbkdf2", "-R", other, "image"], 64, "--pbkdf2 goes with a passphrase"),
            (["add", "--new-passphrase-fd", "77", "image"], 64, "--new-passphrase-fd 77: this descriptor is not open"),
            (["erase", "image"], 2, "nobody could open it any more; insist with -f"),
            (["erase", "-f", "plain"], 2, "SEAL001"), (["rotate", "-i", "key.txt", "image"], 64, "nothing says"),
            (
                ["rotate", "-i", "other.txt", "-R", other, "image"], 4,
                "none of the secrets opens it, or it was changed"
            ),
            (["rotate", "-i", "key.txt", "-R", other, "plain"], 2, "SEAL001"),
            (["rotate", "-i", "key.txt", "-R", other, "absent"], 2, "No such file"),
        ] {
            let refused = try folder.run("seal-slot", arguments)
            #expect(refused.exit == exit && refused.output.isEmpty, "\(arguments): \(refused.exit)")
            #expect(refused.error.contains(problem), "\(arguments): \(refused.error)")
            if exit != 64 { #expect(refused.error.hasPrefix("seal-slot: ")) }
        }
        let after = try (folder.bytes("image"), folder.bytes("stream"), folder.bytes("plain"))
        #expect(before == after)
        #expect(!(try folder.scratch.names().contains { $0.hasSuffix(".tmp") || $0 == "absent" }))
    }

    @Test func dryRuns() throws {
        _ = try slot("add", "-i", "key.txt", "-R", other, "image")
        let before = try folder.bytes("image")
        for (arguments, line) in [
            (["add", "-i", "key.txt", "-R", other], "image: slot 3 would be added: recipient, X25519"),
            (
                ["rotate", "-i", "key.txt", "-R", other],
                "image: sealed image of 195.3 KiB (200000 bytes) would get a new"
            ),
            (["erase"], "image: its keys would be erased"),
        ] {
            let result = try folder.run("seal-slot", arguments + ["--dry-run", "image"])
            #expect(result.exit == 0 && result.output.hasPrefix(line), "\(result.output) \(result.error)")
        }
        let removed = try slot("remove", "--dry-run", "-i", "key.txt", "image", "2")
        #expect(removed.exit == 0 && removed.output.hasSuffix("  it has 1 slot then\n"), "\(removed.error)")
        #expect(try folder.bytes("image") == before)
    }

    /// Readers and writers keep it away, and it keeps them.
    @Test func locks() throws {
        let path = folder.scratch.path("image")
        let before = try folder.bytes("image")
        let commands = [
            ["add", "-i", "key.txt", "-R", other, "image"], ["remove", "-i", "key.txt", "image", "1"],
            ["rotate", "-i", "key.txt", "-R", other, "image"], ["erase", "-f", "image"],
        ]
        let reader = try PosixFile(path)
        try reader.keepWritersAway()
        for command in commands { #expect(try folder.run("seal-slot", command).exit == 5) }
        withExtendedLifetime(reader) {}
        let writer = try PosixFile(folder.scratch.path("second"), .create)
        try writer.write(before, at: 0)
        for command in commands {
            let refused = try folder.run("seal-slot", command.map { $0 == "image" ? "second" : $0 })
            #expect(refused.exit == 5 && refused.error.contains("in use by another writer"), "\(refused.error)")
        }
        #expect(try folder.bytes("second") == before)
        // One copy is written, the other not yet: a change under way is none that was cut off.
        try writer.write(Array(before[65_536..<65_600].map { $0 ^ 1 }), at: 65_536)
        let status = try folder.run("seal-status", ["second"])
        #expect(status.exit == 5 && status.error.contains("in use by another writer"), "\(status.error)")
        #expect(!status.error.contains("cut off") && status.output.contains("recipient"), "\(status.output)")
        withExtendedLifetime(writer) {}
        #expect(try folder.bytes("image") == before)
    }

    /// Where the second copy of the envelope was not written any more, the next change stops, so that numbers are looked up.
    @Test func changesThatWereCutOff() throws {
        let old = try folder.bytes("image")
        #expect(try slot("add", "-i", "key.txt", "-R", other, "image").exit == 0)
        let done = try folder.bytes("image")
        var cut = done
        cut.replaceSubrange(0..<65_536, with: old[0..<65_536])
        _ = try folder.scratch.write("image", cut)
        for key in [[], ["-i", "other.txt"]] {
            let status = try folder.run("seal-status", key + ["image"])
            #expect(
                status.exit == 3 && status.error.contains("the two copies of its envelope differ"), "\(status.error)")
        }
        let told = try slot("remove", "--dry-run", "-i", "key.txt", "image", "1")
        #expect(told.exit == 2 && told.error.contains("had been cut off, and has to be finished"), "\(told.error)")
        #expect(try folder.bytes("image") == cut)
        let finished = try slot("remove", "-i", "key.txt", "image", "1")
        #expect(finished.exit == 2 && finished.error.contains("is now finished; look at them"), "\(finished.error)")
        #expect(try folder.bytes("image") == done)
        #expect(try folder.run("seal-status", ["image"]).exit == 0)
        #expect(try slot("remove", "-i", "key.txt", "image", "1").exit == 0)
        #expect(try !opens("-i", "key.txt"))
        #expect(try opens("-i", "other.txt"))
    }

    @Test func passphrases() throws {
        _ = try folder.scratch.write("both", Array("\(SealFolder.passphrase)\nnew one\n".utf8))
        _ = try folder.scratch.write("new", Array("new one\n".utf8))
        try folder.seal("image", text, "--image", "--passphrase-file", "secret")
        let added = try folder.shell("seal-slot add --passphrase-fd 0 --new-passphrase-fd 0 --pbkdf2 image < both")
        #expect(added.exit == 0 && added.output.contains("slot 3 added: passphrase, PBKDF2"), "\(added.error)")
        #expect(try opens("--passphrase-file", "new"))
        // The command keeps the old passphrase, and is not asked for the new one.
        let command = "VHDTOOLS_PASSPHRASE_COMMAND='cat secret' setsid -w seal-slot add -p image < /dev/null"
        let asked = try folder.shell(command)
        #expect(asked.exit == 4 && asked.error.contains("give it by --new-passphrase-file or --new-passphrase-fd"))
        let kept = try folder.shell(
            "VHDTOOLS_PASSPHRASE_COMMAND='cat secret' setsid -w seal-slot remove image 3 < /dev/null")
        #expect(kept.exit == 0, "\(kept.error)")
        #expect(try !opens("--passphrase-file", "new"))
    }

    @Test func erased() throws {
        try folder.seal("stream", text)
        for name in ["image", "stream"] {
            let erased = try slot("erase", "-f", name)
            #expect(erased.exit == 0 && erased.output == "\(name): its keys are erased: nothing opens it any more\n")
            #expect(erased.error.contains("copies of it, snapshots"), "\(erased.error)")
            for (tool, arguments) in [
                ("seal-status", [name]), ("unseal", ["-i", "key.txt", name]),
                ("seal-slot", ["rotate", "-i", "key.txt", "-R", other, name]),
                ("seal-slot", ["add", "-i", "key.txt", "-R", other, name]),
            ] {
                let refused = try folder.run(tool, arguments)
                #expect(refused.exit == 2 && refused.output.isEmpty, "\(tool)")
                #expect(refused.error.contains("SEAL011: SlotCount is 0: its keys were erased"), "\(refused.error)")
            }
            #expect(try slot("erase", "-f", name).exit == 0, "again")
        }
    }

    @Test func documents() throws {
        func result(_ arguments: [String]) throws -> [String: Any] {
            let result = try folder.run("seal-slot", arguments + ["--json"])
            let line = try folder.document(result, "seal-slot")
            #expect(line["schema"] as? String == "seal-slot-\(arguments[0])/1" && line["exit"] as? Int32 == result.exit)
            return line["result"] as? [String: Any] ?? [:]
        }
        let added = try result(["add", "-i", "key.txt", "-R", other, "image"])
        #expect(
            (added["added"] as? [[String: Any]])?.first?["number"] as? Int == 2 && added["header_sequence"] as? Int == 2
        )
        let removed = try result(["remove", "-i", "key.txt", "image", "1"])
        #expect((removed["slots"] as? [Any])?.count == 1 && (removed["removed"] as? [Any])?.count == 1)
        #expect(try result(["remove", "-i", "other.txt", "image", "1"]).isEmpty)
        let dry = try result(["rotate", "--dry-run", "-i", "other.txt", "-R", folder.recipient, "image"])
        #expect(dry["container_id"] is NSNull && dry["length"] as? Int == text.count)
        let rotated = try result(["rotate", "-i", "other.txt", "-R", folder.recipient, "image"])
        #expect(rotated["container_id"] as? String != rotated["old_container_id"] as? String)
        let byteCount = try folder.bytes("image").count
        #expect(rotated["chunk_size"] as? Int == 4096 && rotated["file_size"] as? Int == byteCount)
        #expect(try result(["erase", "-f", "image"])["dry_run"] as? Bool == false)
        #expect(try result(["erase", "plain"]).isEmpty)
    }

    @Test func help() throws {
        for arguments in [
            ["--help"], ["add", "--help"], ["remove", "--help"], ["rotate", "--help"], ["erase", "--help"],
        ] {
            let help = try folder.run("seal-slot", arguments)
            #expect(help.exit == 0 && help.output.contains("EXAMPLES\n"), "\(arguments)")
        }
        #expect(try folder.run("seal-slot", []).exit == 64)
    }
}
