import BlockIO
import ByteCodec
import DiskModel
import Glibc
import HRL
import Toolbox

// Logs that still grow.

extension Dump {
    /// Shows a log while it grows, until it is closed or a signal asks for the end.
    func follow(_ path: String) throws {
        do throws(DiskError) {
            let opened = try open(toFollow: path)
            let file = opened.contents
            let header = try LogHeader(from: file)
            guard !header.isClosed else { return try dump(closed: path) }
            guard !opened.isSealed else {
                throw DiskError(
                    .refused, path: path,
                    "is sealed and not closed: a sealed log cannot be followed, since reading it "
                        + "keeps its writer away", hint: "without --follow what is there now is shown")
            }
            let size = try diskErrors(path) { try file.byteCount() }
            run.addInput(path, byteCount: size)
            let tail = try diskErrors(path) { try LogTail(file, header) }
            try output { try begin(header, file, size, 0) }
            while try !advance(tail, header) {
                try output { try rows.flush() }
                guard Waiting.sleep() else { return try endUnclosed(tail) }
            }
        } catch { try fail(error) }
    }

    private func open(toFollow path: String) throws(DiskError) -> OpenedFile {
        do throws(DiskError) { return try files.open(path) } catch {
            guard error.kind == .busy else { throw error }
            var error = error
            // Readers of a plain log take no lock: only a sealed one is busy.
            error.hint = "a sealed log cannot be followed: it is read when its writer is done"
            throw error
        }
    }

    /// A signal ended the following: what is there and was not shown.
    private func endUnclosed(_ tail: LogTail) throws(DiskError) {
        isComplete = false
        run.raise(.partial)
        tellRests(tail.file.path)
        let size = try diskErrors(tail.file.path) { try tail.file.byteCount() }
        var text = "not closed yet; \(counted(tail.writeCount, "write was", "writes were")) found"
        if size > tail.end {
            text +=
                ", and no block in the \(size - tail.end) bytes behind them: those at no multiple of 512 are found only "
                + "when the log is closed"
        }
        run.warn(tail.file.path, text, code: FormatError.Code.hrlNotClosed.rawValue)
    }

    private func dump(closed path: String) throws(DiskError) { try output { try dump(path) } }

    /// Shows what is new.
    /// - Returns: whether the log is closed.
    private func advance(_ tail: LogTail, _ first: LogHeader) throws(DiskError) -> Bool {
        let file = tail.file
        let header = try LogHeader(from: file)
        let size = try diskErrors(file.path) { try file.byteCount() }
        guard header.uniqueID == first.uniqueID else {
            throw DiskError(.refused, path: file.path, "another log was written over it while it was followed")
        }
        guard size >= tail.end else {
            throw DiskError(
                .refused, path: file.path, "the log was cut to \(size) bytes while it was followed up to \(tail.end)")
        }
        let limit = header.isClosed ? min(size, header.eolLocation) : size
        try advance(tail, to: limit)
        guard header.isClosed else {
            try checkIsThere(file)
            return false
        }
        if tail.end != header.eolLocation { try showRest(tail, header) }
        return true
    }

    /// The writes of a closed log behind those followed, from its end back: their blocks may stand at odd places, or have
    /// been written where the search had passed.
    private func showRest(_ tail: LogTail, _ header: LogHeader) throws(DiskError) {
        let reader = try LogReader(tail.file, options: options)
        let shownCount = tail.writeCount
        var isSame = shownCount == 0
        let summary: LogSummary
        do throws(DiskError) {
            summary = try reader.forEachWrite(verifyingData: true) { (write) throws(DiskError) in
                if write.number == shownCount { isSame = write.blockOffset == tail.lastBlock }
                if write.number > shownCount, isSame { try row(WriteRecord(write)) }
            }
        } catch {
            guard error.formatError != nil else { throw error }
            return try showDamage(error, tail.file)
        }
        try output { try end(summary.findings, summary.dropped, tail.file.path) }
        guard !isSame else { return }
        isComplete = false
        let error = FormatError(
            .hrlBackChain, field: "EOLLocation", offset: 44,
            "is \(header.eolLocation), and no block on the way there ends at \(tail.end), where the blocks followed do",
            section: "hrl.md: Layout")
        try output { try problem(LogFinding(Finding(.error, error)), tail.file.path) }
    }

    /// A log that lost its last name unclosed gets no reader after this one, and may never be closed.
    private func checkIsThere(_ file: any BlockFile) throws(DiskError) {
        let linkCount = try diskErrors(file.path) { try file.hostFile?.status().st_nlink }
        guard linkCount == 0 else { return }
        throw DiskError(.refused, path: file.path, "the log was removed, not closed, while it was followed")
    }

    private func advance(_ tail: LogTail, to limit: UInt64) throws(DiskError) {
        try diskErrors(tail.file.path) {
            try tail.advance(to: limit) { write in
                try row(write)
                guard write.dataChecksum == .bad else { return }
                let error = FormatError(
                    .hrlDataChecksum, field: "DataChecksum of write \(write.number)", offset: write.dataOffset,
                    "is not that of the data", section: "hrl.md: Metadata entry")
                try problem(LogFinding(Finding(.error, error), write: write.number), tail.file.path)
            }
        }
    }
}
