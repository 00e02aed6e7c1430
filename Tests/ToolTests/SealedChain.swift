import BlockIO
import Foundation
import ToolTesting

/// A chain of images in `plain/`, and the same chain in `sealed/`, each link sealed for another key: the base for one
/// identity (or a passphrase, which takes its time), the next for another one, the leaf for a key file.
struct SealedChain {
    let keys: SealFolder
    let chain: TestChain
    var scratch: Scratch { keys.scratch }
    /// Open all links.
    let options: [String]

    /// - Parameter asStreams: seals as `seal` does by itself: such files can only be read.
    init(_ kind: TestImageKind, children: Int = 2, asStreams: Bool = false, hasPassphrase: Bool = false) throws {
        keys = try SealFolder()
        let baseKey = hasPassphrase ? ["--passphrase-file", "../secret"] : ["-i", "../other.txt"]
        options = baseKey + ["-i", "../key.txt", "--key-file", "../disk.key"]
        for name in ["plain", "sealed"] {
            try FileManager.default.createDirectory(
                atPath: keys.scratch.path(name), withIntermediateDirectories: false)
        }
        chain = try TestChain(
            kind, in: keys.scratch.path("plain"), byteCount: 8 << 20, children: children, runs: 10, of: 12 << 10,
            seed: 3)
        let other = try keys.run("seal-keygen", ["-y", "other.txt"]).output.trimmingCharacters(in: .newlines)
        let baseSlot = hasPassphrase ? ["--passphrase-file", "secret"] : ["-R", other]
        let slots = [baseSlot, ["-R", keys.recipient], ["--key-file", "disk.key"]]
        for (name, slot) in zip(chain.names, slots) {
            let result = try keys.run(
                "seal",
                ["-q"] + slot + (asStreams ? [] : ["--image"]) + ["-o", "sealed/\(name)", "plain/\(name)"])
            guard result.exit == 0 else { throw ProgramFailure(description: result.error) }
            // Children of a VHD name the time of its last change.
            _ = try keys.shell("touch -r plain/\(name) sealed/\(name)")
        }
    }

    var leaf: String { chain.leaf }

    func plain(_ tool: String, _ arguments: [String]) throws -> ProgramResult {
        try runTool(tool, arguments, folder: scratch.path("plain"))
    }

    /// With the keys to all links.
    func sealed(_ tool: String, _ arguments: [String], options: [String]? = nil) throws -> ProgramResult {
        try runTool(tool, (options ?? self.options) + arguments, folder: scratch.path("sealed"))
    }

    /// The bytes of the disk that the leaf shows.
    func contents() throws -> [UInt8] {
        var result = [UInt8](repeating: 0, count: Int(chain.contents.byteCount))
        for run in chain.contents.runs {
            result.replaceSubrange(Int(run.offset)..<Int(run.offset) + run.bytes.count, with: run.bytes)
        }
        return result
    }

    /// Files of the sealed folder in which bytes of the disk, or the signature of an image, can be read.
    func leaks() throws -> [String] {
        let folder = scratch.path("sealed")
        let signs =
            chain.contents.runs.map { Array($0.bytes.prefix(32)) } + [Array("vhdxfile".utf8), Array("cxsparse".utf8)]
        return try FileManager.default.subpathsOfDirectory(atPath: folder).sorted().filter { name in
            guard let bytes = try? fileBytes("\(folder)/\(name)"), !bytes.isEmpty else { return false }
            return signs.contains { sign in sign.contains { $0 != 0 } && occurs(sign, in: bytes) }
        }
    }
}
