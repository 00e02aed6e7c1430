import BlockIO
import ByteCodec
import Cipher
import Digest
import FaultInjection
import Foundation
import Testing
import ToolTesting

@testable import SealedFile

/// An image made with fixed randomness, in `Fixtures/sealed/image.json`: the file when it was made, after each of two commits,
/// and closed; whole and by regions, as SHA-256. Chunks of 4096 bytes, a journal of 256 KiB.
///
/// With `VHDTOOLS_WRITE_VECTORS` set, the test writes the file anew instead of comparing with it.
private struct ImageVector: Codable, Equatable {
    struct Region: Codable, Equatable {
        var name: String
        var offset: UInt64
        var byteCount: Int
        var sha256: String
    }
    struct Moment: Codable, Equatable {
        var name: String
        var anchor: String
        /// Of the disk, and of the file.
        var diskByteCount: UInt64
        var diskSHA256: String
        var fileByteCount: UInt64
        var fileSHA256: String
        var regions: [Region]
    }

    var keyFile: String
    var creationTime: UInt64
    /// Everything that was drawn: container id, master key, salt of the slot, then a nonce for each chunk in turn.
    var random: String
    /// What is written: chunks 0 to 2 and chunk 90 before the first commit; before the second 100 bytes at 5000, and chunk 2
    /// becomes zeros. Byte k of each is (7 k + 3) mod 256, from k = 0.
    var contents: String
    var moments: [Moment]

    static let path = repositoryFolder + "/Fixtures/sealed/image.json"
}

@Suite struct ImageVectorTests {
    private static let layout = ImageLayout(chunkByteCount: 4096, journalByteCount: 262_144)
    private static let keyFileOctets = [UInt8](repeating: 0x6b, count: 48)

    private static func pattern(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: 7 * $0 + 3) } }

    /// Of a page's or a chunk's size, or those given.
    private static let regions: [(String, UInt64, Int)] = [
        ("envelope A", 0, 65_536), ("envelope B", 65_536, 65_536), ("root block A", 131_072, 131_072),
        ("root block B", 262_144, 131_072), ("journal", 393_216, 262_144), ("journal's first record", 393_216, 4096),
        ("page 0 of level 2", layout.offset(of: PageID(level: 2, number: 0)), 4096),
        ("page 0 of level 1", layout.offset(of: PageID(level: 1, number: 0)), 4096),
        ("metadata page 0", layout.offset(of: PageID(level: 0, number: 0)), 4096),
        ("metadata page 1", layout.offset(of: PageID(level: 0, number: 1)), 4096),
        ("chunk 0", layout.offset(ofChunk: 0), 4096), ("chunk 1", layout.offset(ofChunk: 1), 4096),
        ("chunk 2", layout.offset(ofChunk: 2), 4096), ("chunk 90", layout.offset(ofChunk: 90), 4096),
    ]

    private static func sha256(_ bytes: [UInt8]) -> String { Digest.hash(.sha256, bytes.rawBytes).hexadecimal }

    private static func moment(_ name: String, _ image: SealedImage, _ file: MemoryFile) throws -> ImageVector.Moment {
        let contents = file.contents
        let disk = try image.everything()
        let parts = regions.filter { $0.1 + UInt64($0.2) <= contents.byteCount }.map { name, offset, count in
            ImageVector.Region(
                name: name, offset: offset, byteCount: count,
                sha256: sha256(contents.bytes(offset..<offset + UInt64(count))))
        }
        return ImageVector.Moment(
            name: name, anchor: image.anchor.description, diskByteCount: image.byteCount(), diskSHA256: sha256(disk),
            fileByteCount: contents.byteCount, fileSHA256: sha256(contents.allBytes), regions: parts)
    }

    private static func made() throws -> ImageVector {
        // A nonce for each of the chunks 0, 1, 2 and 90, and for chunk 1 again.
        let random = (0..<80 + 5 * 24).map { UInt8(truncatingIfNeeded: $0 &* 73) ^ 0x2f }
        let source = EnvelopeRandomness(random)
        let file = MemoryFile()
        let secret = SlotKey.keyFile(SecretBytes(copying: keyFileOctets.rawBytes))
        let image = try SealedImage.create(
            on: file, for: [secret], chunkByteCount: 4096, journalByteCount: 262_144, creationTime: 1_767_225_600,
            random: source.source)
        var moments = [try moment("made", image, file)]
        try image.write(pattern(3 * 4096), at: 0)
        try image.write(pattern(4096), at: 90 * 4096)
        try image.sync()
        moments.append(try moment("after the first commit", image, file))
        try image.write(pattern(100), at: 5000)
        try image.zero(2 * 4096..<3 * 4096)
        try image.sync()
        moments.append(try moment("after the second commit", image, file))
        try image.close()
        moments.append(try moment("closed", image, file))
        #expect(source.isExhausted)
        return ImageVector(
            keyFile: keyFileOctets.hexadecimal, creationTime: 1_767_225_600, random: random.hexadecimal,
            contents:
                "chunks 0 to 2, chunk 90; commit; 100 bytes at 5000, chunk 2 zeros; commit; close. Byte k of each write "
                + "is (7 k + 3) mod 256",
            moments: moments)
    }

    @Test func vectors() throws {
        let made = try Self.made()
        if ProcessInfo.processInfo.environment["VHDTOOLS_WRITE_VECTORS"] != nil {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            try encoder.encode(made).write(to: URL(fileURLWithPath: ImageVector.path))
        }
        let stored = try JSONDecoder().decode(
            ImageVector.self, from: Data(contentsOf: URL(fileURLWithPath: ImageVector.path)))
        #expect(made == stored)
        #expect(stored.moments.count == 4)
        // The disk, by hand: what was written, and no secret of how.
        var disk = [UInt8].zeros(91 * 4096)
        disk.replaceSubrange(0..<3 * 4096, with: Self.pattern(3 * 4096))
        disk.replaceSubrange(90 * 4096..<91 * 4096, with: Self.pattern(4096))
        #expect(stored.moments[1].diskSHA256 == Self.sha256(disk))
        disk.replaceSubrange(5000..<5100, with: Self.pattern(100))
        disk.replaceSubrange(2 * 4096..<3 * 4096, with: [UInt8].zeros(4096))
        #expect(stored.moments[2].diskSHA256 == Self.sha256(disk))
        #expect(stored.moments[3].diskSHA256 == Self.sha256(disk))
        #expect(Set(stored.moments.map(\.fileSHA256)).count == 4)
    }

    /// A metadata page by the document alone: HMAC, entry and GCM made here from the primitives.
    @Test func aPageByHand() throws {
        let file = MemoryFile()
        let image = try makeImage(on: file)
        let text = Self.pattern(4096)
        try image.write(text, at: 4096)
        try image.close()
        let (keys, id) = (image.keys, image.envelope.containerID)
        let page = file.contents.bytes(Self.layout.dataOffset + 8192..<Self.layout.dataOffset + 12_288)
        let place = id + [UInt8].zeros(16)
        let covered = Array(page[32...]) + place
        #expect(HMACSHA256.code(covered.rawBytes, key: keys.pageKey.bytes) == Array(page[..<32]))
        let entry = Array(page[64 + 48..<64 + 96])
        let word = Array(entry[40...])
        #expect(word == [1, 0, 0, 0, 0, 0, 0, 0x10])
        let index: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 0]
        let additional = Array("C".utf8) + id + index + word
        let start = Self.layout.dataOffset + 12_288 + 4096
        let sealed = file.contents.bytes(start..<start + 4096) + entry[24..<40]
        var opened = [UInt8].zeros(4096)
        var raw = opened.mutableRawBytes
        let nonce = Array(entry[..<24])
        try XAESGCM(key: keys.dataKey.bytes).open(
            sealed.rawBytes, nonce: nonce.rawBytes, additional: additional.rawBytes, into: &raw)
        #expect(opened == text)
        // Above it: digests of whole pages.
        let first = file.contents.bytes(Self.layout.dataOffset + 4096..<Self.layout.dataOffset + 8192)
        #expect(Array(first[64..<96]) == Digest.hash(.sha256, page.rawBytes))
        #expect(first[96...].allSatisfy { $0 == 0 })
        let second = file.contents.bytes(Self.layout.dataOffset..<Self.layout.dataOffset + 4096)
        #expect(Array(second[64..<96]) == Digest.hash(.sha256, first.rawBytes))
        let top = [UInt8]([0, 32] + [UInt8].zeros(6)) + [1] + [UInt8].zeros(7) + Digest.hash(.sha256, second.rawBytes)
        #expect(image.anchor.rootDigest == Digest.hash(.sha256, top.rawBytes))
    }
}

/// The two copies of an envelope.
@Suite struct ImageEnvelopeTests {
    /// An image with a slot for each key file, whose copies are exchanged for others.
    private static func image(_ copies: [(slots: ClosedRange<Int>, sequence: UInt64, isDamaged: Bool)]) throws
        -> MemoryFile.Contents
    {
        let file = MemoryFile()
        let image = try SealedImage.create(
            on: file, for: [keyFile(1), keyFile(2)], chunkByteCount: 4096, journalByteCount: 262_144, creationTime: 0)
        for (copy, offset) in zip(copies, ImageLayout.envelopeOffsets) {
            var envelope = image.envelope
            envelope.slots = Array(envelope.slots[copy.slots])
            envelope.headerSequence = copy.sequence
            var bytes = envelope.bytes(image.keys)
            if copy.isDamaged { bytes[80] ^= 1 }
            try file.write(bytes, at: offset)
        }
        return file.contents
    }

    private static func opens(_ contents: MemoryFile.Contents, _ octet: UInt8) -> Bool {
        (try? SealedImage(reading: MemoryFile(contents), secrets: [keyFile(octet)])) != nil
    }

    @Test func theNewerCopyCounts() throws {
        // The first slot was taken away; the loss of power came between the copies.
        for swapped in [false, true] {
            var copies = [(0...1, UInt64(1), false), (1...1, 2, false)]
            if swapped { copies.reverse() }
            let contents = try Self.image(copies)
            #expect(!Self.opens(contents, 1), "the slot was taken away")
            #expect(Self.opens(contents, 2))
            #expect(!Self.opens(contents, 3))
        }
    }

    @Test func aDamagedCopyDoesNot() throws {
        for swapped in [false, true] {
            var copies = [(0...1, UInt64(1), false), (1...1, 2, true)]
            if swapped { copies.reverse() }
            let contents = try Self.image(copies)
            #expect(Self.opens(contents, 1) && Self.opens(contents, 2))
        }
        let contents = try Self.image([(0...1, 1, true), (0...1, 2, true)])
        #expect(!Self.opens(contents, 1) && !Self.opens(contents, 2))
    }
}
