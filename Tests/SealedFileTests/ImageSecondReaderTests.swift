import BlockIO
import ByteCodec
import Digest
import FaultInjection
import Synchronization
import Testing
import ToolTesting

@testable import SealedFile

/// The second reader opens our images to the same contents and the same anchor: after every commit, with a journal to recover,
/// and after power cuts.
@Suite struct ImageSecondReaderTests {
    private static let secret = StreamSecondReaderTests.secret

    /// What our reader says of a file, as the second one prints it.
    static func summary(_ contents: MemoryFile.Contents, _ secret: EnvelopeVector.Secret = secret) throws -> String {
        let image = try SealedImage(reading: MemoryFile(contents), secrets: [try secret.slotKey()])
        let bytes = try image.bytes(at: 0, count: Int(image.byteCount()))
        return "\(image.anchor) \(hexadecimal(Digest.hash(.sha256, bytes.rawBytes)))"
    }

    /// What the second one says, a line for each file; nil where it is not there.
    static func summaries(
        _ files: [MemoryFile.Contents], _ scratch: Scratch, _ secret: EnvelopeVector.Secret = secret
    ) throws -> [String]? {
        let paths = try files.enumerated().map { number, file in
            try scratch.write("image\(number)", MemoryFile(file).allBytes)
        }
        guard let last = paths.last else { return [] }
        let options = ["--summary"] + paths.dropLast()
        return try Unsealed.run([secret], options, on: last).map {
            #expect($0.exit == 0 && $0.error.isEmpty, "\($0.error)")
            return $0.output.split(separator: "\n").map(String.init)
        }
    }

    /// Writes, zeros, changes of size and commits; the ring of the journal is small, so that checkpoints come.
    private static func work(_ image: SealedImage, seed: UInt64, steps: Int, _ afterCommit: () -> Void) throws {
        var random = SplitMix(seed: seed)
        let limit: UInt64 = 3 << 20
        for step in 0..<steps {
            let start = UInt64.random(in: 0..<limit, using: &random)
            let count = Int.random(in: 1...(Bool.random(using: &random) ? 600 : 60_000), using: &random)
            switch UInt8.random(in: 0..<10, using: &random) {
            case 0..<6:
                let bytes = random.bytes(count)
                try image.write(bytes.rawBytes, at: start)
            case 6: try image.zero(start..<start + UInt64(count))
            case 7 where step % 5 == 0: try image.resize(to: UInt64.random(in: limit / 2..<limit, using: &random))
            default:
                try image.sync()
                afterCommit()
            }
        }
        try image.close()
        afterCommit()
    }

    @Test(arguments: [4096, 16_384, 65_536]) func commits(_ chunk: Int) throws {
        let file = MemoryFile()
        let journal: UInt64 = chunk == 65_536 ? 524_288 : 262_144
        let image = try SealedImage.create(
            on: file, for: [try Self.secret.slotKey()], chunkByteCount: chunk, journalByteCount: journal,
            creationTime: 0)
        var states = [file.contents]
        try Self.work(image, seed: UInt64(chunk), steps: 120) { states.append(file.contents) }
        let chosen = stride(from: 0, to: states.count, by: max(1, states.count / 8)).map { states[$0] }
        let files = chosen + [states[states.count - 1]]
        let scratch = try Scratch(inMemory: true)
        guard let theirs = try Self.summaries(files, scratch) else { return }
        let ours = try files.map { try Self.summary($0) }
        #expect(theirs == ours)
        #expect(Set(ours).count > 5)
    }

    /// A group's last chunk and the next one's first, and far ones behind further pages, most of them absent.
    @Test func farChunks() throws {
        let file = MemoryFile()
        let image = try SealedImage.create(
            on: file, for: [try Self.secret.slotKey()], chunkByteCount: 4096, journalByteCount: 262_144, creationTime: 0
        )
        let places: [UInt64] = [83, 84, 84 * 126 - 1, 84 * 126, 84 * 126 + 500]
        for (number, place) in places.enumerated() {
            let text = [UInt8](repeating: UInt8(number + 1), count: 4096)
            try image.write(text.rawBytes, at: place * 4096)
        }
        try image.sync()
        let committed = file.contents
        try image.close()
        let files = [committed, file.contents]
        let scratch = try Scratch(inMemory: true)
        guard let theirs = try Self.summaries(files, scratch) else { return }
        let ours = try files.map { try Self.summary($0) }
        #expect(theirs == ours)
        #expect(ours[0] == ours[1], "closing changes no contents")
    }

    /// So many, evenly from all of them.
    private static func some(_ count: Int, of files: [MemoryFile.Contents]) -> [MemoryFile.Contents] {
        (0..<min(count, files.count)).map { files[$0 * files.count / min(count, files.count)] }
    }

    /// Whether a record of pages stands between the journal's tail and its head, or at the head: there the next checkpoint
    /// writes it again.
    private static func hasPages(_ image: SealedImage) throws -> Bool {
        let (tail, head) = image.state.withLock { ($0.tail, $0.head) }
        return try stride(from: tail, through: head, by: 4096).contains { position in
            let bytes = try image.ring.bytes(at: position, count: 64)
            let (own, kind): (UInt64, UInt32) = (
                bytes.rawBytes.integer(at: 40, .little), bytes.rawBytes.integer(at: 48, .little)
            )
            return Array(bytes[32..<40]) == RecordHead.knownSignature && own == position && kind == 2
        }
    }

    @Test func powerCuts() throws {
        let recording = RecordingFile(MemoryFile.Contents())
        let image = try SealedImage.create(
            on: recording, for: [try Self.secret.slotKey()], chunkByteCount: 4096, journalByteCount: 262_144,
            creationTime: 0)
        recording.mark(1)
        try Self.work(image, seed: 77, steps: 300) {}
        // Those with a checkpoint cut off are few: in them pages stand in the journal.
        var (checkpoints, others) = ([MemoryFile.Contents](), [MemoryFile.Contents]())
        _ = try PowerCuts(recording.recording, imageLimit: 8, seed: 5).forEachImage { cut in
            guard cut.marks.contains(1) else { return }
            let image = try SealedImage(reading: MemoryFile(cut.contents), secrets: [try Self.secret.slotKey()])
            if try Self.hasPages(image) { checkpoints.append(cut.contents) } else { others.append(cut.contents) }
        }
        #expect(checkpoints.count > 20 && others.count > 20, "\(checkpoints.count), \(others.count)")
        let files = Self.some(20, of: checkpoints) + Self.some(20, of: others)
        let scratch = try Scratch(inMemory: true)
        guard let theirs = try Self.summaries(files, scratch) else { return }
        #expect(theirs == (try files.map { try Self.summary($0) }))
    }

    /// One byte in every few hundred of a closed image changed: both refuse, or both have what was committed.
    @Test func changedBytes() throws {
        let file = MemoryFile()
        let image = try SealedImage.create(
            on: file, for: [try Self.secret.slotKey()], chunkByteCount: 4096, journalByteCount: 262_144, creationTime: 0
        )
        try Self.work(image, seed: 3, steps: 20) {}
        let good = file.allBytes
        let expected = try Self.summary(file.contents)
        var files: [MemoryFile.Contents] = []
        for place in [0, 70, 65_536 + 100, 131_072 + 40, 262_144 + 60, 393_216 + 70, good.count - 5, 655_360 + 100]
            + stride(from: 655_360 + 1000, to: good.count, by: good.count / 12)
        {
            var bytes = good
            bytes[place] ^= 4
            files.append(MemoryFile(bytes).contents)
        }
        let scratch = try Scratch(inMemory: true)
        guard let theirs = try Self.summaries(files, scratch) else { return }
        let ours = files.map { (try? Self.summary($0)) ?? "refused" }
        #expect(theirs.map { $0.hasPrefix("refused") ? "refused" : $0 } == ours)
        #expect(ours.allSatisfy { $0 == "refused" || $0 == expected } && ours.contains("refused"))
    }
}
