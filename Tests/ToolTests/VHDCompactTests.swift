import BlockIO
import ByteCodec
import DiskModel
import Foundation
import ImageChain
import Testing
import ToolTesting

/// The built vhdcompact.
@Suite struct VHDCompactTests {
    private let scratch: Scratch
    private static let size: UInt64 = 48 << 20

    init() throws { scratch = try Scratch(inMemory: true) }

    private func compact(_ arguments: String...) throws -> ProgramResult {
        try runTool("vhdcompact", arguments, folder: scratch.folder)
    }

    /// A disk with random data, every second stretch of which was overwritten with zeros.
    private func worn(_ kind: TestImageKind, _ name: String? = nil) throws -> TestContents {
        var contents = TestContents(byteCount: Self.size, within: Self.size, runs: 40, of: 512 << 10, seed: 11)
        for start in stride(from: UInt64(4) << 20, to: Self.size, by: 8 << 20) {
            contents.runs.append((start, [UInt8](repeating: 0, count: 4 << 20)))
        }
        try kind.make(scratch.path(name ?? kind.fileName), byteCount: Self.size, contents.runs)
        return contents
    }

    @Test(arguments: [TestImageKind.dynamicVHD, .dynamicVHDX])
    func shorterWithTheSameContents(kind: TestImageKind) throws {
        let contents = try worn(kind)
        let path = scratch.path(kind.fileName)
        let (before, identity) = (try fileHash(path), try ImageChain.open(path).leaf.identity)
        let oldSize = try PosixFile(path).byteCount()
        let planned = try compact("--dry-run", "--bytes", kind.fileName)
        #expect(planned.exit == 0 && planned.error.isEmpty, "\(planned.error)")
        #expect(try fileHash(path) == before)
        let printed = try compact("--json", kind.fileName)
        #expect(printed.exit == 0, "\(printed.error)")
        let result = try #require(try jsonLines(printed.output).first?["result"] as? [String: Any])
        let size = try PosixFile(path).byteCount()
        #expect(result["old_file_size"] as? UInt64 == oldSize && result["new_file_size"] as? UInt64 == size)
        #expect(size + (12 << 20) < oldSize)
        #expect(planned.output.hasPrefix("\(kind.fileName): file would go from \(oldSize) to \(size)\n"))
        let (dropped, moved) = (result["dropped_blocks"] as? Int ?? 0, result["moved_blocks"] as? Int ?? 0)
        #expect(dropped > 0 && moved > 0)
        #expect(planned.output.contains(": \(dropped) dropped, \(moved) moved, "))
        #expect(try contents.difference(from: path, kind) == nil)
        #expect(try ImageChain.open(path).leaf.identity == identity, "its children would be orphans")
        // Nothing is left to gain.
        let again = try compact(kind.fileName)
        #expect(again.exit == 0 && again.output.contains(": 0 dropped, 0 moved, "), "\(again.output)\(again.error)")
        #expect(try PosixFile(path).byteCount() == size)
        #expect(try contents.difference(from: path, kind) == nil)
        if kind == .dynamicVHDX, let qemu = Peer.find("qemu-img") {
            #expect(try runProgram(qemu, ["check", path]).exit == 0)
        }
    }

    @Test(arguments: [TestImageKind.raw, .fixedVHD, .fixedVHDX])
    func refused(kind: TestImageKind) throws {
        try kind.make(scratch.path(kind.fileName), byteCount: 4 << 20)
        let before = try fileHash(scratch.path(kind.fileName))
        let refused = try runTool("vhdcompact", kind.options + [kind.fileName], folder: scratch.folder)
        #expect(refused.exit == 2 && refused.output.isEmpty)
        #expect(refused.error.hasPrefix("vhdcompact: \(kind.fileName): ") && refused.error.contains("--dig-holes"))
        #expect(try fileHash(scratch.path(kind.fileName)) == before)
    }

    /// One that fails does not keep the others from being done.
    @Test func several() throws {
        let contents = try worn(.dynamicVHDX, "one.vhdx")
        _ = try worn(.dynamicVHD, "held.vhd")
        _ = try worn(.dynamicVHDX, "two.vhdx")
        let before = try fileHash(scratch.path("held.vhd"))
        do {
            let held = try PosixFile(scratch.path("held.vhd"), .write)
            let done = try compact("--json", "one.vhdx", "held.vhd", "absent", "two.vhdx")
            #expect(done.exit == 5)
            #expect(try jsonLines(done.output).map { $0["exit"] as? Int } == [0, 5, 2, 0])
            #expect(try schemaComplaints(done.output, schema: "vhdcompact") ?? "" == "")
            withExtendedLifetime(held) {}
        }
        #expect(try fileHash(scratch.path("held.vhd")) == before)
        for name in ["one.vhdx", "two.vhdx"] {
            #expect(try contents.difference(from: scratch.path(name), .dynamicVHDX) == nil)
            #expect(try PosixFile(scratch.path(name)).byteCount() < 40 << 20)
        }
        let dry = try compact("--dry-run", "--json", "held.vhd")
        #expect(dry.exit == 0)
        #expect(try schemaComplaints(dry.output, schema: "vhdcompact") ?? "" == "")
        #expect(try compact().exit == 64)
    }

    /// Real images: the same contents, and children that still open.
    @Test func corpus() throws {
        guard let folder = try Corpus.unpackedFolder() else { return }
        for expectation in Corpus.expectations { try check(expectation.file, folder) }
    }

    private func check(_ name: String, _ folder: String) throws {
        let (path, source) = (scratch.path(name), "\(folder)/\(name)")
        // Some open only by force: they are left as they are.
        let original = try? ImageChain.open(source)
        try FileManager.default.copyItem(atPath: source, toPath: path)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let before = try fileHash(path)
        let printed = try compact("--json", name)
        let error = try jsonLines(printed.output).first?["error"] as? [String: Any]
        guard let original, original.leaf.type != .fixed, printed.exit == 0 else {
            // What is not done is left as it is.
            print("vhdcompact: \(name): \(error?["message"] ?? "")")
            #expect(printed.exit == 2 && error != nil)
            #expect(try fileHash(path) == before)
            return
        }
        let compacted = try ImageChain.open(path, OpenOptions(parentFolders: [folder]))
        #expect(try firstDifferingByte(between: compacted, and: original) == nil, "\(name)")
        #expect(compacted.leaf.identity == original.leaf.identity, "\(name)")
        #expect(try PosixFile(path).byteCount() <= PosixFile(source).byteCount(), "\(name)")
    }
}
