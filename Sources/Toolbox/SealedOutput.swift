public import BlockIO
import ByteCodec
import ChangeLog
import DiskModel
public import SealedFile

/// A sealed file in the making.
public protocol SealedOutput: ContentsSink {
    var kind: String { get }
    /// 16 bytes.
    var containerID: [UInt8] { get }
    var chunkByteCount: Int { get }
    var keyCount: Int { get }
    /// Of the file.
    var byteCount: UInt64 { get }
    /// Of an image, when it is finished.
    var anchor: Anchor? { get }
}

/// A sealed stream, to a pipe or into a new file.
public final class SealedStreamOutput: SealedOutput {
    /// Bytes so far.
    private final class Counter {
        var byteCount: UInt64 = 0
    }

    private let writer: SealedStreamWriter
    private let pending: PendingFile?
    private let written = Counter()
    public let keyCount: Int
    public let kind = "stream"
    public let chunkByteCount = Envelope.streamSegmentByteCount
    public let anchor: Anchor? = nil
    public var containerID: [UInt8] { writer.containerID }
    public var byteCount: UInt64 { written.byteCount }

    public init(to pending: PendingFile, for secrets: [SlotKey]) throws {
        let (file, written) = (pending.file, written)
        (self.pending, keyCount) = (pending, secrets.count)
        writer = try SealedStreamWriter(
            for: secrets, creationTime: ToolRun.creationTime, path: pending.finalPath
        ) { (bytes) throws(IOError) in
            try file.write(bytes, at: written.byteCount)
            written.byteCount += UInt64(bytes.byteCount)
        }
    }

    public init(to out: OutputStream, for secrets: [SlotKey]) throws {
        (pending, keyCount) = (nil, secrets.count)
        let path = Self.standardOutput
        writer = try SealedStreamWriter(for: secrets, creationTime: ToolRun.creationTime, path: path) {
            (bytes) throws(IOError) in try Self.send(bytes, to: out)
        }
    }

    private static let standardOutput = "standard output"

    private static func send(_ bytes: RawSpan, to out: OutputStream) throws(IOError) {
        do throws(OutputFailure) { try out.write(bytes) } catch {
            throw IOError("write", path: standardOutput, .errno(error.code))
        }
    }

    public func data(_ offset: UInt64, _ bytes: RawSpan) throws { try writer.write(bytes) }

    public func zeros(_ offset: UInt64, _ byteCount: UInt64) throws {
        try forEachRunOfZeros(byteCount) { zeros in try writer.write(zeros) }
    }

    public func finish() throws {
        try writer.finish()
        if let pending { try KeysInUse.refuseReplacing(pending.finalPath) }
        try pending?.commit()
    }
}

/// A sealed image in a new file. Zeros are no chunks.
public final class SealedImageOutput: SealedOutput {
    private let image: SealedImage
    private let pending: PendingFile
    private var end: UInt64 = 0
    public private(set) var byteCount: UInt64 = 0
    public private(set) var anchor: Anchor?
    public let keyCount: Int
    public let kind = "image"
    public var chunkByteCount: Int { image.chunkByteCount }
    public var containerID: [UInt8] { image.envelope.containerID }

    /// - Parameters:
    ///   - chunkByteCount: nil for the usual one.
    ///   - journalByteCount: nil for the usual one.
    public init(
        to pending: PendingFile, for secrets: [SlotKey], chunkByteCount: Int?, journalByteCount: UInt64? = nil
    ) throws {
        // Its own order of flushes is of no use before it has a name.
        image = try SealedImage.create(
            on: DraftFile(pending.file), for: secrets,
            chunkByteCount: chunkByteCount ?? Envelope.defaultImageChunkByteCount,
            journalByteCount: journalByteCount ?? SealedImage.defaultJournalByteCount,
            creationTime: ToolRun.creationTime)
        (self.pending, keyCount) = (pending, secrets.count)
    }

    public func data(_ offset: UInt64, _ bytes: RawSpan) throws {
        try forEachNonzeroRun(in: bytes, granularity: chunkByteCount) { run in
            try image.write(bytes.extracting(run), at: offset + UInt64(run.lowerBound))
        }
        end = offset + UInt64(bytes.byteCount)
    }

    public func zeros(_ offset: UInt64, _ byteCount: UInt64) throws { end = offset + byteCount }

    public func finish() throws {
        try image.resize(to: end)
        try image.close()
        byteCount = try pending.file.byteCount()
        anchor = image.anchor
        try KeysInUse.refuseReplacing(pending.finalPath)
        try pending.commit()
    }
}

/// So many zeros in pieces.
public func forEachRunOfZeros(_ byteCount: UInt64, _ body: (RawSpan) throws -> Void) rethrows {
    let zeros = [UInt8].zeros(Int(min(byteCount, 1 << 20)))
    var left = byteCount
    while left > 0 {
        let count = Int(min(left, UInt64(zeros.count)))
        try body(zeros.rawBytes.extracting(0..<count))
        left -= UInt64(count)
    }
}
