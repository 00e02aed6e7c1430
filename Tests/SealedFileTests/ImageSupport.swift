import BlockIO
import ByteCodec
import Cipher
import Digest
import DiskModel
import FaultInjection
import Synchronization

@testable import SealedFile

/// A key file's bytes: cheap to derive from.
func keyFile(_ octet: UInt8 = 7) -> SlotKey {
    let bytes = [UInt8](repeating: octet, count: 32)
    return .keyFile(SecretBytes(copying: bytes.rawBytes))
}

/// The same bytes each time.
func fixedRandom(_ seed: UInt64) -> RandomSource {
    let generator = Mutex(SplitMix(seed: seed))
    return RandomSource { bytes in
        let count = bytes.byteCount
        let drawn = generator.withLock { $0.bytes(count) }
        bytes.copy(drawn.rawBytes, at: 0)
    }
}

/// Bytes that differ from all others drawn, made faster than random ones.
func stamped(_ count: Int, _ random: inout SplitMix) -> [UInt8] {
    let stamp = random.bytes(min(8, count))
    return stamp + [UInt8](repeating: stamp[0], count: count - stamp.count)
}

func makeImage(
    on file: any BlockFile, chunk: Int = 4096, journal: UInt64 = 262_144, seed: UInt64 = 1
) throws -> SealedImage {
    try SealedImage.create(
        on: file, for: [keyFile()], chunkByteCount: chunk, journalByteCount: journal, creationTime: 0,
        random: fixedRandom(seed))
}

func openImage(_ contents: MemoryFile.Contents, anchor: Anchor? = nil) throws -> SealedImage {
    try SealedImage(reading: MemoryFile(contents), secrets: [keyFile()], anchor: anchor)
}

extension BlockFile {
    /// Everything in it.
    func everything() throws -> [UInt8] {
        let count = try byteCount()
        return try bytes(at: 0, count: Int(count))
    }
}

/// What stands for a disk's contents where many are compared: faster than comparing them.
func fingerprint(_ disk: [UInt8]) -> [UInt8] { Digest.hash(.sha256, disk.rawBytes) }

/// Whether an error says that bytes are not those that were sealed, or that some are missing.
func isRefusal(_ error: any Error) -> Bool {
    if let error = error as? DiskError {
        if error.kind == .key || error.kind == .format { return true }
        if case .endOfFile = error.ioError?.reason { return true }
        return false
    }
    guard let error = error as? IOError else { return false }
    if case .endOfFile = error.reason { return true }
    return error.reason == .notAuthentic
}

/// What a flush of a sealed image makes durable, by what was written before it.
enum FlushedStep: Sendable {
    /// Chunks of a commit, in the journal or in their places.
    case chunks
    /// A commit's record.
    case record
    /// Images of pages.
    case images
    /// Chunks and pages in their places, by a checkpoint.
    case places
    case root
}

/// Flushes of one step are answered and not done: a broken control.
final class UnsyncedFile: BlockFile {
    private let base: RecordingFile
    private let dropped: FlushedStep?
    private let step = Mutex(FlushedStep.chunks)
    let droppedCount = Mutex(0)

    init(_ base: RecordingFile, dropping dropped: FlushedStep?) { (self.base, self.dropped) = (base, dropped) }

    var path: String { base.path }
    func byteCount() -> UInt64 { base.byteCount() }
    func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        try base.read(into: &buffer, at: offset)
    }
    func write(_ bytes: RawSpan, at offset: UInt64) {
        let isRecord = bytes.byteCount > 56 && bytes.array(32..<40) == RecordHead.knownSignature
        let isPages = isRecord && bytes.integer(at: 48, as: UInt32.self, .little) == 2
        step.withLock { step in
            switch offset {
            case ..<ImageLayout.journalOffset: step = .root
            case _ where isPages: step = .images
            case _ where isRecord: step = .record
            case ImageLayout.journalOffset..<ImageLayout.journalOffset + 262_144:
                if step != .images { step = .chunks }
            default: step = step == .places || step == .images ? .places : .chunks
            }
        }
        base.write(bytes, at: offset)
    }
    func resize(to byteCount: UInt64) { base.resize(to: byteCount) }
    func zero(_ range: Range<UInt64>) { base.zero(range) }
    func data(from offset: UInt64) -> Range<UInt64>? { base.data(from: offset) }
    func sync() {
        let isDropped = step.withLock { step in
            defer { if step == .images { step = .places } else { step = .chunks } }
            return step == dropped
        }
        guard isDropped else { return base.sync() }
        droppedCount.withLock { $0 += 1 }
    }
}
