import ByteCodec

/// One line of an undo file: a JSON object with its keys in a fixed order, closed by a CRC-32C that goes on from the line
/// before, so that no line can be changed, lost or moved unseen.
enum UndoLine: Equatable {
    /// The image as it was: its size and the checksums of its first and last bytes. Always the first line.
    case header(FileState, image: String)
    /// Bytes as they were.
    case bytes(offset: UInt64, [UInt8])
    /// A range that was zeros.
    case zeros(Range<UInt64>)
    /// Everything above is durable; what it names may have been changed from here on.
    case saved
    /// The repair came to its end, and left this.
    case end(FileState)
    /// Putting back has begun.
    case undoing
    /// All was put back.
    case undone

    /// A line that stands alone after a flush, and is never the first half of anything.
    var isMarker: Bool {
        switch self {
        case .saved, .end, .undoing, .undone: true
        default: false
        }
    }

    /// What a file is known by without reading all of it.
    struct FileState: Equatable {
        var byteCount: UInt64
        /// CRC-32C of the first and the last `edgeByteCount` bytes, or of all there are.
        var head: UInt32
        var tail: UInt32
        /// CRC-32C of the bytes that now stand in all the ranges saved; 0 where it makes no sense.
        var saved: UInt32 = 0
        static let edgeByteCount: UInt64 = 1 << 20
    }

    /// Most bytes a line saves, and the longest line there can be.
    static let savedByteCount = 1 << 16
    static let byteLimit = 2 * savedByteCount + 4096

    // MARK: Writing

    /// The line with its end.
    /// - Parameter crc: of all the lines before; becomes that of this line too.
    func text(_ crc: inout UInt32) -> [UInt8] {
        var bytes = body
        crc = crc32c(bytes.rawBytes, initial: crc)
        bytes += Array(#","crc":""#.utf8) + Self.hexadecimal(crc) + Array("\"}\n".utf8)
        return bytes
    }

    /// What every undo file begins with.
    static let opening = #"{"type":"undo","version":1"#

    private var body: [UInt8] {
        switch self {
        case .header(let state, let image):
            return Array(#"\#(Self.opening)\#(Self.text(state)),"image":"\#(Self.escaped(image))""#.utf8)
        case .bytes(let offset, let bytes):
            var line = Array(#"{"type":"bytes","offset":\#(offset),"hex":""#.utf8)
            line.reserveCapacity(line.count + 2 * bytes.count + 32)
            for byte in bytes {
                line.append(Self.digit(byte >> 4))
                line.append(Self.digit(byte & 0xf))
            }
            return line + [UInt8(ascii: "\"")]
        case .zeros(let range):
            let count = range.upperBound - range.lowerBound
            return Array(#"{"type":"zeros","offset":\#(range.lowerBound),"length":\#(count)"#.utf8)
        case .saved: return Array(#"{"type":"saved""#.utf8)
        case .end(let state):
            return Array(#"{"type":"end"\#(Self.text(state)),"saved":""#.utf8) + Self.hexadecimal(state.saved)
                + [UInt8(ascii: "\"")]
        case .undoing: return Array(#"{"type":"undoing""#.utf8)
        case .undone: return Array(#"{"type":"undone""#.utf8)
        }
    }

    private static func text(_ state: FileState) -> String {
        let (head, tail) = (hexadecimal(state.head), hexadecimal(state.tail))
        return #","size":\#(state.byteCount),"head":"\#(String(decoding: head, as: UTF8.self))""#
            + #","tail":"\#(String(decoding: tail, as: UTF8.self))""#
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }
    private static func hexadecimal(_ value: UInt32) -> [UInt8] {
        stride(from: 28, through: 0, by: -4).map { digit(UInt8(value >> $0 & 0xf)) }
    }

    /// A name is only told to people: what JSON cannot hold as it stands becomes `?`.
    private static func escaped(_ name: String) -> String {
        String(name.unicodeScalars.map { $0.value < 32 || $0 == "\"" || $0 == "\\" ? "?" : Character($0) })
    }

    // MARK: Reading

    /// Reads a line without its end.
    /// - Returns: nil for anything that `text` does not write.
    init?(_ line: [UInt8], _ crc: inout UInt32) {
        let tail = Array(#","crc":"00000000"}"#.utf8).count
        guard line.count > tail else { return nil }
        let body = line.rawBytes.extracting(0..<line.count - tail)
        let sum = crc32c(body, initial: crc)
        var scanner = Scanner(bytes: line, position: 0)
        guard let parsed = Self.parse(&scanner), scanner.position == line.count - tail else { return nil }
        guard scanner.take(#","crc":""#), scanner.hexadecimal() == sum, scanner.take("\"}") else { return nil }
        self = parsed
        crc = sum
    }

    private static func parse(_ scanner: inout Scanner) -> UndoLine? {
        if scanner.take(#"{"type":"bytes","offset":"#) {
            guard let offset = scanner.number(), scanner.take(#","hex":""#), let bytes = scanner.pairs(),
                scanner.take("\"")
            else { return nil }
            return .bytes(offset: offset, bytes)
        }
        if scanner.take(#"{"type":"zeros","offset":"#) {
            guard let offset = scanner.number(), scanner.take(#","length":"#), let count = scanner.number(),
                let range = checkedRange(offset, count)
            else { return nil }
            return .zeros(range)
        }
        if scanner.take(opening) {
            guard let state = scanner.state(), scanner.take(#","image":""#) else { return nil }
            let name = scanner.text()
            return scanner.take("\"") ? .header(state, image: name) : nil
        }
        if scanner.take(#"{"type":"end""#) {
            guard var state = scanner.state(), scanner.take(#","saved":""#), let saved = scanner.hexadecimal(),
                scanner.take("\"")
            else { return nil }
            state.saved = saved
            return .end(state)
        }
        for (text, line) in [("saved", UndoLine.saved), ("undoing", .undoing), ("undone", .undone)]
        where scanner.take(#"{"type":"\#(text)""#) {
            return line
        }
        return nil
    }
}

/// Takes expected things off a line, from left to right.
private struct Scanner {
    let bytes: [UInt8]
    var position: Int

    /// Whether the text is next; then it is passed.
    mutating func take(_ text: String) -> Bool {
        guard bytes[position...].starts(with: text.utf8) else { return false }
        position += text.utf8.count
        return true
    }

    mutating func number() -> UInt64? {
        let digits = bytes[position...].prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        position += digits.count
        return UInt64(String(decoding: digits, as: UTF8.self))
    }

    mutating func hexadecimal() -> UInt32? {
        guard bytes.count - position >= 8 else { return nil }
        let digits = bytes[position..<position + 8]
        guard digits.allSatisfy({ Self.value($0) != nil }) else { return nil }
        position += 8
        return digits.reduce(0) { $0 << 4 | UInt32(Self.value($1) ?? 0) }
    }

    mutating func pairs() -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity((bytes.count - position) / 2)
        while bytes.count - position >= 2, let high = Self.value(bytes[position]),
            let low = Self.value(bytes[position + 1])
        {
            result.append(high << 4 | low)
            position += 2
        }
        return result.isEmpty || result.count > UndoLine.savedByteCount ? nil : result
    }

    mutating func text() -> String {
        let characters = bytes[position...].prefix { $0 != UInt8(ascii: "\"") }
        position += characters.count
        return String(decoding: characters, as: UTF8.self)
    }

    mutating func state() -> UndoLine.FileState? {
        guard take(#","size":"#), let byteCount = number(), take(#","head":""#), let head = hexadecimal(),
            take(#"","tail":""#), let tail = hexadecimal(), take("\"")
        else { return nil }
        return UndoLine.FileState(byteCount: byteCount, head: head, tail: tail)
    }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        default: nil
        }
    }
}
