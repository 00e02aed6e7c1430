/// A second, plain reading of [MS-HRL], made from docs/formats/hrl.md alone: it decides whether a log is accepted, and
/// which writes it holds. It shares no code with the reader that it judges, knows nothing of speed or memory, and works
/// on small files.
public struct HRLModel {
    public struct Write: Equatable, Sendable {
        public var number, diskOffset, byteCount, dataOffset: UInt64
        public var time: UInt32
    }

    public struct Reading: Equatable, Sendable {
        public var writes: [Write] = []
        public var blockCount = 0
        /// Writes with a DataChecksum.
        public var checksummedCount = 0
        /// Codes of findings with their severity, such as `HRL018 warning`.
        public var notes: Set<String> = []
        public var byteCount: UInt64 { writes.reduce(0) { $0 + $1.byteCount } }
    }

    public enum Verdict: Equatable, Sendable {
        /// By the first error in the order of the document.
        case refused(String)
        case accepted(Reading)
    }

    struct Refusal: Error { var code: String }

    struct Block {
        var offset, back: UInt64
        var valid: Int
    }

    let file: SectorFile
    /// The disk that the writes must fit.
    let diskByteCount: UInt64?
    let accepted: Set<String>
    let header: [UInt8]
    var reading = Reading()

    public init(_ file: SectorFile, diskByteCount: UInt64? = nil, accepted: Set<String> = []) {
        (self.file, self.diskByteCount, self.accepted) = (file, diskByteCount, accepted)
        header = file.read(0, 126)
    }

    // Fields of the header.

    var version: UInt32 { word(header, 8) }
    var created: UInt32 { word(header, 12) }
    var endOfLog: UInt64 { long(header, 44) }
    var modified: UInt32 { word(header, 92) }
    var isClosed: Bool { endOfLog != 0 }

    /// What a reader of closed logs must say.
    public func read() -> Verdict {
        var model = self
        do {
            try model.judgeIdentity()
            try model.judgeHeader()
            try model.judgeEnd()
            try model.walk(to: endOfLog, metadataSize: UInt64(word(header, 56)))
            if word(header, 96) != UInt32(truncatingIfNeeded: model.reading.writes.count) || word(header, 100) != 0 {
                model.note("HRL021", "warning")
            }
        } catch { return .refused((error as? Refusal)?.code ?? "\(error)") }
        return .accepted(model.reading)
    }

    /// The first reason not to apply an accepted log.
    public func reasonNotToApply() -> String? {
        var reasons: [String] = []
        if version >> 16 == 1 { reasons.append("HRL002") }
        if word(header, 52) != 0 { reasons.append("HRL008") }
        if word(header, 104) != 0 { reasons.append("HRL009") }
        return reasons.first { !accepted.contains($0) }
    }

    mutating func note(_ code: String, _ severity: String) { reading.notes.insert("\(code) \(severity)") }

    /// An error that a user can accept.
    mutating func refuse(_ code: String) throws {
        guard accepted.contains(code) else { throw Refusal(code: code) }
        note(code, "error")
    }

    mutating func judgeIdentity() throws {
        if file.byteCount < 4096 { throw Refusal(code: "HRL040") }
        if Array(header[0..<7]) != Array("msctlog".utf8) { throw Refusal(code: "HRL001") }
        if header[7] != 0x20 && header[7] != 0 { note("HRL001", "warning") }
        let versionBytes = Array(header[8..<12])
        if versionBytes == [0, 2, 0, 0] || versionBytes == [0, 1, 0, 0] { throw Refusal(code: "HRL041") }
        let major = word(header, 8) >> 16
        if major != 1 && major != 2 { throw Refusal(code: "HRL002") }
        if word(header, 8) != 0x0002_0000 { note("HRL002", "warning") }
    }

    private mutating func judgeHeader() throws {
        if checksum(0, 4096, at: 40) != word(header, 40) {
            // Of an open log the checksum may be old; but that is refused anyhow.
            if isClosed { try refuse("HRL003") }
        }
        if !isClosed { throw Refusal(code: "HRL004") }
        if word(header, 52) != 0 { note("HRL008", "warning") }
        if word(header, 104) != 0 { note("HRL009", "error") }
        if header[108] != 0 || header[109] != 0 || !isZero(126..<4096) { note("HRL010", "warning") }
        if !isUsable(metadataSize: word(header, 56)) { throw Refusal(code: "HRL007") }
        if word(header, 56) % 512 != 0 { note("HRL007", "warning") }
        let (id, before) = (Array(header[60..<76]), Array(header[76..<92]))
        if isZero(60..<76) || id == before { try refuse("HRL024") }
    }

    private mutating func judgeEnd() throws {
        let end = endOfLog
        if end > file.byteCount || end > 0x7fff_ffff_ffff_ffff { throw Refusal(code: "HRL005") }
        if end < 4096 + UInt64(word(header, 56)) && end != 4096 { throw Refusal(code: "HRL005") }
        if end == 4096 { note("HRL045", "warning") }
        if file.byteCount > end { note("HRL006", "info") }
        if long(header, 32) != end { note("HRL022", "warning") }
    }

    // Blocks and entries.

    /// Two passes: back to the first block, then forward over the entries.
    mutating func walk(to end: UInt64, metadataSize: UInt64) throws {
        if end == 4096 { return }
        var blocks: [Block] = []
        var next: UInt64? = end - metadataSize
        while let offset = next {
            let block = try judgeBlock(offset, metadataSize)
            blocks.insert(block, at: 0)
            next = block.back == 0 ? nil : offset - block.back
        }
        var gapStart: UInt64 = 4096
        var lastTime: UInt32 = 0
        for block in blocks {
            reading.blockCount += 1
            if block.valid == 0 && reading.blockCount > 1 { note("HRL023", "info") }
            try judgeEntries(block, metadataSize, gapStart, &lastTime)
            gapStart = block.offset + metadataSize
        }
    }

    private mutating func judgeBlock(_ offset: UInt64, _ metadataSize: UInt64) throws -> Block {
        let head = file.read(offset, 32)
        if checksum(offset, 32, at: 12) != word(head, 12) { try refuse("HRL012") }
        if !isZero(offset + 16..<offset + 32) { note("HRL010", "warning") }
        if UInt64(word(head, 8)) > (metadataSize - 32) / 32 { throw Refusal(code: "HRL013") }
        let back = long(head, 0)
        if back != 0 && (back < metadataSize || back > offset - 4096) { throw Refusal(code: "HRL011") }
        return Block(offset: offset, back: back, valid: Int(word(head, 8)))
    }

    private mutating func judgeEntries(
        _ block: Block, _ metadataSize: UInt64, _ gapStart: UInt64, _ lastTime: inout UInt32
    ) throws {
        let unused = block.offset + 32 + 32 * UInt64(block.valid)
        if !isZero(unused..<block.offset + metadataSize) { note("HRL014", "warning") }
        var dataOffset = gapStart
        for slot in 0..<block.valid {
            let place = block.offset + 32 + 32 * UInt64(slot)
            let entry = file.read(place, 32)
            if checksum(place, 32, at: 8) != word(entry, 8) {
                if slot == 0 && isZero(place..<place + 32) { throw Refusal(code: "HRL042") }
                try refuse("HRL015")
            }
            let length = UInt64(word(entry, 12))
            if entry[20] != 1 || length == 0 { throw Refusal(code: "HRL015") }
            if length > 2_147_483_648 { throw Refusal(code: "HRL043") }
            if length > block.offset - dataOffset { throw Refusal(code: "HRL017") }
            try judgeRange(long(entry, 0), length)
            noteOddities(entry, &lastTime)
            try judgeData(entry, dataOffset..<dataOffset + length)
            reading.writes.append(
                Write(
                    number: UInt64(reading.writes.count + 1), diskOffset: long(entry, 0), byteCount: length,
                    dataOffset: dataOffset, time: word(entry, 16)))
            dataOffset += length
        }
        if dataOffset < block.offset { note("HRL017", "warning") }
    }

    private func judgeRange(_ offset: UInt64, _ length: UInt64) throws {
        let limit = diskByteCount ?? 64 * 1024 * 1024 * 1024 * 1024
        if length > limit || offset > limit - length { throw Refusal(code: "HRL019") }
    }

    private mutating func noteOddities(_ entry: [UInt8], _ lastTime: inout UInt32) {
        if entry[25...] != [0, 0, 0, 0, 0, 0, 0] { note("HRL010", "warning") }
        if long(entry, 0) % 512 != 0 || word(entry, 12) % 512 != 0 { note("HRL018", "warning") }
        let time = word(entry, 16)
        if time < lastTime || time < created || (isClosed && time > modified) { note("HRL020", "warning") }
        lastTime = time
    }

    private mutating func judgeData(_ entry: [UInt8], _ data: Range<UInt64>) throws {
        let stored = word(entry, 21)
        if stored == 0 { return }
        reading.checksummedCount += 1
        if ~file.sum(data) != stored { try refuse("HRL016") }
    }
}

extension HRLModel {
    /// All bytes added but the four of the checksum, then all bits inverted.
    func checksum(_ start: UInt64, _ count: UInt64, at field: UInt64) -> UInt32 {
        file.checksum(start, count, at: field)
    }

    func isZero(_ range: Range<UInt64>) -> Bool { file.sum(range) == 0 }
}

extension SectorFile {
    func checksum(_ start: UInt64, _ count: UInt64, at field: UInt64) -> UInt32 {
        ~(sum(start..<start + count) &- sum(start + field..<start + field + 4))
    }

    /// Puts a structure's checksum right.
    mutating func seal(_ start: UInt64, _ count: UInt64, at field: UInt64) {
        write(little(UInt64(checksum(start, count, at: field)), 4), at: start + field)
    }
}

func word(_ bytes: [UInt8], _ at: Int) -> UInt32 {
    UInt32(bytes[at]) | UInt32(bytes[at + 1]) << 8 | UInt32(bytes[at + 2]) << 16 | UInt32(bytes[at + 3]) << 24
}

func long(_ bytes: [UInt8], _ at: Int) -> UInt64 { UInt64(word(bytes, at)) | UInt64(word(bytes, at + 4)) << 32 }

func isUsable(metadataSize: UInt32) -> Bool {
    metadataSize >= 512 && metadataSize <= 16_777_216 && metadataSize % 32 == 0
}
