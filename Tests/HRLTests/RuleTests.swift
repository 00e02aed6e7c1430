import BlockIO
import ByteCodec
import DiskModel
@testable import HRL
import Testing

/// One planted fault each: the code, field and offset of the error that stops the reader, or of the finding it leaves.
@Suite struct RuleTests {
    static let start = DiskTimestamp(rawValue: 800_000_000)
    static let end = DiskTimestamp(rawValue: 800_000_100)
    /// Block 2: three writes of 512, 1024 and 4096 bytes; block 3: one of 512.
    static let block2: UInt64 = 8192 + 5632
    static let block3: UInt64 = block2 + 4096 + 512
    static let endOfLog: UInt64 = block3 + 4096

    static func log() throws -> MemoryFile {
        let file = MemoryFile(path: "a.hrl")
        let writer = try LogWriter.create(on: file, created: start)
        for (index, count) in [512, 1024, 4096].enumerated() {
            try writer.append([UInt8](repeating: 1, count: count), at: UInt64(index) << 20, time: start)
        }
        try writer.flush()
        try writer.append([UInt8](repeating: 2, count: 512), at: 5 << 20, time: end)
        try writer.close(at: end)
        return file
    }

    private func errorOf(_ body: () throws -> Void) -> DiskError? {
        do { try body() } catch { return error as? DiskError }
        return nil
    }

    private func withHeader(_ change: (inout LogHeader) -> Void) throws -> MemoryFile {
        let file = try Self.log()
        var header = try LogHeader(from: file)
        change(&header)
        try file.write(header.sealed(), at: 0)
        return file
    }

    private func withBlock(_ offset: UInt64, _ change: (inout MetadataHeader) -> Void) throws -> MemoryFile {
        let file = try Self.log()
        let bytes = try file.bytes(at: offset, count: 32)
        var header = try MetadataHeader(parsing: bytes.rawBytes)
        change(&header)
        try file.write(header.sealed(), at: offset)
        return file
    }

    private func withEntry(_ slot: UInt64, _ change: (inout MetadataEntry) -> Void) throws -> MemoryFile {
        let file = try Self.log()
        let offset = Self.block2 + 32 + 32 * slot
        let bytes = try file.bytes(at: offset, count: 32)
        var entry = try MetadataEntry(parsing: bytes.rawBytes)
        change(&entry)
        try file.write(entry.sealed(), at: offset)
        return file
    }

    private func withBytes(_ bytes: [UInt8], at offset: UInt64) throws -> MemoryFile {
        let file = try Self.log()
        try file.write(bytes, at: offset)
        return file
    }

    /// Another byte than what is there, which of a checksum may be any.
    private func spoil(_ file: MemoryFile, at offset: UInt64) throws {
        try file.write([try file.bytes(at: offset, count: 1)[0] ^ 0x55], at: offset)
    }
    private func withSpoiltByte(at offset: UInt64) throws -> MemoryFile {
        let file = try Self.log()
        try spoil(file, at: offset)
        return file
    }

    /// The reader stops with this error, and the checker reports it.
    private func refused(
        _ file: MemoryFile, _ code: FormatError.Code, _ field: String, _ offset: UInt64, accepts: Bool = false,
        diskByteCount: UInt64? = nil, location: SourceLocation = #_sourceLocation
    ) throws {
        let error = errorOf { _ = try LogReader(file).validate(virtualByteCount: diskByteCount) }
        #expect(error?.kind == .format, sourceLocation: location)
        #expect(error?.formatError?.code == code, "\(String(describing: error))", sourceLocation: location)
        #expect(error?.formatError?.field == field, sourceLocation: location)
        #expect(error?.formatError?.offset == offset, sourceLocation: location)
        #expect(error?.formatError?.section.hasPrefix("hrl.md: ") == true, sourceLocation: location)

        let check = try checkLog(file, virtualByteCount: diskByteCount)
        let reported = check.findings.contains { $0.severity == .error && $0.detail == error?.formatError }
        #expect(reported, "\(check.findings)", sourceLocation: location)
        if accepts {
            let reader = try LogReader(file, options: .init(accepting: [code]))
            let summary = try reader.validate(virtualByteCount: diskByteCount)
            let kept = summary.findings.contains { $0.detail.code == code && $0.severity == .error }
            #expect(kept, sourceLocation: location)
        } else {
            let still = errorOf {
                _ = try LogReader(file, options: .init(accepting: [code])).validate(virtualByteCount: diskByteCount)
            }
            #expect(still != nil, sourceLocation: location)
        }
    }

    private func noted(
        _ file: MemoryFile, _ code: FormatError.Code, _ severity: Finding.Severity, _ offset: UInt64,
        _ write: UInt64? = nil, location: SourceLocation = #_sourceLocation
    ) throws {
        let summary = try LogReader(file).validate()
        func matches(_ finding: LogFinding) -> Bool {
            finding.detail.code == code && finding.severity == severity && finding.detail.offset == offset
                && finding.write == write
        }
        let seen = summary.findings.contains(where: matches)
        #expect(seen, "\(summary.findings)", sourceLocation: location)
        let checked = try checkLog(file).findings.contains(where: matches)
        #expect(checked, sourceLocation: location)
    }

    @Test func clean() throws {
        let check = try checkLog(try Self.log())
        #expect(check.findings.map(\.detail.code) == [.hrlDataChecksum] && check.worst == .information)
        #expect(check.summary?.writeCount == 4 && check.summary?.endOfLog == Self.endOfLog)
    }

    // The header.

    @Test func tooShort() throws {
        try refused(MemoryFile(.zeros(4095)), .hrlFileTooShort, "file", 0)
        try refused(MemoryFile(), .hrlFileTooShort, "file", 0)
    }
    @Test func cookie() throws {
        try refused(try withHeader { $0.cookie[0] = 0x4d }, .hrlCookie, "Cookie", 0)
        try noted(try withHeader { $0.cookie[7] = 0x41 }, .hrlCookie, .warning, 0)
    }
    @Test func byteOrder() throws {
        try refused(try withBytes([0, 2, 0, 0], at: 8), .hrlByteOrder, "LogFormatVersion", 8)
    }
    @Test func version() throws {
        try refused(try withHeader { $0.logFormatVersion = 0x0003_0000 }, .hrlVersion, "LogFormatVersion", 8)
        try noted(try withHeader { $0.logFormatVersion = 0x0002_0001 }, .hrlVersion, .warning, 8)
        try noted(try withHeader { $0.logFormatVersion = 0x0001_0000 }, .hrlVersion, .warning, 8)
    }
    @Test func headerChecksum() throws {
        try refused(try withSpoiltByte(at: 40), .hrlHeaderChecksum, "Checksum", 40, accepts: true)
    }
    @Test func notClosed() throws {
        let file = try withHeader { $0.eolLocation = 0 }
        try refused(file, .hrlNotClosed, "EOLLocation", 44)
        let error = errorOf { _ = try LogReader(file) }
        #expect(error?.isUnclosedLog == true)
        // A checksum that was not made again when EOLLocation was set back is only a warning.
        try spoil(file, at: 40)
        let check = try checkLog(file)
        #expect(check.findings.contains { $0.detail.code == .hrlHeaderChecksum && $0.severity == .warning })
    }
    @Test func endOfLog() throws {
        let size = Self.endOfLog
        try refused(try withHeader { $0.eolLocation = size + 1 }, .hrlEndOfLog, "EOLLocation", 44)
        try refused(try withHeader { $0.eolLocation = 8191 }, .hrlEndOfLog, "EOLLocation", 44)
        try refused(try withHeader { $0.eolLocation = 1 << 63 }, .hrlEndOfLog, "EOLLocation", 44)
        try refused(try withHeader { $0.eolLocation = .max }, .hrlEndOfLog, "EOLLocation", 44)
        // No block where the log is said to end.
        try refused(
            try withHeader { $0.eolLocation = size - 512 }, .hrlBlockChecksum, "Checksum", Self.block3 - 512 + 12)
    }
    @Test func emptyLog() throws {
        try noted(try withHeader { ($0.eolLocation, $0.totalMetadataEntries) = (4096, 0) }, .hrlNoBlocks, .warning, 44)
    }
    @Test func bytesPastEnd() throws {
        try noted(try withBytes([1], at: Self.endOfLog + 100), .hrlBytesPastEnd, .information, Self.endOfLog)
    }
    @Test func metadataSize() throws {
        let sizes: [UInt32] = [0, 32, 511, 4097, 4100, 16 << 20 + 32, .max]
        for size in sizes {
            try refused(try withHeader { $0.metadataSize = size }, .hrlMetadataSize, "MetadataSize", 56)
        }
    }
    @Test func errorCode() throws { try noted(try withHeader { $0.errorCode = 5 }, .hrlErrorCode, .warning, 52) }
    @Test func fileType() throws { try noted(try withHeader { $0.fileType = 2 }, .hrlFileType, .error, 104) }
    @Test func flagsAndReserved() throws {
        try noted(try withHeader { $0.flags = 1 }, .hrlReserved, .warning, 108)
        let file = try Self.log()
        try file.write([1], at: 4000)
        #expect(try checkLog(file).findings.contains { $0.detail.code == .hrlReserved && $0.detail.offset == 126 })
        try noted(try withEntry(1) { $0.location = 1 }, .hrlReserved, .warning, Self.block2 + 64 + 25, 2)
    }
    @Test func uniqueID() throws {
        try refused(try withHeader { $0.uniqueID = .zero }, .hrlUniqueID, "UniqueId", 60, accepts: true)
        try refused(
            try withHeader { $0.previousUniqueID = $0.uniqueID }, .hrlUniqueID, "UniqueId", 60, accepts: true)
    }
    @Test func totals() throws {
        try noted(try withHeader { $0.totalMetadataEntries = .max }, .hrlTotalEntries, .warning, 96)
        try noted(try withHeader { $0.currentSize = 0 }, .hrlCurrentSize, .warning, 32)
    }
    @Test func dataWriteGUID() throws {
        let check = try checkLog(try Self.log(), dataWriteGUID: .random())
        #expect(check.findings.contains { $0.detail.code == .hrlDataWriteGUID && $0.detail.offset == 110 })
        #expect(check.worst == .information)
    }

    // Blocks.

    @Test func backChain() throws {
        let offset = Self.block3
        try refused(
            try withBlock(offset) { $0.previousMetadataLocation = 4095 }, .hrlBackChain, "PreviousMetadataLocation",
            offset)
        try refused(
            try withBlock(offset) { $0.previousMetadataLocation = 1 }, .hrlBackChain, "PreviousMetadataLocation", offset
        )
        try refused(
            try withBlock(offset) { $0.previousMetadataLocation = offset - 4095 }, .hrlBackChain,
            "PreviousMetadataLocation", offset)
        try refused(
            try withBlock(offset) { $0.previousMetadataLocation = .max }, .hrlBackChain, "PreviousMetadataLocation",
            offset)
    }
    @Test func blockChecksum() throws {
        try refused(
            try withSpoiltByte(at: Self.block2 + 12), .hrlBlockChecksum, "Checksum", Self.block2 + 12, accepts: true)
    }
    @Test func validEntries() throws {
        try refused(
            try withBlock(Self.block3) { $0.validMetadataEntries = 128 }, .hrlValidEntries, "ValidMetadataEntries",
            Self.block3 + 8)
        try refused(
            try withBlock(Self.block3) { $0.validMetadataEntries = .max }, .hrlValidEntries, "ValidMetadataEntries",
            Self.block3 + 8)
    }
    @Test func unusedSlots() throws {
        try noted(
            try withBytes([1], at: Self.block2 + 4095), .hrlUnusedSlots, .warning, Self.block2 + 32 + 3 * 32)
    }
    @Test func emptyBlock() throws {
        let file = try withBlock(Self.block3) { $0.validMetadataEntries = 0 }
        try noted(file, .hrlEmptyBlock, .information, Self.block3)
        try noted(file, .hrlDataSum, .warning, Self.block3 - 512)
    }
    @Test func reversePacked() throws {
        try refused(
            try withBytes(.zeros(32), at: Self.block2 + 32), .hrlReversePacked, "ByteOffset of write 1",
            Self.block2 + 32)
    }

    // Entries.

    @Test func entryChecksum() throws {
        let file = try withBytes([1], at: Self.block2 + 32 + 8)
        try refused(file, .hrlEntry, "Checksum of write 1", Self.block2 + 40, accepts: true)
        var seen: [Bool] = []
        try LogReader(file, options: .init(accepting: [.hrlEntry])).forEachWrite(verifyingData: false) {
            seen.append($0.checksumOK)
        }
        #expect(seen == [false, true, true, true])
    }
    @Test func operation() throws {
        let offset = Self.block2 + 64 + 20
        try refused(try withEntry(1) { $0.metaOperation = 0 }, .hrlEntry, "MetaOperation of write 2", offset)
        try refused(try withEntry(1) { $0.metaOperation = 2 }, .hrlEntry, "MetaOperation of write 2", offset)
    }
    @Test func dataLength() throws {
        let offset = Self.block2 + 64 + 12
        try refused(try withEntry(1) { $0.dataLength = 0 }, .hrlEntry, "DataLength of write 2", offset)
        try refused(
            try withEntry(1) { $0.dataLength = 1 << 31 + 1 }, .hrlDataLength, "DataLength of write 2", offset)
        try refused(try withEntry(1) { $0.dataLength = 6000 }, .hrlDataSum, "DataLength of write 2", offset)
        try refused(try withEntry(1) { $0.dataLength = 1 << 31 }, .hrlDataSum, "DataLength of write 2", offset)
    }
    @Test func slack() throws {
        try noted(try withEntry(2) { $0.dataLength = 512 }, .hrlDataSum, .warning, 8192 + 2048)
    }
    @Test func dataChecksum() throws {
        try refused(
            try withEntry(1) { $0.dataChecksum = 77 }, .hrlDataChecksum, "DataChecksum of write 2",
            Self.block2 + 64 + 21, accepts: true)
        let right = try withEntry(1) { $0.dataChecksum = ~1024 }
        var states: [LogWrite.DataChecksum] = []
        try LogReader(right).forEachWrite(verifyingData: true) { states.append($0.dataChecksum) }
        #expect(states == [.none, .ok, .none, .none])
    }
    @Test func alignment() throws {
        try noted(try withEntry(1) { $0.byteOffset += 1 }, .hrlAlignment, .warning, Self.block2 + 64, 2)
    }
    @Test func diskRange() throws {
        let offset = Self.block2 + 64
        let field = "ByteOffset of write 2"
        try refused(try withEntry(1) { $0.byteOffset = .max - 512 }, .hrlDiskRange, field, offset)
        try refused(try withEntry(1) { $0.byteOffset = 64 << 40 - 512 }, .hrlDiskRange, field, offset)
        _ = try LogReader(try withEntry(1) { $0.byteOffset = 64 << 40 - 1024 }).validate()
        try refused(try Self.log(), .hrlDiskRange, field, offset, diskByteCount: 1 << 20 + 512)
        _ = try LogReader(try Self.log()).validate(virtualByteCount: 5 << 20 + 512)
    }
    @Test func times() throws {
        try noted(
            try withEntry(1) { $0.timeStamp -= 1 }, .hrlEntryTime, .warning, Self.block2 + 64 + 16, 2)
        try noted(
            try withEntry(2) { $0.timeStamp = Self.end.rawValue + 1 }, .hrlEntryTime, .warning, Self.block2 + 96 + 16, 3
        )
    }

    /// A checker goes on where it can.
    @Test func checkerFindsSeveral() throws {
        let file = try withEntry(1) { $0.metaOperation = 9 }
        try file.write([7], at: Self.block3 + 32 + 8)
        var header = try LogHeader(from: file)
        (header.currentSize, header.totalMetadataEntries) = (1, 1)
        try file.write(header.sealed(), at: 0)
        let codes = Set(try checkLog(file).findings.map(\.detail.code))
        #expect(codes.isSuperset(of: [.hrlEntry, .hrlCurrentSize, .hrlTotalEntries]))
        let errors = try checkLog(file).findings.filter { $0.detail.code == .hrlEntry }
        #expect(errors.map(\.write) == [2, 4])
    }

    /// However many warnings there are, memory stays bounded and an error is not lost among them.
    @Test func manyFindings() throws {
        let file = MemoryFile()
        let writer = try LogWriter.create(on: file, created: Self.start)
        for index in 0..<2000 { try writer.append([1], at: UInt64(index), time: Self.start) }
        try writer.close(at: Self.end)
        let summary = try LogReader(file).validate()
        #expect(summary.findings.count == 100)
        #expect(summary.dropped == [Finding.Kind(.hrlAlignment, .warning): 1900])
    }

    /// An error is kept whatever warnings of the same code came before it.
    @Test func errorBehindWarningsOfItsCode() throws {
        var findings = LogFindings(path: "log", goesOn: true)
        for _ in 0..<200 { findings.note(.warning, .hrlDataSum, .init(.layout, "data", at: 0), "has slack") }
        try findings.reject(.hrlDataSum, .init(.entry, "DataLength", at: 9), "is too long")
        #expect(findings.all.count == 101 && findings.all.last?.severity == .error)
        #expect(findings.dropped == [Finding.Kind(.hrlDataSum, .warning): 100])
    }

    /// No byte of metadata changed anywhere makes the reader crash or read outside the log.
    @Test func anyByteChanged() throws {
        var generator = SystemRandomNumberGenerator()
        let original = try Self.log().allBytes
        let places = Array(0..<126) + Array(4096..<4128) + Array(Int(Self.block2)..<Int(Self.block2) + 128)
        for place in places {
            for value in [0, 1, 0x7f, 0xff, UInt8.random(in: 0...255, using: &generator)] {
                var bytes = original
                bytes[place] = value
                let all: Set<FormatError.Code> = [
                    .hrlHeaderChecksum, .hrlBlockChecksum, .hrlEntry, .hrlDataChecksum, .hrlUniqueID,
                ]
                let file = MemoryFile(bytes)
                if let error = errorOf({ _ = try LogReader(file, options: .init(accepting: all)).validate() }) {
                    #expect(error.kind == .format, "byte \(place) = \(value)")
                }
                if let error = errorOf({ _ = try recover(unclosed: file) }) { #expect(error.kind == .format) }
                _ = try checkLog(file)
            }
        }
    }
}
