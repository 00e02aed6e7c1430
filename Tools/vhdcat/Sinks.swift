import BlockIO
import ByteCodec
import DiskModel
import Toolbox

/// Lines of text.
protocol LineOutput {
    func put(_ line: String) throws
    func end() throws
}

extension OutputStream: LineOutput {
    func put(_ line: String) throws { try self.line(line) }
    func end() throws { try flush() }
}

/// Lines into a new file; whole or absent.
final class TextFileOutput: LineOutput {
    private let pending: PendingFile
    private var buffer: [UInt8] = []
    private var offset: UInt64 = 0

    init(_ path: String, replaces: Bool) throws { pending = try PendingFile(path, replaces: replaces) }

    func put(_ line: String) throws {
        buffer += line.utf8
        buffer.append(UInt8(ascii: "\n"))
        if buffer.count > 1 << 16 { try flush() }
    }

    private func flush() throws {
        try pending.file.write(buffer, at: offset)
        offset += UInt64(buffer.count)
        buffer.removeAll(keepingCapacity: true)
    }

    func end() throws {
        try flush()
        try pending.commit()
    }
}

/// Sixteen bytes a line with their text; equal lines after the first become one `*`, as `hexdump -C` does.
final class HexdumpSink: ContentsSink {
    private let lines: any LineOutput
    private let end: UInt64
    /// The bytes of the line begun, and its offset.
    private var line: [UInt8] = []
    private var lineOffset: UInt64
    private var last: [UInt8]?
    private var starIsShown = false

    init(_ lines: any LineOutput, _ range: Range<UInt64>) {
        self.lines = lines
        end = range.upperBound
        lineOffset = range.lowerBound
    }

    func data(_ offset: UInt64, _ bytes: RawSpan) throws {
        var position = 0
        while position < bytes.byteCount {
            let count = min(16 - line.count, bytes.byteCount - position)
            line += bytes.array(position..<position + count)
            position += count
            if line.count == 16 { try endLine() }
        }
    }

    func zeros(_ offset: UInt64, _ byteCount: UInt64) throws {
        var left = byteCount
        while left > 0 {
            // Whole lines of zeros after a line of zeros change nothing, however many they are.
            if line.isEmpty, starIsShown, last.map({ isZero($0.rawBytes) }) == true, left >= 16 {
                lineOffset += left / 16 * 16
                left %= 16
                continue
            }
            let count = Int(min(left, UInt64(16 - line.count)))
            line += [UInt8].zeros(count)
            left -= UInt64(count)
            if line.count == 16 { try endLine() }
        }
    }

    func finish() throws {
        if !line.isEmpty { try endLine() }
        try lines.put(hex(end, 8))
        try lines.end()
    }

    private func endLine() throws {
        defer {
            lineOffset += UInt64(line.count)
            line = []
        }
        if line == last {
            if !starIsShown { try lines.put("*") }
            starIsShown = true
            return
        }
        (last, starIsShown) = (line, false)
        var text = hex(lineOffset, 8) + " "
        for index in 0..<16 {
            text += (index == 8 ? "  " : " ") + (index < line.count ? hex(UInt64(line[index]), 2) : "  ")
        }
        text += "  |" + String(decoding: line.map { (32..<127).contains($0) ? $0 : UInt8(ascii: ".") }, as: UTF8.self)
        try lines.put(text + "|")
    }

    private func hex(_ value: UInt64, _ digits: Int) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
    }
}
