import DiskModel
import Foundation
import ImageChain
import ToolTesting

/// The same logs and images twice, by the same names: in the folder `plain`, and sealed to the identity `key.txt` in the
/// folder `sealed`. The keys are in the folder above.
struct SealedLogFolder {
    static let key = ["-i", "../key.txt"]
    /// So long that the log's last chunk is no zeros: holes of a sealed log are whole chunks, and hrl-stat tells of holes.
    static let writes = HRLSample.writes + [HRLSample.Write(offset: 6 << 20, value: 0x44, count: 4096, second: 3)]
    let keys: SealFolder

    /// `1.hrl` and `2.hrl`, a chain; `unclosed.hrl`; `bad.hrl`, damaged; `old.vhdx` and `new.vhdx`.
    init() throws {
        keys = try SealFolder()
        for name in ["plain", "sealed"] {
            try FileManager.default.createDirectory(
                atPath: keys.scratch.path(name), withIntermediateDirectories: false)
        }
        try write("1.hrl", HRLSample.log(Self.writes))
        let later = [HRLSample.Write(offset: 2 << 20, value: 0x55, count: 8192, second: 4)]
        try write("2.hrl", HRLSample.log(later, id: HRLSample.second, after: HRLSample.first, checksums: true))
        try write("unclosed.hrl", HRLSample.log(Self.writes, id: HRLSample.third, isClosed: false))
        try write("bad.hrl", HRLDamage.all[15].brokenLog())
        for name in ["old.vhdx", "new.vhdx"] { try makeDisk(name) }
        for name in try FileManager.default.contentsOfDirectory(atPath: path("plain")) {
            try seal("plain/\(name)", as: "sealed/\(name)")
        }
    }

    private func write(_ name: String, _ bytes: [UInt8]) throws { _ = try keys.scratch.write("plain/\(name)", bytes) }

    private func makeDisk(_ name: String) throws {
        let path = path("plain/\(name)")
        try HRLSample.makeDisk(path)
        let chain = try ImageChain.open(writing: path)
        try chain.write([UInt8](repeating: name == "new.vhdx" ? 0x22 : 0x10, count: 1 << 17), at: 3 << 20)
        try chain.close()
    }

    /// - Parameter options: for whom; the identity `key.txt` where nil.
    func seal(_ name: String, as other: String, for options: [String]? = nil) throws {
        let result = try keys.run(
            "seal", ["-q", "-f", "--image"] + (options ?? ["-R", keys.recipient]) + ["-o", other, name])
        guard result.exit == 0 else { throw ProgramFailure(description: result.error) }
    }

    func path(_ name: String) -> String { keys.scratch.path(name) }

    /// Runs a tool in a folder, by default the sealed one, without any key but those of its arguments.
    func run(_ tool: String, _ arguments: [String], in folder: String = "sealed", environment: [String: String] = [:])
        throws -> ProgramResult
    {
        try runTool(tool, arguments, folder: path(folder), environment: environment)
    }

    /// What is in a sealed file.
    func unsealed(_ name: String, key: String = "key.txt") throws -> [UInt8] {
        let result = try keys.run("unseal", ["-i", key, name])
        guard result.exit == 0 else { throw ProgramFailure(description: result.error) }
        return result.outputBytes
    }

    /// Whether an identity opens a sealed file.
    func opens(_ name: String, _ key: String) throws -> Bool {
        let result = try keys.run("unseal", ["-i", key, name])
        guard [0, 4].contains(result.exit) else { throw ProgramFailure(description: result.error) }
        return result.exit == 0
    }

    /// What of the logs and the disks can be read in a file without a key.
    func plaintext(_ name: String) throws -> String? {
        let bytes = try fileBytes(path(name))
        if occurs(Array("msctlog".utf8), in: bytes) { return "a log's header" }
        if occurs(Array("vhdxfile".utf8), in: bytes) { return "an image's header" }
        for value: UInt8 in [0x10, 0x11, 0x22, 0x33, 0x44, 0x55]
        where occurs([UInt8](repeating: value, count: 32), in: bytes) {
            return "bytes \(value)"
        }
        return nil
    }

    /// All files of the sealed folder are sealed.
    func plaintextAnywhere() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path("sealed")).compactMap { name in
            try plaintext("sealed/\(name)").map { "\(name): \($0)" }
        }
    }
}
