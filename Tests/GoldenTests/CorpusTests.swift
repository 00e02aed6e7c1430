import ByteCodec
import Digest
import DiskModel
import ImageChain
import Testing
import ToolTesting

/// Real images against the hashes of their contents.
@Suite struct CorpusTests {
    /// Images whose footers were edited by hand: refused unless these rules are accepted.
    static let damaged: Set = ["image.vhd", "image-differential.vhd"]

    private func contentsHash(_ chain: ImageChain) throws -> String {
        let digest = Digest(.sha256)
        try DiskStream(chain).run(chain.wholeRange) {
            digest.update($1)
        } zeros: {
            digest.updateZeros(count: $1)
        }
        return digest.finish().hexadecimal
    }

    @Test(arguments: Corpus.expectations)
    func contents(_ expectation: Corpus.Expectation) throws {
        let path = try #require(try Corpus.path(expectation.file))
        let before = try fileBytes(path)
        var options = OpenOptions()
        if Self.damaged.contains(expectation.file) {
            #expect(throws: DiskError.self) { try ImageChain.open(path) }
            options.accepted = ["VHD001", "VHD002", "VHD003", "VHD005", "CHAIN001"].reduce(into: []) {
                $0.insert(FormatError.Code($1))
            }
        }
        let chain = try ImageChain.open(path, options)
        #expect(chain.geometry.virtualByteCount == expectation.virtualByteCount)
        #expect(chain.leaf.type.rawValue == expectation.type)
        #expect(chain.leaf.hasReplayedLog == (expectation.log == "dirty"))
        if expectation.contents == "zeros" {
            try chain.forEachExtent(in: chain.wholeRange) {
                #expect($0.extent.source == .hole || $0.extent.source == .zero)
            }
        } else {
            #expect(try contentsHash(chain) == expectation.contents)
        }
        #expect(try fileBytes(path) == before, "reading changed the file")
    }
}
