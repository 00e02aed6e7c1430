import ByteCodec
import Foundation
import Testing
import ToolTesting

extension SealedLogToolTests {
    /// The log tools on sealed logs and images: what they write.
    @Suite struct Outputs {
        private let folder: SealedLogFolder
        private let both = SealedLogFolder.key + ["-i", "../other.txt"]
        /// Of `other.txt`.
        private let other: String

        init() throws {
            folder = try SealedLogFolder()
            other = try folder.keys.run("seal-keygen", ["-y", "other.txt"]).output.trimmingCharacters(in: .newlines)
        }

        /// Runs a tool in the sealed folder, where it must succeed.
        private func make(_ tool: String, _ arguments: [String], exit: Int32 = 0) throws {
            let result = try folder.run(tool, arguments)
            guard result.exit == exit else { throw ProgramFailure(description: "\(tool): \(result.error)") }
        }

        /// Makes a log by these arguments in all ways, and compares what is in it with the plain one.
        private func checkSealing(_ tool: String, _ arguments: [String]) throws {
            let plain = try folder.run(tool, arguments + ["-o", "made"], in: "plain")
            #expect(plain.exit == 0, "\(plain.error)")
            let bytes = try fileBytes(folder.path("plain/made"))
            #expect(try folder.plaintext("plain/made") == "a log's header")
            for (name, options, mine, others) in [
                ("a", ["--seal"], true, false), ("b", ["--seal-to", other], false, true),
                ("c", ["--seal", "--seal-to", other], true, true),
            ] {
                try make(tool, SealedLogFolder.key + arguments + options + ["-o", name])
                #expect(try folder.opens("sealed/\(name)", "key.txt") == mine, "\(tool) \(options)")
                #expect(try folder.opens("sealed/\(name)", "other.txt") == others, "\(tool) \(options)")
                #expect(try folder.unsealed("sealed/\(name)", key: mine ? "key.txt" : "other.txt") == bytes)
            }
            #expect(try folder.plaintextAnywhere() == [])
            try make(tool, SealedLogFolder.key + arguments + ["-o", "open"])
            #expect(try fileBytes(folder.path("sealed/open")) == bytes, "plain, where nothing is said")
            let taken = try folder.run(tool, SealedLogFolder.key + arguments + ["--seal", "-o", "a"])
            #expect(taken.exit == 2 && taken.error.contains("-f"), "\(taken.error)")
            let noKey = try folder.run(tool, SealedLogFolder.key + arguments + ["--seal-to", "age1x", "-o", "none"])
            #expect(noKey.exit == 4 && noKey.error.contains("age1x: is no recipient"), "\(noKey.error)")
            // With a passphrase, of plain files.
            let result = try folder.run(
                tool, arguments + ["--seal", "--passphrase-file", "../secret", "-o", "p"], in: "plain")
            #expect(result.exit == 0, "\(result.error)")
            let opened = try folder.keys.run("unseal", ["--passphrase-file", "secret", "plain/p"])
            #expect(opened.outputBytes == bytes)
            #expect(!FileManager.default.fileExists(atPath: folder.path("sealed/none")))
        }

        @Test func merging() throws { try checkSealing("hrl-merge", ["1.hrl", "2.hrl"]) }

        @Test func comparing() throws {
            let fixed = ["--time", "2026-11-22T20:14:03Z", "--unique-id", HRLSample.third.description]
            try checkSealing("hrl-diff", fixed + ["--after", "2.hrl", "old.vhdx", "new.vhdx"])
        }

        /// Sealed like the log, for the key that opened it, unless the options say for whom.
        @Test func recovering() throws {
            let plain = try folder.run("hrl-check", ["--recover", "made", "unclosed.hrl"], in: "plain")
            #expect(plain.exit == 3)
            let writes = try folder.run("hrl-dump", ["--tsv", "--sha256", "made"], in: "plain").output
            for (name, options, mine, others) in [
                ("a", [], true, false), ("b", ["--seal-to", other], false, true), ("c", ["--seal"], true, true),
            ] {
                try make("hrl-check", both + options + ["--recover", name, "unclosed.hrl"], exit: 3)
                #expect(try folder.opens("sealed/\(name)", "key.txt") == mine, "\(options)")
                #expect(try folder.opens("sealed/\(name)", "other.txt") == others, "\(options)")
                let shown = try folder.run("hrl-dump", both + ["--tsv", "--sha256", name])
                #expect(shown.exit == 0)
                #expect(shown.output.replacingOccurrences(of: "\t\(name)\n", with: "\tmade\n") == writes)
            }
            #expect(try folder.plaintextAnywhere() == [])
            let usage = try folder.run("hrl-check", ["--seal", "1.hrl"], in: "plain")
            #expect(usage.exit == 64)
        }
    }
}
