import ByteCodec

/// The lines of an undo file, one after the other, in bounded memory.
struct UndoLines {
    enum Item {
        case line(UndoLine)
        /// The rest was being appended when the writer was cut off.
        case torn
        case damaged(offset: UInt64)
    }
    private let file: any BlockFile
    private var buffer: [UInt8] = []
    /// Of the next line in the buffer.
    private var start = 0
    /// Where the next line begins.
    private(set) var position: UInt64 = 0
    private(set) var crc: UInt32 = 0

    init(_ file: any BlockFile) { self.file = file }

    mutating func next() throws(IOError) -> Item? {
        let byteCount = try file.byteCount()
        guard position < byteCount else { return nil }
        var length = buffer[start...].firstIndex(of: newline).map { $0 - start }
        if length == nil {
            // The line goes on past the buffer: one buffer holds any line.
            buffer = try file.bytes(at: position, count: Int(min(UInt64(UndoLine.byteLimit), byteCount - position)))
            start = 0
            length = buffer.firstIndex(of: newline)
        }
        let line = Array(buffer[start..<start + (length ?? buffer.count - start)])
        guard let length, let parsed = UndoLine(line, &crc) else {
            // Storage that a cut-off append never reached reads as zeros.
            let isTorn = length == nil && line.count < UndoLine.byteLimit || line.contains(0)
            guard isTorn else { return .damaged(offset: position) }
            return try hasMarker(from: position, byteCount) ? .damaged(offset: position) : .torn
        }
        start += length + 1
        position += UInt64(length) + 1
        return .line(parsed)
    }

    private let newline = UInt8(ascii: "\n")

    /// Whether a whole line follows that is only ever written after a flush of everything before.
    private func hasMarker(from offset: UInt64, _ byteCount: UInt64) throws(IOError) -> Bool {
        let markers = ["saved", "end", "undoing", "undone"].map { Array(#"{"type":"\#($0)""#.utf8) }
        var position = offset
        var isAtStart = false
        while position < byteCount {
            let bytes = try file.bytes(at: position, count: Int(min(1 << 16, byteCount - position)))
            var start: Int? = isAtStart ? 0 : bytes.firstIndex(of: newline).map { $0 + 1 }
            while let at = start, at < bytes.count {
                let line = bytes[at...].prefix { $0 != newline }
                let isWhole = at + line.count < bytes.count && !line.contains(0)
                if isWhole, markers.contains(where: line.starts(with:)) { return true }
                // A line that goes on past this piece is looked at again from its start.
                guard at + line.count < bytes.count else { break }
                start = at + line.count + 1
            }
            let last = bytes.lastIndex(of: newline)
            isAtStart = last != nil
            position += UInt64(last.map { $0 + 1 } ?? bytes.count)
            if last == bytes.count - 1, position >= byteCount { break }
        }
        return false
    }
}
