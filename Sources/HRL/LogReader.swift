public import BlockIO
public import ByteCodec
public import DiskModel

/// What a reader of logs lets pass.
public struct HRLReadOptions: Sendable {
    /// Codes of errors that do not stop the reading; they are kept as findings of severity `error`.
    public var accepted: Set<FormatError.Code> = []
    public init() {}
    public init(accepting accepted: Set<FormatError.Code>) { self.accepted = accepted }
}

/// A closed log. Writes stream in order, in the memory of one block and one copy buffer.
///
/// Safe for use from several threads; every walk reads the file anew.
public final class LogReader: Sendable {
    public let file: any BlockFile
    public let header: LogHeader
    /// Where the log ends in the file; after recovery not what the header says.
    public let endOfLog: UInt64
    /// Bytes of the file when it was opened.
    public let fileByteCount: UInt64
    /// What was noticed about the header.
    public var findings: [Finding] { headerFindings.all.map(\.finding) }
    private let headerFindings: LogFindings

    /// Whether a file begins as a log does.
    public static func recognises(_ file: any BlockFile) throws(IOError) -> Bool {
        guard try file.byteCount() >= UInt64(LogHeader.byteCount) else { return false }
        return try file.bytes(at: 0, count: LogHeader.signature.count) == LogHeader.signature
    }

    /// Reads and checks the header.
    /// - Throws: `DiskError`; `isUnclosedLog` tells a log that was not closed (HRL004), which only `recover` reads.
    public init(_ file: any BlockFile, options: HRLReadOptions = .init()) throws(DiskError) {
        var findings = LogFindings(path: file.path, accepted: options.accepted)
        let header = try LogHeader.raw(file)
        _ = try header.isReadable(&findings)
        let (size, bytes) = try diskErrors(file.path, "reading the log's header") {
            (try file.byteCount(), try file.bytes(at: 0, count: LogHeader.byteCount))
        }
        _ = try header.judge(&findings, bytes: bytes)
        _ = try header.judgeEnd(fileByteCount: size, &findings)
        self.file = file
        self.header = header
        endOfLog = header.eolLocation
        fileByteCount = size
        headerFindings = findings
    }

    /// A log whose end was found otherwise.
    init(_ file: any BlockFile, header: LogHeader, endOfLog: UInt64, fileByteCount: UInt64, findings: LogFindings) {
        (self.file, self.header, self.endOfLog) = (file, header, endOfLog)
        self.fileByteCount = fileByteCount
        headerFindings = findings
    }

    /// Visits the writes in order. The file is walked once backwards to find the blocks and once forward.
    /// - Parameter verifyingData: whether to read data that carries a checksum and to compare.
    /// - Returns: totals and findings.
    /// - Throws: `DiskError`: the first error not accepted, or what `body` threw.
    @discardableResult
    public func forEachWrite(
        verifyingData: Bool, _ body: (LogWrite) throws(DiskError) -> Void
    ) throws(DiskError) -> LogSummary {
        try walk(virtualByteCount: nil, verifyingData: verifyingData, body)
    }

    /// Reads everything, data with checksums included.
    /// - Parameter virtualByteCount: size of the disk that the writes must fit; nil for any disk.
    public func validate(virtualByteCount: UInt64? = nil) throws(DiskError) -> LogSummary {
        try walk(virtualByteCount: virtualByteCount, verifyingData: true) { _ in }
    }

    /// As `validate`, and visits the writes on the way.
    public func validate(
        virtualByteCount: UInt64?, _ body: (LogWrite) throws(DiskError) -> Void
    ) throws(DiskError) -> LogSummary {
        try walk(virtualByteCount: virtualByteCount, verifyingData: true, body)
    }

    /// Throws for logs that can be read but must not be applied without being asked to: version 1 (HRL002), a set
    /// ErrorCode (HRL008), another FileType (HRL009). Accepted codes pass.
    public func checkApplicable() throws(DiskError) {
        let refusals: [FormatError.Code] = [.hrlVersion, .hrlErrorCode, .hrlFileType]
        for finding in headerFindings.all where refusals.contains(finding.detail.code) {
            let isMinorVersion = finding.detail.code == .hrlVersion && header.majorVersion == 2
            guard !headerFindings.accepted.contains(finding.detail.code), !isMinorVersion else { continue }
            throw DiskError(
                finding.detail, path: file.path, hint: "--accept \(finding.detail.code) applies it all the same")
        }
    }

    private func walk(
        virtualByteCount: UInt64?, verifyingData: Bool, _ body: (LogWrite) throws(DiskError) -> Void
    ) throws(DiskError) -> LogSummary {
        var walk = LogWalk(file, header: header, endOfLog: endOfLog, findings: headerFindings)
        walk.virtualByteCount = virtualByteCount
        walk.verifiesData = verifyingData
        _ = try walk.run(body)
        var summary = walk.summary
        summary.findings = walk.findings.all
        summary.dropped = walk.findings.dropped
        return summary
    }
}

extension DiskError {
    /// Whether a log could not be read because it was not closed.
    public var isUnclosedLog: Bool { formatError?.code == .hrlNotClosed }
}
