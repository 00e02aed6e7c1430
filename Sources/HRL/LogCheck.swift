public import BlockIO
public import ByteCodec
public import DiskModel

/// Everything the rules say about one log.
public struct LogCheck: Sendable {
    /// In the order found; of each kind the first 100.
    public var findings: [LogFinding] = []
    /// How many there are beyond those.
    public var dropped: [Finding.Kind: Int] = [:]
    /// Nil when not even a header could be read.
    public var header: LogHeader?
    /// Nil when the blocks could not be walked.
    public var summary: LogSummary?

    public init() {}
    /// Nil when there is nothing to say.
    public var worst: Finding.Severity? { findings.map(\.severity).max() }
}

/// Checks a log against rules 1 to 24 and 26 and goes on after an error where there is something to go on with.
/// `LogChainOrder` judges rule 25.
/// - Parameters:
///   - virtualByteCount: size of the disk that the writes must fit; nil for any disk.
///   - dataWriteGUID: that of the VHDX that the log is held against; nil without one.
/// - Throws: `DiskError` only for failed I/O.
public func checkLog(
    _ file: any BlockFile, virtualByteCount: UInt64? = nil, dataWriteGUID: GUID? = nil
) throws(DiskError) -> LogCheck {
    var check = LogCheck()
    var findings = LogFindings(path: file.path, goesOn: true)
    do throws(DiskError) {
        try judge(file, virtualByteCount, dataWriteGUID, &check, &findings)
    } catch {
        guard let formatError = error.formatError else { throw error }
        findings.keep(formatError)
    }
    check.findings = findings.all
    check.dropped = findings.dropped
    check.summary?.findings = findings.all
    return check
}

private func judge(
    _ file: any BlockFile, _ virtualByteCount: UInt64?, _ dataWriteGUID: GUID?, _ check: inout LogCheck,
    _ findings: inout LogFindings
) throws(DiskError) {
    let header = try LogHeader.raw(file)
    guard try header.isReadable(&findings) else { return }
    check.header = header
    let (size, bytes) = try diskErrors(file.path, "reading the log's header") {
        (try file.byteCount(), try file.bytes(at: 0, count: LogHeader.byteCount))
    }
    if let dataWriteGUID, header.majorVersion == 2 {
        let matches = header.vhd2DataWriteGUID == dataWriteGUID
        findings.note(
            .information, .hrlDataWriteGUID,
            .init(.header, "Vhd2DataWriteGuid", at: LogHeader.offset(of: "Vhd2DataWriteGuid")),
            matches ? "is the image's" : "is \(header.vhd2DataWriteGUID), the image's is \(dataWriteGUID)")
    }
    guard try header.judge(&findings, bytes: bytes), header.isClosed,
        try header.judgeEnd(fileByteCount: size, &findings)
    else { return }
    var walk = LogWalk(file, header: header, endOfLog: header.eolLocation, findings: findings)
    walk.virtualByteCount = virtualByteCount
    walk.verifiesData = true
    defer { findings = walk.findings }
    guard try walk.run({ _ in }) else { return }
    check.summary = walk.summary
    if walk.summary.writeCount > 0, walk.summary.checksummedWriteCount == 0 {
        walk.findings.note(
            .information, .hrlDataChecksum, .init(.entry, "DataChecksum", at: UInt64(LogHeader.byteCount)),
            "is 0 in all entries: the data cannot be verified")
    }
}
