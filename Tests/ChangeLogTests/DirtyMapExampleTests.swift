import BlockIO
import ByteCodec
import ChangeLog
import Foundation
import Testing

/// The worked example of docs/formats/hrl-map.md: its bytes are those of a file, and open as the text says.
@Suite struct DirtyMapExampleTests {
    /// The bytes of the document's hexdump; what it leaves out is zeros.
    private static func documented() throws -> [UInt8] {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("docs/formats/hrl-map.md")
        let text = try String(contentsOf: path, encoding: .utf8)
        let block = try #require(text.components(separatedBy: "```hexdump\n").dropFirst().first)
        var bytes = [UInt8](repeating: 0, count: 12_288)
        for line in try #require(block.components(separatedBy: "```").first).split(separator: "\n") {
            let fields = line.split(separator: " ").map(String.init)
            let offset = try #require(Int(fields[0], radix: 16))
            let values = fields.dropFirst().compactMap { UInt8($0, radix: 16) }
            #expect(values.count == 16 && fields.count == 17)
            bytes.replaceSubrange(offset..<offset + 16, with: values)
        }
        return bytes
    }

    private static let fingerprint = ImageFingerprint.file(
        .init(byteCount: 67_109_376, modificationTime: 1_763_800_000_000_000_000, tailDigest: Array(0..<32)))

    @Test func opensAsTheTextSays() throws {
        let map = try DirtyMap.open(
            on: MemoryFile(try Self.documented()), virtualByteCount: 64 << 20, fingerprint: Self.fingerprint)
        #expect(map.continuity.state == .clean && map.findings.isEmpty)
        #expect(map.regionByteCount == 65536)
        #expect(map.dirtyRanges == [0x30000..<0x50000, 0x3f0_0000..<0x3f1_0000])
    }

    /// All but the generation and the checksums over it, which differ with each map.
    @Test func isWhatIsWritten() throws {
        let file = MemoryFile()
        var options = DirtyMap.Options()
        options.marksAhead = false
        let map = try DirtyMap.create(on: file, virtualByteCount: 64 << 20, options)
        try map.beginLog(.random())
        try map.mark(0x3f000..<0x41000)
        try map.mark(0x3f0_0000..<0x3f0_0001)
        try map.close(Self.fingerprint)
        let (written, expected) = (file.allBytes, try Self.documented())
        #expect(written.count == expected.count)
        let free: [Range<Int>] = [12..<16, 44..<48, 4108..<4112, 4140..<4144, 8192..<8196, 8200..<8204]
        for offset in written.indices where written[offset] != expected[offset] {
            #expect(
                free.contains { $0.contains(offset) }, "byte \(offset): \(written[offset]), not \(expected[offset])")
        }
    }
}
