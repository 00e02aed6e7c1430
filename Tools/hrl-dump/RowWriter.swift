import ByteCodec
import HRL
import Toolbox

/// Writes one line a write, in one of the styles.
final class RowWriter {
    enum Style { case text, tsv([Column]), json }

    /// The columns of `--tsv`; the names are the keys of the JSON lines, and `file`.
    enum Column: String, CaseIterable {
        case n, slot, blockOffset = "block_offset", dataOffset = "data_offset", diskOffset = "disk_offset", length
        case time, timeRaw = "time_raw", checksum, dataChecksum = "data_checksum", sha256, preview, file
    }

    /// What to show of the data of each write.
    struct Contents {
        var sha256 = false
        var previewByteCount = 0
        var hexdump = false
    }

    /// All fixed parts of a line and all numbers fit in so much, several times over.
    private static let fixedByteCount = 1024

    private let style: Style
    private let contents: Contents
    private var buffer: LineBuffer
    private var data: WriteData?
    private var fileName: [UInt8] = []
    private var timeText: [UInt8] = []
    private var timeShown: DiskTimestamp?

    init(_ out: OutputStream, style: Style, contents: Contents) {
        (self.style, self.contents) = (style, contents)
        buffer = LineBuffer(out)
    }

    func flush() throws { try buffer.flush() }

    func put(_ line: JSONValue) throws {
        var bytes: [UInt8] = []
        line.write(to: &bytes)
        try put(lineOf: bytes)
    }

    func put(_ line: String) throws { try put(lineOf: Array(line.utf8)) }

    private func put(lineOf bytes: [UInt8]) throws {
        try buffer.reserve(bytes.count + 1)
        buffer.put(bytes)
        buffer.put(byte: UInt8(ascii: "\n"))
    }

    /// Starts a log: its name for the rows, and the source of their data.
    func begin(_ path: String, _ data: WriteData) throws {
        self.data = data
        fileName = path.utf8.map { $0 < 32 || $0 == 127 ? UInt8(ascii: "?") : $0 }
        if case .text = style {
            try put("         N  TIME                      DISK OFFSET      LENGTH         DATA AT  CHECKSUMS")
        }
    }

    /// The header line of `--tsv`.
    func beginTable() throws {
        if case .tsv(let columns) = style { try put(columns.map(\.rawValue).joined(separator: "\t")) }
    }

    func row(_ write: WriteRecord) throws {
        let hash = contents.sha256 ? try data?.sha256(write) : nil
        let preview =
            contents.previewByteCount > 0 ? try data?.start(write, limit: contents.previewByteCount) : nil
        setTime(write.timestamp)
        try buffer.reserve(Self.fixedByteCount + 2 * (preview?.count ?? 0) + fileName.count)
        switch style {
        case .json: putJSON(&buffer, write, hash, preview)
        case .tsv(let columns): putTSV(&buffer, write, columns, hash, preview)
        case .text:
            putText(&buffer, write, hash, preview)
            if contents.hexdump { try putHexdump(write) }
        }
    }

    /// Writes of one second share their text.
    private func setTime(_ time: DiskTimestamp) {
        guard timeShown != time else { return }
        timeShown = time
        timeText = Array(time.description.utf8)
    }

    // The puts of a row get the buffer lent once: each access to a class's variable is checked while running.

    private static func name(_ checksum: Bool) -> StaticString { checksum ? "ok" : "bad" }

    private static func name(_ write: WriteRecord) -> StaticString {
        switch write.dataChecksum {
        case .ok: "ok"
        case .bad: "bad"
        case .none, .unverified: "none"
        }
    }

    private func putJSON(
        _ buffer: inout LineBuffer, _ write: WriteRecord, _ hash: [UInt8]?, _ preview: [UInt8]?
    ) {
        buffer.put("{\"type\":\"write\",\"n\":")
        buffer.put(write.number)
        buffer.put(",\"slot\":")
        buffer.put(UInt64(write.slot))
        buffer.put(",\"block_offset\":")
        buffer.put(write.blockOffset)
        buffer.put(",\"data_offset\":")
        buffer.put(write.dataOffset)
        buffer.put(",\"disk_offset\":")
        buffer.put(write.diskOffset)
        buffer.put(",\"length\":")
        buffer.put(write.byteCount)
        buffer.put(",\"time\":\"")
        buffer.put(timeText)
        buffer.put("\",\"time_raw\":")
        buffer.put(UInt64(write.timestamp.rawValue))
        buffer.put(",\"checksum\":\"")
        buffer.put(Self.name(write.checksumOK))
        buffer.put("\",\"data_checksum\":\"")
        buffer.put(Self.name(write))
        buffer.put("\",\"sha256\":")
        Self.putQuoted(&buffer, hash)
        buffer.put(",\"preview\":")
        Self.putQuoted(&buffer, preview)
        buffer.put("}\n")
    }

    private static func putQuoted(_ buffer: inout LineBuffer, _ bytes: [UInt8]?) {
        guard let bytes else { return buffer.put("null") }
        buffer.put(byte: UInt8(ascii: "\""))
        buffer.put(hexadecimal: bytes.rawBytes)
        buffer.put(byte: UInt8(ascii: "\""))
    }

    private func putTSV(
        _ buffer: inout LineBuffer, _ write: WriteRecord, _ columns: [Column], _ hash: [UInt8]?, _ preview: [UInt8]?
    ) {
        var isFirst = true
        for column in columns {
            if !isFirst { buffer.put(byte: UInt8(ascii: "\t")) }
            isFirst = false
            switch column {
            case .n: buffer.put(write.number)
            case .slot: buffer.put(UInt64(write.slot))
            case .blockOffset: buffer.put(write.blockOffset)
            case .dataOffset: buffer.put(write.dataOffset)
            case .diskOffset: buffer.put(write.diskOffset)
            case .length: buffer.put(write.byteCount)
            case .time: buffer.put(timeText)
            case .timeRaw: buffer.put(UInt64(write.timestamp.rawValue))
            case .checksum: buffer.put(Self.name(write.checksumOK))
            case .dataChecksum: buffer.put(Self.name(write))
            case .sha256: if let hash { buffer.put(hexadecimal: hash.rawBytes) }
            case .preview: if let preview { buffer.put(hexadecimal: preview.rawBytes) }
            case .file: buffer.put(fileName)
            }
        }
        buffer.put(byte: UInt8(ascii: "\n"))
    }

    private func putText(
        _ buffer: inout LineBuffer, _ write: WriteRecord, _ hash: [UInt8]?, _ preview: [UInt8]?
    ) {
        buffer.put(write.number, width: 10)
        buffer.put("  ")
        buffer.put(timeText)
        buffer.put(write.diskOffset, width: 17)
        buffer.put(write.byteCount, width: 12)
        buffer.put(write.dataOffset, width: 16)
        buffer.put("  ")
        buffer.put(Self.name(write.checksumOK))
        buffer.put("/")
        buffer.put(Self.name(write))
        if let hash {
            buffer.put("  sha256=")
            buffer.put(hexadecimal: hash.rawBytes)
        }
        if let preview {
            buffer.put("  ")
            buffer.put(hexadecimal: preview.rawBytes)
        }
        buffer.put("\n")
    }

    // The hexdump of a write's data, at its place on the disk; equal lines after the first become one `*`.

    private func putHexdump(_ write: WriteRecord) throws {
        var last: [UInt8]?
        var starIsShown = false
        try data?.forEachPiece(write) { bytes, offset in
            var start = 0
            while start < bytes.byteCount {
                let line = bytes.array(start..<min(start + 16, bytes.byteCount))
                try buffer.reserve(128)
                if line == last {
                    if !starIsShown { buffer.put("    *\n") }
                    starIsShown = true
                } else {
                    putHexdumpLine(line, at: write.diskOffset &+ offset &+ UInt64(start))
                    (last, starIsShown) = (line, false)
                }
                start += line.count
            }
        }
    }

    private func putHexdumpLine(_ line: [UInt8], at offset: UInt64) {
        buffer.put("    ")
        buffer.put(hexadecimal: offset, digits: 12)
        for index in 0..<16 {
            if index % 8 == 0 { buffer.put(byte: UInt8(ascii: " ")) }
            buffer.put(byte: UInt8(ascii: " "))
            if index < line.count { buffer.put(hexadecimal: [line[index]].rawBytes) } else { buffer.put("  ") }
        }
        buffer.put("  |")
        for byte in line { buffer.put(byte: (32..<127).contains(byte) ? byte : UInt8(ascii: ".")) }
        buffer.put("|\n")
    }
}
