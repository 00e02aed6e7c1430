import BlockIO
import Foundation
import ToolTesting

/// A chain of images in `plain/`, and the same chain in `sealed/`, each link sealed for a key of another kind: the base for
/// a passphrase, the next for an identity, the leaf for a key file.
struct SealedChain {
    let keys: SealFolder
    let chain: TestChain
    var scratch: Scratch { keys.scratch }
    /// Open all links.
    static let options = ["--passphrase-file", "../secret", "-i", "../key.txt", "--key-file", "../disk.key"]

    /// - Parameter asStreams: seals as `seal` does by itself: such files can only be read.
    init(_ kind: TestImageKind, children: Int = 2, asStreams: Bool = false) throws {
        keys = try SealFolder()
        for name in ["plain", "sealed"] {
            try FileManager.default.createDirectory(
                atPath: keys.scratch.path(name), withIntermediateDirectories: false)
        }
        chain = try TestChain(
            kind, in: keys.scratch.path("plain"), byteCount: 8 << 20, children: children, runs: 10, of: 12 << 10,
            seed: 3)
        let slots = [["--passphrase-file", "secret"], ["-R", keys.recipient], ["--key-file", "disk.key"]]
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
    func sealed(_ tool: String, _ arguments: [String], options: [String] = options) throws -> ProgramResult {
        try runTool(tool, options + arguments, folder: scratch.path("sealed"))
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
            chain.contents.runs.map { Data($0.bytes.prefix(32)) } + [Data("vhdxfile".utf8), Data("cxsparse".utf8)]
        return try FileManager.default.subpathsOfDirectory(atPath: folder).sorted().filter { name in
            guard let data = try? Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)")) else { return false }
            return signs.contains { $0.contains { $0 != 0 } && data.range(of: $0) != nil }
        }
    }
}
