import ByteCodec
import Glibc
import Synchronization

/// A file whose every change can be taken back: before bytes of it are overwritten, zeroed or cut off for the first time,
/// what stood there is saved in an undo file. What lies past the file's first end needs no saving, only its size.
///
/// Order of writes, for the first change and for each that touches bytes not saved yet:
/// 1. (the first time) the undo file is made by the caller's closure, which also makes its name durable.
/// 2. The old bytes are appended to the undo file, in whole pages of 4096 bytes; flush. A loss up to here leaves the file
///    as it was before this change.
/// 3. The line `saved` is appended; flush. From here on the undo file vouches for these bytes.
/// 4. The change is made in the file.
/// A loss at any moment leaves a file that equals the original, or that the undo file makes equal to it (`UndoJournal`).
/// After a failed step every further change is refused. When the first change fails before step 4, nothing needs the undo
/// file: it is given back to the caller, to be removed.
public final class UndoFile: BlockFile {
    /// Ranges saved; more would take too much memory when they are put back.
    static let recordLimit = 1_000_000
    private static let pageByteCount: UInt64 = 4096

    private struct State: Sendable {
        var writer: UndoWriter?
        var saved = ByteRanges()
        var hasFailed = false
    }
    private let base: any BlockFile
    private let makeJournal: @Sendable () throws(IOError) -> any BlockFile
    private let dropJournal: @Sendable (any BlockFile) -> Void
    private let originalByteCount: UInt64
    private let state = Mutex(State())

    /// - Parameters:
    ///   - makeJournal: makes the undo file, empty and durable under its name; called before the first change.
    ///   - dropJournal: removes it, where the old bytes of the first change could not be saved: nothing was changed then.
    public init(
        _ base: any BlockFile, makeJournal: @escaping @Sendable () throws(IOError) -> any BlockFile,
        dropJournal: @escaping @Sendable (any BlockFile) -> Void = { _ in }
    ) throws(IOError) {
        self.base = base
        (self.makeJournal, self.dropJournal) = (makeJournal, dropJournal)
        originalByteCount = try base.byteCount()
    }

    public var path: String { base.path }
    /// The undo file; nil as long as nothing was changed.
    public var journal: (any BlockFile)? { state.withLock { $0.writer?.file } }

    public func byteCount() throws(IOError) -> UInt64 { try base.byteCount() }
    public func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        try base.read(into: &buffer, at: offset)
    }
    public func data(from offset: UInt64) throws(IOError) -> Range<UInt64>? { try base.data(from: offset) }
    public func sync() throws(IOError) { try base.sync() }

    public func write(_ bytes: RawSpan, at offset: UInt64) throws(IOError) {
        guard let range = checkedRange(offset, UInt64(bytes.byteCount)) else {
            throw IOError("write", path: path, .errno(EFBIG), offset: offset)
        }
        guard !range.isEmpty else { return }
        try save(range)
        try base.write(bytes, at: offset)
    }

    public func zero(_ range: Range<UInt64>) throws(IOError) {
        guard try range.lowerBound < min(range.upperBound, base.byteCount()) else { return }
        try save(range)
        try base.zero(range)
    }

    public func resize(to byteCount: UInt64) throws(IOError) {
        try save(min(byteCount, originalByteCount)..<originalByteCount)
        try base.resize(to: byteCount)
    }

    /// Closes the undo file with what the changes have left, by which `UndoJournal` sees whether the file was changed
    /// since. Flushes the changes first.
    public func finish() throws(IOError) {
        try state.withLock { (state) throws(IOError) in
            guard !state.hasFailed, state.writer != nil else { return }
            try base.sync()
            var left = try UndoLine.FileState(of: base, byteCount: try base.byteCount())
            left.saved = try state.saved.checksum(in: base)
            try state.writer?.append(.end(left))
            try state.writer?.flush()
        }
    }

    private func save(_ range: Range<UInt64>) throws(IOError) {
        try state.withLock { (state) throws(IOError) in
            guard !state.hasFailed else { throw IOError("undo", path: path, .readOnly) }
            let old = range.clamped(to: 0..<originalByteCount)
            let pages =
                old.lowerBound.roundedDown(
                    to: Self.pageByteCount)..<min(
                    originalByteCount, old.upperBound.roundedUp(to: Self.pageByteCount))
            let gaps = old.isEmpty ? [] : state.saved.gaps(in: pages)
            // Without anything to save, too, the file must exist before the first change: it knows the old size.
            guard !gaps.isEmpty || state.writer == nil else { return }
            do throws(IOError) { try save(gaps, &state) } catch {
                state.hasFailed = true
                throw error
            }
        }
    }

    private func save(_ gaps: [Range<UInt64>], _ state: inout State) throws(IOError) {
        if let writer = state.writer {
            state.writer = try append(gaps, writer)
        } else {
            let journal = try makeJournal()
            do throws(IOError) {
                var writer = UndoWriter(file: journal)
                let original = try UndoLine.FileState(of: base, byteCount: originalByteCount)
                try writer.append(.header(original, image: splitPath(path).name))
                state.writer = try append(gaps, writer)
            } catch {
                dropJournal(journal)
                throw error
            }
        }
        for gap in gaps { state.saved.insert(gap) }
    }

    /// Steps 2 and 3.
    private func append(_ gaps: [Range<UInt64>], _ before: UndoWriter) throws(IOError) -> UndoWriter {
        var writer = before
        for gap in gaps { try save(gap, &writer) }
        try writer.flush()
        try writer.append(.saved)
        try writer.flush()
        return writer
    }

    private func save(_ gap: Range<UInt64>, _ writer: inout UndoWriter) throws(IOError) {
        var position = gap.lowerBound
        while position < gap.upperBound {
            guard writer.recordCount < Self.recordLimit else {
                throw IOError("undo", path: writer.file.path, .errno(EFBIG), offset: position)
            }
            let data = try base.data(from: position) ?? gap.upperBound..<gap.upperBound
            if position < data.lowerBound {
                let end = min(data.lowerBound, gap.upperBound)
                try writer.append(.zeros(position..<end))
                position = end
                continue
            }
            let end = min(gap.upperBound, data.upperBound, position + UInt64(UndoLine.savedByteCount))
            let bytes = try base.bytes(at: position, count: Int(end - position))
            try writer.append(
                ByteCodec.isZero(bytes.rawBytes) ? .zeros(position..<end) : .bytes(offset: position, bytes))
            position = end
        }
    }
}

/// Appends lines to an undo file.
struct UndoWriter: Sendable {
    let file: any BlockFile
    /// Where the next line goes.
    var end: UInt64 = 0
    /// Of all lines so far.
    var crc: UInt32 = 0
    var recordCount = 0
    private var pending: [UInt8] = []

    init(file: any BlockFile, end: UInt64 = 0, crc: UInt32 = 0) { (self.file, self.end, self.crc) = (file, end, crc) }

    mutating func append(_ line: UndoLine) throws(IOError) {
        pending += line.text(&crc)
        if !line.isMarker { recordCount += 1 }
        if pending.count > 1 << 20 { try write() }
    }

    private mutating func write() throws(IOError) {
        try file.write(pending, at: end)
        end += UInt64(pending.count)
        pending.removeAll(keepingCapacity: true)
    }

    /// Makes the lines durable.
    mutating func flush() throws(IOError) {
        try write()
        try file.sync()
    }
}

extension UndoLine.FileState {
    /// - Parameter byteCount: the file counts as ending there.
    init(of file: any BlockFile, byteCount: UInt64) throws(IOError) {
        self.byteCount = byteCount
        let edge = Int(min(byteCount, Self.edgeByteCount))
        let (first, last) = (
            try file.bytes(at: 0, count: edge), try file.bytes(at: byteCount - UInt64(edge), count: edge)
        )
        (head, tail) = (crc32c(first.rawBytes), crc32c(last.rawBytes))
    }
}

extension ByteRanges {
    /// CRC-32C of the bytes of a file in these ranges, as far as it reaches.
    func checksum(in file: any BlockFile) throws(IOError) -> UInt32 {
        let byteCount = try file.byteCount()
        let buffer = IOBuffer(byteCount: 1 << 18)
        var crc: UInt32 = 0
        for range in all {
            var position = range.lowerBound
            let end = min(range.upperBound, byteCount)
            while position < end {
                let count = Int(min(UInt64(buffer.byteCount), end - position))
                try buffer.fill(count, from: file, at: position)
                crc = crc32c(buffer.bytes(0..<count), initial: crc)
                position += UInt64(count)
            }
        }
        return crc
    }
}
