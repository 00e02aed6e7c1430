import BlockIO
import ByteCodec
import Digest
import DiskModel
import Foundation
import ImageChain
import Testing
import ToolTesting

/// The images in `Fixtures/`, made by other people's programs, against the hashes in their manifest.
@Suite struct FixtureTests {
    struct Fixture: CustomStringConvertible, Sendable {
        var file: String
        var fileHash: String
        var contentsHash: String
        var description: String { file }
    }

    static let folder = repositoryFolder + "/Fixtures"

    static let fixtures: [Fixture] = {
        guard let text = try? String(contentsOfFile: folder + "/MANIFEST.tsv", encoding: .utf8) else { return [] }
        return text.split(separator: "\n").dropFirst().compactMap { line in
            let columns = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            guard columns.count == 5 else { return nil }
            return Fixture(file: columns[0], fileHash: columns[3], contentsHash: columns[4])
        }
    }()

    /// A manifest that cannot be read must not pass for one without images.
    @Test func manifestNamesEveryFile() throws {
        let packed = try FileManager.default.contentsOfDirectory(atPath: Self.folder).filter { $0.hasSuffix(".gz") }
        #expect(Set(packed) == Set(Self.fixtures.map { $0.file + ".gz" }))
        #expect(Self.fixtures.count >= 8)
        let size = try packed.reduce(0) { try $0 + fileBytes("\(Self.folder)/\($1)").count }
        #expect(size < 300_000, "the fixtures have grown to \(size) bytes")
    }

    /// The unpacked file.
    private func unpacked(_ fixture: Fixture, _ scratch: Scratch) throws -> String {
        let result = try runProgram("/bin/gzip", ["-dc", "\(Self.folder)/\(fixture.file).gz"])
        try #require(result.exit == 0, "\(result.error)")
        return try scratch.write(fixture.file, result.outputBytes)
    }

    private func fileHash(_ path: String) throws -> String {
        let bytes = try fileBytes(path)
        return Digest.hash(.sha256, bytes.rawBytes).hexadecimal
    }

    private func contentsHash(_ chain: ImageChain) throws -> String {
        let digest = Digest(.sha256)
        try DiskStream(chain).run(chain.wholeRange) {
            digest.update($1)
        } zeros: {
            digest.updateZeros(count: $1)
        }
        return digest.finish().hexadecimal
    }

    @Test(arguments: fixtures) func contents(_ fixture: Fixture) throws {
        let scratch = try Scratch(inMemory: true)
        let path = try unpacked(fixture, scratch)
        #expect(try fileHash(path) == fixture.fileHash)
        let chain = try ImageChain.open(path)
        #expect(chain.leaf.type == (fixture.file.hasPrefix("fixed") ? .fixed : .dynamic))
        #expect(chain.leaf.format == (fixture.file.hasSuffix(".vhd") ? .vhd : .vhdx))
        #expect(chain.hasReplayedLog == fixture.file.hasPrefix("dirty"))
        #expect(try contentsHash(chain) == fixture.contentsHash)
        #expect(
            try fileHash(path) == fixture.fileHash,
            "reading changed the file")
    }

    /// Opened for writing, with a byte written and put back, the contents are what they were.
    @Test(arguments: fixtures) func writtenInto(_ fixture: Fixture) throws {
        let scratch = try Scratch(inMemory: true)
        let path = try unpacked(fixture, scratch)
        do {
            let chain = try ImageChain.open(writing: path)
            let place = chain.geometry.virtualByteCount - 700
            let old = try chain.bytes(at: place, count: 300)
            try chain.write([UInt8](repeating: 0x5a, count: 300), at: place)
            #expect(try chain.bytes(at: place + 299, count: 1) == [0x5a])
            try chain.write(old, at: place)
            try chain.close()
        }
        #expect(try contentsHash(ImageChain.open(path)) == fixture.contentsHash)
    }
}
