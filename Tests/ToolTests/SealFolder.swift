import Foundation
import Testing
import ToolTesting

/// A folder with keys, and the built sealing tools run in it.
struct SealFolder {
    static let passphrase = "correct horse battery staple"
    let scratch: Scratch
    /// Of `key.txt`.
    let recipient: String

    /// `key.txt` and `other.txt`, identities; `disk.key`, a key file; `secret`, a passphrase.
    init() throws {
        scratch = try Scratch()
        for name in ["key.txt", "other.txt"] { try Self.make(["-q", "-o", name], scratch) }
        try Self.make(["--key-file", "-o", "disk.key"], scratch)
        _ = try scratch.write("secret", Array((Self.passphrase + "\n").utf8))
        let told = try runTool("seal-keygen", ["-y", "key.txt"], folder: scratch.folder)
        recipient = told.output.trimmingCharacters(in: .newlines)
    }

    private static func make(_ arguments: [String], _ scratch: Scratch) throws {
        let result = try runTool("seal-keygen", arguments, folder: scratch.folder)
        guard result.exit == 0 else { throw ProgramFailure(description: result.error) }
    }

    func run(_ tool: String, _ arguments: [String], input: [UInt8]? = nil, environment: [String: String] = [:]) throws
        -> ProgramResult
    {
        try runTool(tool, arguments, input: input, folder: scratch.folder, environment: environment)
    }

    func shell(_ command: String) throws -> ProgramResult {
        try runProgram(
            "/bin/bash", ["-c", command], folder: scratch.folder,
            environment: ["PATH": builtProductsFolder + ":/usr/bin:/bin", "LC_ALL": "C.UTF-8"])
    }

    /// Bytes that look like nothing, with zeros from a third to two thirds.
    static func text(_ byteCount: Int) -> [UInt8] {
        var state: UInt32 = 2_463_534_242
        return (0..<byteCount).map { index in
            state ^= state << 13
            state ^= state >> 17
            state ^= state << 5
            return index >= byteCount / 3 && index < byteCount / 3 * 2 ? 0 : UInt8(truncatingIfNeeded: state >> 8)
        }
    }

    func bytes(_ name: String) throws -> [UInt8] { try fileBytes(scratch.path(name)) }

    /// What the second reader makes of a file; nil where it is not there.
    func secondReader(_ key: [String], _ name: String) throws -> ProgramResult? {
        try SecondReader.run(key + [name], folder: scratch.folder)
    }

    /// The tool's only document, which fits its schema.
    func document(_ result: ProgramResult, _ schema: String) throws -> [String: Any] {
        if let complaints = try schemaComplaints(result.output, schema: schema) {
            #expect(complaints == "", "\(result.output)")
        }
        return try #require(try jsonLines(result.output).first)
    }

    /// Seals to the identity `key.txt`.
    func seal(_ name: String, _ text: [UInt8], _ options: String...) throws {
        _ = try scratch.write("plain", text)
        let result = try run("seal", ["-q", "-f", "-R", recipient] + options + ["-o", name, "plain"])
        guard result.exit == 0 else { throw ProgramFailure(description: result.error) }
    }
}
