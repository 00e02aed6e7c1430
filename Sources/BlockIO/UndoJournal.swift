public import ByteCodec
import Glibc

extension FormatError.Code {
    /// Not an undo file.
    public static let undoFile = Self("UNDO001")
    /// An undo file with damaged lines.
    public static let undoDamaged = Self("UNDO002")
    /// The image is not the one that the undo file was made for.
    public static let undoOtherImage = Self("UNDO003")
    /// The image was changed after the repair.
    public static let undoImageChanged = Self("UNDO004")
}

/// An undo file, read and checked, and putting back what it holds.
///
/// The last lines may be torn: they were appended when nothing they name had been changed yet. Any other damage is refused.
public struct UndoJournal: Sendable {
    public enum ImageState: Sendable, Equatable {
        /// The bytes can be put back.
        case changed
        /// They are what they were.
        case original
    }

    public let file: any BlockFile
    /// The image's name when the undo file was made.
    public let imageName: String
    /// Its size then.
    public var originalByteCount: UInt64 { original.byteCount }
    /// Bytes of it that are saved.
    public private(set) var savedByteCount: UInt64 = 0
    /// Whether the repair came to its end.
    public var isClosed: Bool { left != nil }

    private let original: UndoLine.FileState
    private var left: UndoLine.FileState?
    private var saved = ByteRanges()
    private var recordCount = 0
    private var isBegun = false
    private var isDone = false
    /// Where the lines end that count, and their checksum.
    private var end: UInt64 = 0
    private var crc: UInt32 = 0

    /// - Throws: `FormatError` for what is no undo file, or a damaged one; `IOError`.
    public init(reading file: any BlockFile) throws {
        var lines = UndoLines(file)
        guard case .line(.header(let state, let name))? = try lines.next(), state.byteCount <= UInt64(Int64.max) else {
            throw FormatError(
                .undoFile, field: "first line", offset: 0, "is not that of an undo file of vhdcheck", section: "")
        }
        (self.file, original, imageName) = (file, state, name)
        var unconfirmed = ByteRanges()
        reading: while let item = try lines.next() {
            switch item {
            case .torn: break reading
            case .damaged(let offset): throw Self.damaged(offset)
            case .line(let line):
                let offset = end
                guard try note(line, &unconfirmed) else { throw Self.damaged(offset) }
                if line.isMarker { (end, crc) = (lines.position, lines.crc) }
            }
        }
    }

    /// Whether the file is empty or ends within the first line of an undo file: its repair ended before anything was saved
    /// in it, and so before it changed anything. Nothing else is taken for that, zeros neither.
    public static func isUnbegun(_ file: any BlockFile) throws(IOError) -> Bool {
        let byteCount = try file.byteCount()
        guard byteCount < UInt64(UndoLine.byteLimit) else { return false }
        let bytes = try file.bytes(at: 0, count: Int(byteCount))
        let known = Array(UndoLine.opening.utf8)
        guard bytes.prefix(known.count).elementsEqual(known.prefix(bytes.count)) else { return false }
        return !bytes.contains { $0 == UInt8(ascii: "\n") || $0 == 0 }
    }

    private static func damaged(_ offset: UInt64) -> FormatError {
        FormatError(.undoDamaged, field: "line", offset: offset, "is damaged: nothing is put back", section: "")
    }

    /// - Returns: false for a line that cannot stand here.
    private mutating func note(_ line: UndoLine, _ unconfirmed: inout ByteRanges) throws -> Bool {
        switch line {
        case .header: return false
        case .bytes(let offset, let bytes): return add(checkedRange(offset, UInt64(bytes.count)), &unconfirmed)
        case .zeros(let range): return add(range, &unconfirmed)
        case .saved:
            guard left == nil, !isBegun else { return false }
            for range in unconfirmed.all {
                saved.insert(range)
                savedByteCount += range.upperBound - range.lowerBound
            }
            unconfirmed = ByteRanges()
        case .end(let state):
            guard left == nil, !isBegun, unconfirmed.all.isEmpty else { return false }
            left = state
        case .undoing:
            guard unconfirmed.all.isEmpty else { return false }
            (isBegun, isDone) = (true, false)
        case .undone:
            guard isBegun else { return false }
            isDone = true
        }
        return true
    }

    private mutating func add(_ range: Range<UInt64>?, _ unconfirmed: inout ByteRanges) -> Bool {
        guard let range, !range.isEmpty, range.upperBound <= original.byteCount, left == nil, !isBegun else {
            return false
        }
        guard saved.parts(in: range).isEmpty, unconfirmed.parts(in: range).isEmpty else { return false }
        recordCount += 1
        unconfirmed.insert(range)
        return recordCount <= UndoFile.recordLimit
    }

    /// Visits what was saved and confirmed, in order.
    private func forEachRecord(_ body: (UndoLine) throws -> Void) throws {
        var lines = UndoLines(file)
        while lines.position < end, case .line(let line)? = try lines.next() {
            switch line {
            case .bytes, .zeros: try body(line)
            default: break
            }
        }
    }

    // MARK: Checking

    /// Whether this is the image and its bytes can be put back. Changes nothing.
    /// - Throws: `FormatError` when it is another image, or was changed since; `IOError`.
    public func check(_ image: any BlockFile) throws -> ImageState {
        guard try restoredEdges(image) == original else {
            throw FormatError(
                .undoOtherImage, field: "image", offset: 0,
                "is not the one this undo file was made for (\(imageName), \(original.byteCount) bytes), or was changed "
                    + "since", section: "")
        }
        if try isOriginal(image) { return .original }
        let isUntouched = !isBegun && left == nil
        // Whoever cuts off the putting back may have left anything between the two states.
        if isUntouched || (isBegun && !isDone) { return .changed }
        var now = try UndoLine.FileState(of: image, byteCount: try image.byteCount())
        now.saved = try saved.checksum(in: image)
        guard !isDone, now == left else {
            throw FormatError(
                .undoImageChanged, field: "image", offset: 0,
                "was changed after the repair: putting back the old bytes would destroy that", section: "")
        }
        return .changed
    }

    /// The state that the image's size and edges would have with everything put back.
    private func restoredEdges(_ image: any BlockFile) throws -> UndoLine.FileState {
        let count = original.byteCount
        let edge = min(count, UndoLine.FileState.edgeByteCount)
        let (first, last) = (0..<edge, count - edge..<count)
        var (head, tail) = (try Self.bytes(of: image, first), try Self.bytes(of: image, last))
        try forEachRecord { line in
            Self.put(line, into: &head, of: first)
            Self.put(line, into: &tail, of: last)
        }
        return UndoLine.FileState(byteCount: count, head: crc32c(head.rawBytes), tail: crc32c(tail.rawBytes))
    }

    /// The bytes of a range, zeros past the end.
    private static func bytes(of image: any BlockFile, _ range: Range<UInt64>) throws(IOError) -> [UInt8] {
        let there = range.clamped(to: 0..<max(range.lowerBound, try image.byteCount()))
        let missing = range.upperBound - max(range.lowerBound, there.upperBound)
        guard !there.isEmpty else { return .zeros(Int(range.upperBound - range.lowerBound)) }
        return try image.bytes(at: there.lowerBound, count: Int(there.upperBound - there.lowerBound))
            + .zeros(Int(missing))
    }

    private static func put(_ line: UndoLine, into buffer: inout [UInt8], of range: Range<UInt64>) {
        guard let (saved, bytes) = line.saved else { return }
        let hit = saved.clamped(to: range)
        guard !hit.isEmpty else { return }
        let start = Int(hit.lowerBound - range.lowerBound)
        let count = Int(hit.upperBound - hit.lowerBound)
        var raw = buffer.mutableRawBytes
        guard let bytes else { return raw.zero(start..<start + count) }
        let from = Int(hit.lowerBound - saved.lowerBound)
        raw.copy(bytes.rawBytes.extracting(from..<from + count), at: start)
    }

    private func isOriginal(_ image: any BlockFile) throws -> Bool {
        guard try image.byteCount() == original.byteCount else { return false }
        var isSame = true
        try forEachRecord { line in
            guard isSame, let (range, bytes) = line.saved else { return }
            if let bytes {
                isSame = try image.bytes(at: range.lowerBound, count: bytes.count) == bytes
            } else {
                isSame = try image.isZero(range)
            }
        }
        return isSame
    }

    // MARK: Putting back

    /// Puts everything back. The image must have passed `check`, under the writer's lock since.
    ///
    /// 1. What was torn at the end of the undo file is cut off, flush; the line `undoing`, flush. From here on the image may be anything between the two states.
    /// 2. The image gets its old size where it is shorter now; the old bytes; its old size where it is longer; flush.
    /// 3. The line `undone`; flush.
    /// A loss at any moment leaves an image and an undo file with which the same can be done again.
    public func restore(_ image: any BlockFile, progress: (_ done: UInt64, _ total: UInt64) throws -> Void) throws {
        // What was torn at the end would stand before the next lines.
        if try file.byteCount() > end {
            try file.resize(to: end)
            try file.sync()
        }
        var writer = UndoWriter(file: file, end: end, crc: crc)
        try writer.append(.undoing)
        try writer.flush()
        if try image.byteCount() < original.byteCount { try image.resize(to: original.byteCount) }
        var done: UInt64 = 0
        try forEachRecord { line in
            guard let (range, bytes) = line.saved else { return }
            if let bytes { try image.write(bytes, at: range.lowerBound) } else { try image.zero(range) }
            done += range.upperBound - range.lowerBound
            try progress(done, savedByteCount)
        }
        if try image.byteCount() > original.byteCount { try image.resize(to: original.byteCount) }
        try image.sync()
        try writer.append(.undone)
        try writer.flush()
    }
}

extension UndoLine {
    /// The range a record saves, and its bytes; nil for zeros.
    fileprivate var saved: (range: Range<UInt64>, bytes: [UInt8]?)? {
        switch self {
        case .bytes(let offset, let bytes): (offset..<offset + UInt64(bytes.count), bytes)
        case .zeros(let range): (range, nil)
        default: nil
        }
    }
}
