public import BlockIO
public import ByteCodec
public import DiskModel

/// Finds how far a log goes that was not closed (or whose chain of blocks is broken), without changing it.
///
/// - Parameters:
///   - metadataSize: bytes of a block; nil takes the header's, or 4096 when that is unusable.
///   - progress: bytes looked through, and bytes of the file; may throw to end the search.
/// - Throws: `DiskError`: no log (HRL001, HRL002, HRL040, HRL041), `.io`.
public func recover(
    unclosed file: any BlockFile, metadataSize: UInt32? = nil,
    progress: (UInt64, UInt64) throws(DiskError) -> Void = { _, _ in }
) throws(DiskError) -> RecoveredLog {
    var findings = LogFindings(path: file.path)
    var header = try LogHeader.raw(file)
    _ = try header.isReadable(&findings)
    let size: UInt64
    do { size = try file.byteCount() } catch { throw DiskError(error, doing: "looking for metadata blocks") }
    let sum = complementedByteSum(header.serialized().rawBytes, skippingField: LogHeader.checksumOffset)
    if header.reservedIsZero, sum != header.checksum {
        findings.note(
            .warning, .hrlHeaderChecksum, .init(.header, "Checksum", at: UInt64(LogHeader.checksumOffset)),
            "is \(hex(header.checksum)), the header's bytes give \(hex(sum))")
    }
    if let metadataSize { header.metadataSize = metadataSize }
    if !LogHeader.metadataSizes.contains(header.metadataSize) || header.metadataSize % 32 != 0 {
        findings.note(
            .warning, .hrlMetadataSize, .init(.header, "MetadataSize", at: LogHeader.offset(of: "MetadataSize")),
            "is \(header.metadataSize), which is not usable; 4096 is tried")
        header.metadataSize = LogHeader.usualMetadataSize
    }
    var scan = RecoveryScan(file, metadataSize: header.metadataSize, fileByteCount: size)
    try scan.run(progress)
    return RecoveredLog(file, header, size, scan, findings)
}

/// What can be had of a log that was not closed.
public struct RecoveredLog: Sendable {
    /// A block that no other follows: the log may end with it.
    public struct Candidate: Sendable, Equatable {
        /// Offset of the last block.
        public var blockOffset: UInt64
        /// Where the log would end.
        public var endOfLog: UInt64
        /// Writes up to there.
        public var writeCount: UInt64
    }

    /// So many candidates are kept, the furthest ones.
    public static let keptCandidateCount = 100

    public let file: any BlockFile
    /// The header as found, with a usable MetadataSize.
    public let header: LogHeader
    /// Possible ends, by offset.
    public let candidates: [Candidate]
    public let candidateCount: Int
    private let judged: LogFindings
    /// What was noticed about the header.
    public var findings: [Finding] { judged.all.map(\.finding) }
    private let fileByteCount: UInt64

    init(_ file: any BlockFile, _ header: LogHeader, _ size: UInt64, _ scan: RecoveryScan, _ findings: LogFindings) {
        (self.file, self.header, fileByteCount, judged) = (file, header, size, findings)
        let leaves = scan.offsets.indices.filter { !scan.hasChild[$0] }
        candidateCount = leaves.count
        candidates = leaves.suffix(Self.keptCandidateCount).map {
            Candidate(
                blockOffset: scan.offsets[$0], endOfLog: scan.offsets[$0] + UInt64(header.metadataSize),
                writeCount: scan.writeCounts[$0])
        }
    }

    /// The end to take.
    /// - Parameter blockOffset: offset of the last block that the user picked; nil takes the only one there is.
    /// - Throws: HRL044 when there is none, or several and none was picked: all are listed.
    public func candidate(at blockOffset: UInt64? = nil) throws(DiskError) -> Candidate {
        if let blockOffset {
            guard let picked = candidates.first(where: { $0.blockOffset == blockOffset }) else {
                throw error(at: blockOffset, "is not the last one of any chain; those are: \(list)")
            }
            return picked
        }
        guard let furthest = candidates.last else {
            throw error(at: UInt64(LogHeader.byteCount), "are not to be found; nothing can be recovered")
        }
        guard candidateCount == 1 else {
            throw error(
                at: furthest.blockOffset,
                "end in \(candidateCount) different places, of which one is right and others may be forged: \(list)",
                hint: "pick one; the furthest, at \(hex(furthest.blockOffset)), is right if the log went on after a "
                    + "forgery")
        }
        return furthest
    }

    private var list: String {
        candidates.map { "\(hex($0.blockOffset)) (\($0.writeCount) writes)" }.joined(separator: ", ")
    }

    private func error(at offset: UInt64, _ problem: String, hint: String? = nil) -> DiskError {
        DiskError(
            FormatError(
                .hrlRecovery, field: "metadata blocks", offset: offset, problem, section: Chapter.recovery.rawValue),
            path: file.path, hint: hint)
    }

    /// The log up to a candidate, for reading.
    public func reader(of candidate: Candidate, options: HRLReadOptions = .init()) -> LogReader {
        var findings = LogFindings(path: file.path, accepted: options.accepted)
        for finding in judged.all {
            findings.keep(finding.detail, severity: finding.severity)
        }
        return LogReader(
            file, header: header, endOfLog: candidate.endOfLog, fileByteCount: fileByteCount, findings: findings)
    }

    /// What to tell about taking a candidate: bytes lost after it, last writes that may be missing their data.
    public func findings(for candidate: Candidate) throws(DiskError) -> [Finding] {
        var findings = LogFindings(path: file.path)
        do {
            var lost: UInt64 = 0
            var position = candidate.endOfLog
            while position < fileByteCount, let data = try file.data(from: position) {
                lost += data.upperBound - max(data.lowerBound, position)
                position = data.upperBound
            }
            if lost > 0 {
                findings.note(
                    .warning, .hrlLostTail, .init(.recovery, "file", at: candidate.endOfLog),
                    "goes on with \(lost) bytes that no block found describes: writes among them are lost, or their blocks "
                        + "are at no multiple of 512, where none is looked for")
            }
        } catch { throw DiskError(error, doing: "looking past the end of the log") }
        let zeros = try zeroWritesAtEnd(candidate)
        if zeros > 0 {
            findings.note(
                .warning, .hrlSuspectZeros, .init(.recovery, "data", at: candidate.blockOffset),
                "of the last \(zeros) writes is all zeros: written so, or it never reached the file")
        }
        return findings.all.map(\.finding)
    }

    /// How many of the last block's last writes hold only zeros.
    private func zeroWritesAtEnd(_ candidate: Candidate) throws(DiskError) -> Int {
        var run = 0
        try reader(of: candidate).forEachWrite(verifyingData: false) { (write) throws(DiskError) in
            guard write.blockOffset == candidate.blockOffset else { return }
            do throws(IOError) { run = try file.isZero(write.dataRange) ? run + 1 : 0 } catch {
                throw DiskError(error, doing: "reading data")
            }
        }
        return run
    }

    /// Writes the log up to a candidate into an empty file, closed; holes are kept, and it is flushed. It keeps its
    /// identity, but writes may be missing: nothing may be chained after it.
    /// - Parameter time: for LastModifiedTimeStamp.
    /// - Returns: what reading the copy back found.
    @discardableResult
    public func writeClosedCopy(
        of candidate: Candidate, to target: any BlockFile, time: DiskTimestamp,
        progress: (UInt64, UInt64) throws(DiskError) -> Void = { _, _ in }
    ) throws(DiskError) -> LogSummary {
        var closed = header
        closed.eolLocation = candidate.endOfLog
        closed.currentSize = candidate.endOfLog
        closed.totalMetadataEntries = candidate.writeCount
        closed.lastModifiedTimeStamp = time.rawValue
        try diskErrors(target.path, "copying the log") {
            try target.resize(to: 0)
            try target.resize(to: candidate.endOfLog)
            let range = UInt64(LogHeader.byteCount)..<candidate.endOfLog
            try forEachDataPiece(of: file, in: range, IOBuffer(byteCount: 1 << 20)) { (bytes, offset) in
                try target.write(bytes, at: offset)
                try progress(offset + UInt64(bytes.byteCount), candidate.endOfLog)
            }
            try target.sync()
            try target.write(closed.sealed(), at: 0)
            try target.sync()
        }
        return try LogReader(target, options: HRLReadOptions(accepting: [.hrlUniqueID])).validate()
    }
}
