public import BlockIO
import ByteCodec
import Cipher
public import DiskModel
import Dispatch

/// Opens a sealed stream: gives its text from start to end (docs/formats/sealed.md, Sealed stream). Memory: a few MiB.
///
/// Text leaves only when its segment is authentic. What was given before a failure, or before the end of a stream that
/// was cut off, is a prefix of what was sealed. One owner at a time; another thread opens segments ahead.
public final class SealedStreamReader {
    /// Gives bytes of the container in order, as many as it has: 0 at the end.
    public typealias Source = (inout MutableRawSpan) throws(IOError) -> Int

    public let path: String
    public let envelope: Envelope
    let keys: ContainerKeys
    /// Whether all text was given, and the end frame was there and right. False for an open stream, at its end too.
    public private(set) var isComplete = false

    private var frames: StreamFrameReader
    private let queue = DispatchQueue(label: "unsealing")
    private lazy var current = SegmentBatch(.open, queue)
    private lazy var ahead = SegmentBatch(.open, queue)
    private struct Loaded {
        var isStarted: Bool
        var place: StreamFrameReader.Place
        var next: StreamFrameReader.Next
    }
    /// What is known of `ahead`; nil before the first batch.
    private var loaded: Loaded?
    /// Text of `current` that may be given.
    private var available = 0..<0
    private var end: StreamFrameReader.Next?
    /// Behind the last frame that was found authentic as a whole, but for an end frame.
    private(set) var verified: StreamFrameReader.Mark

    /// Reads the envelope and finds its key.
    /// - Parameters:
    ///   - secrets: those at hand, in any order; passphrases are tried last.
    ///   - path: of the container, for messages.
    /// - Throws: `.format` for what is no sealed stream (SEAL001 to SEAL006, SEAL011), `.key` when no secret opens it or the
    ///   envelope was changed, `.io`.
    public init(secrets: [SlotKey], path: String, from source: @escaping Source) throws(DiskError) {
        let input = StreamInput(source)
        let start = try StreamStart(input, secrets: secrets, path: path)
        (self.path, envelope, keys) = (path, start.envelope, start.keys)
        frames = StreamFrameReader(input, path: path, start.chain)
        verified = frames.mark
    }

    /// Of a file, or what stands at its start.
    public convenience init(secrets: [SlotKey], from file: any BlockFile) throws(DiskError) {
        try self.init(secrets: secrets, path: file.path, from: Self.source(of: file))
    }

    /// A file's bytes from its start to where it ends now.
    static func source(of file: any BlockFile) throws(DiskError) -> Source {
        var offset: UInt64 = 0
        let size: UInt64
        do throws(IOError) { size = try file.byteCount() } catch { throw DiskError(error, doing: "opening") }
        return { (bytes) throws(IOError) in
            let count = Int(min(UInt64(bytes.byteCount), size - offset))
            try bytes.withPart(0..<count) { (part) throws(IOError) in try file.read(into: &part, at: offset) }
            offset += UInt64(count)
            return count
        }
    }

    /// Gives the next text.
    /// - Returns: how many bytes; 0 at the end, when `isComplete` says which end it is, or for an empty buffer.
    /// - Throws: `.key` for what is not authentic, `.format` SEAL007 for frames that do not follow each other and
    ///   SEAL008 for bytes behind the end, `.io`; again in every further call.
    public func read(into buffer: inout MutableRawSpan) throws(DiskError) -> Int {
        guard buffer.byteCount > 0 else { return 0 }
        while available.isEmpty { guard try advance() else { return 0 } }
        let (sealed, place) = (current.sealed, takePiece(buffer.byteCount))
        buffer.copy(sealed.bytes(place), at: 0)
        return place.count
    }

    /// For those who must have all of it.
    /// - Throws: SEAL010 for a stream that is open, or not read to its end.
    public func requireEnd() throws(DiskError) {
        guard !isComplete else { return }
        throw DiskError(
            StreamFailure.open(at: verified.offset), path: path, hint: "take a complete copy")
    }

    /// Gives all the text that is left, in pieces of up to 64 KiB, without copying it.
    /// - Throws: as `read`, after all text before was given; what `body` throws.
    public func forEachPiece(_ body: (RawSpan) throws(DiskError) -> Void) throws(DiskError) {
        repeat {
            while !available.isEmpty {
                let (sealed, place) = (current.sealed, takePiece(.max))
                try body(sealed.bytes(place))
            }
        } while try advance()
    }

    /// Takes text that is available and of one segment.
    /// - Returns: its place in the batch.
    private func takePiece(_ limit: Int) -> Range<Int> {
        let place = SegmentBatch.place(ofText: available.lowerBound).prefix(min(limit, available.count))
        available = available.lowerBound + place.count..<available.upperBound
        return place
    }

    /// Makes the next batch available.
    /// - Returns: false at the end.
    private func advance() throws(DiskError) -> Bool {
        if let end { return try leave(end) }
        let here = loaded ?? load()
        guard here.isStarted else { return try leave(here.next) }
        let count = ahead.wait()
        guard count == ahead.segmentCount else { return try fail(here, authentic: count) }
        (current, ahead) = (ahead, current)
        if current.endsFrame { verified = frames.mark }
        available = 0..<current.filledByteCount
        if case .more = here.next { loaded = load() } else { end = here.next }
        return true
    }

    private func load() -> Loaded {
        let (isStarted, place, next) = frames.load(ahead)
        return Loaded(isStarted: isStarted, place: place, next: next)
    }

    private func leave(_ next: StreamFrameReader.Next) throws(DiskError) -> Bool {
        end = next
        switch next {
        case .more: preconditionFailure("a batch without segments is the last")
        case .end(let isComplete): self.isComplete = isComplete
        case .failure(let error): throw error
        }
        return false
    }

    /// Gives what is before the first segment that is not authentic; then it fails.
    private func fail(_ here: Loaded, authentic count: Int) throws(DiskError) -> Bool {
        let offset = here.place.offset + UInt64(count * SegmentBatch.sealedByteCount)
        let error = StreamFailure.notAuthentic(
            segment: ahead.firstCounter + UInt64(count), frame: here.place.frame, at: offset, path: path)
        end = .failure(error)
        guard count > 0 else { throw error }
        (current, ahead) = (ahead, current)
        available = 0..<count * SegmentBatch.textByteCount
        return true
    }
}
