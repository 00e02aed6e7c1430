import BlockIO
import ByteCodec
import ChangeLog
import DiskModel
import Glibc
import HRL
import ImageChain
import Toolbox

/// What became of `--undo`.
struct UndoOutcome {
    var path: String
    /// Nil where the id would be a random one: in a dry run.
    var uniqueID: GUID?
    var previousUniqueID: GUID
    /// When it was saved; nil in a dry run that would save it.
    var time: DiskTimestamp?
    var byteCount: UInt64
    /// Whether an earlier run had saved it.
    var isReused: Bool
    /// Why what stood at its place could not serve, and was replaced; nil where nothing was.
    var replaced: String?

    init(_ path: String, _ log: UndoLog, isReused: Bool) {
        (self.path, self.isReused) = (path, isReused)
        (uniqueID, previousUniqueID) = (log.uniqueID, log.previousUniqueID)
        (time, byteCount) = (log.time, log.byteCount)
    }

    init(_ path: String, wouldSave byteCount: UInt64, _ identity: UndoLog.Identity) {
        (self.path, self.byteCount, isReused) = (path, byteCount, false)
        (uniqueID, previousUniqueID) = (identity.uniqueID, identity.previousUniqueID)
    }
}

extension HRLApply {
    /// The undo log must be none of the files in use.
    func refuseUndoOverInputs(_ chain: ImageChain, _ run: ToolRun) throws {
        guard let undo else { return }
        try refuseOverwriting(undo, [to], "the image to change")
        try refuseOverwriting(undo, logs, "a log to apply")
        try refuseOverwriting(undo, chain.layers.dropFirst().map(\.file.path), "a parent of the image")
        try run.refuseOverwritingCaseLog(undo)
    }

    /// Undo logs among the logs to apply must be of this disk, and whole.
    func checkUndoLogs(_ effect: LogEffect, _ chain: ImageChain, _ run: ToolRun) throws(DiskError) {
        for (log, summary) in zip(effect.logs, effect.summaries) {
            var check = UndoCheck(log, diskID: chain.diskID, accepting: imageOptions.openOptions.accepted)
            let findings = try check.run(summary)
            run.warn(log.file.path, findings)
            if findings.contains(where: { $0.detail.code == .hrlUndoWhole }) { run.raise(.partial) }
        }
    }

    /// Saves what will be overwritten, or finds it saved; `chain` shows the disk as it is, and nobody else writes it.
    /// - Returns: what was saved without a name, to be committed before anything is overwritten; nil where it has one.
    func saveUndo(
        _ path: String, _ effect: LogEffect, of chain: ImageChain, _ progress: Progress, _ run: ToolRun
    ) throws -> (UndoOutcome?, OutputFile?) {
        guard UndoLog.Identity(of: effect) != nil else { return (nil, nil) }
        let place = try undoPlace(path, effect, on: chain)
        if case .reusable(let log) = place {
            run.addInput(path, byteCount: try? PosixFile(path).byteCount())
            try diskErrors(path, "flushing what an earlier run saved") { try makeDurable(path) }
            return (reused(log, at: path, run), nil)
        }
        // Behind a symbolic link, the file that it leads to is the one to be replaced.
        let pending = try undoOutput(place == nil ? path : realPath(path), replaces: place != nil, chain)
        progress.begin("hrl-apply: saving", total: effect.isWhole ? effect.firstByteCount : effect.byteCount)
        let identity = chain.leaf.identity
        do throws(DiskError) {
            let log = try UndoLog.save(
                effect, of: chain, into: pending.file, dataWriteGUID: identity.format == .vhdx ? identity.id : .zero,
                diskID: chain.diskID, time: DiskTimestamp(unixSeconds: ToolRun.now())
            ) { progress.update($0) }
            try checkParents(of: chain)
            var outcome = UndoOutcome(path, log, isReused: false)
            outcome.replaced = place?.objection
            return (outcome, pending)
        } catch { throw unsaved(error, path, isInTheWay: place != nil) }
    }

    /// Gives what was saved its name.
    func commit(_ pending: OutputFile, _ saved: UndoOutcome, _ run: ToolRun) throws {
        do throws(DiskError) { try diskErrors(saved.path, "saving") { try pending.commit() } } catch {
            // What stood there may be gone: the folder's flush comes after the new name.
            throw unsaved(error, saved.path, isInTheWay: false)
        }
        run.addOutput(saved.path, byteCount: try pending.host.byteCount())
        guard let why = saved.replaced else { return }
        run.warn(saved.path, "\(why); -f replaced it by what the image held before this run")
    }

    /// An error that came before anything was applied.
    private func unsaved(_ error: DiskError, _ path: String, isInTheWay: Bool) -> DiskError {
        guard error.hint == nil else { return error }
        var error = error
        error.hint = "no log was applied" + (isInTheWay ? ", and what stood at \(path) stands there as it was" : "")
        if error.isOutOfSpace { error.hint? += "; make room, or name a file on another disk" }
        return error
    }

    /// As `saveUndo`, but only says what it would do.
    func rehearseUndo(
        _ path: String, _ effect: LogEffect, of chain: ImageChain, _ run: ToolRun
    ) throws -> UndoOutcome? {
        guard let identity = UndoLog.Identity(of: effect) else { return nil }
        let place = try undoPlace(path, effect, on: chain)
        if case .reusable(let log) = place { return reused(log, at: path, run) }
        if let why = place?.objection {
            run.warn(path, "\(why); -f would replace it by what the image holds now")
        }
        return UndoOutcome(
            path, wouldSave: try UndoLog.byteCount(of: effect, diskByteCount: chain.geometry.virtualByteCount), identity
        )
    }

    /// An undo log that is there stays, and so does what it leads back to: which is not what the image shows now.
    private func reused(_ log: UndoLog, at path: String, _ run: ToolRun) -> UndoOutcome {
        run.warn(
            path, "an earlier run saved it at \(log.time): applying it brings back what the image held before that run")
        return UndoOutcome(path, log, isReused: true)
    }

    /// What stands at the undo log's place; nil when nothing does.
    /// - Throws: for what is in the way, unless it may be replaced.
    private func undoPlace(
        _ path: String, _ effect: LogEffect, on chain: ImageChain
    ) throws -> UndoLogPlace? {
        let file: PosixFile
        do { file = try PosixFile(path) } catch {
            guard error.reason == .errno(ENOENT) else { throw DiskError(error, doing: "opening the undo log") }
            try refuseLinkToNothing(path)
            return nil
        }
        let place = try judgeUndo(file, effect, on: chain)
        guard case .other(var error) = place else { return place }
        guard !force else { return place }
        let risk = "-f replaces it, which after an interrupted run would save bytes that are already new"
        error.hint = (error.hint.map { $0 + "; " } ?? "") + risk
        throw error
    }
}

/// A link to nothing may lead to a disk that is not there now, and on it is the undo log of an interrupted run: it is not
/// replaced, with -f neither.
private func refuseLinkToNothing(_ path: String) throws(DiskError) {
    var status = stat()
    guard unsafe lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK else { return }
    throw DiskError(
        .refused, path: path, "is a symbolic link to a file that is not there",
        hint: "if an earlier run saved it there, make it reachable again; else remove the link, or name another file")
}

/// The run that saved it may have been killed before its name was durable, and a copy that was brought back may never have
/// been flushed.
private func makeDurable(_ path: String) throws(IOError) {
    let found = try realPath(path)
    try PosixFile(found).sync()
    try syncFolder(of: found)
}

/// Where a path leads, through symbolic links.
private func realPath(_ path: String) throws(IOError) -> String {
    guard let found = unsafe realpath(path, nil) else { throw IOError("realpath", path: path, .errno(errno)) }
    defer { unsafe free(found) }
    return unsafe String(cString: found)
}

extension UndoLogPlace {
    /// Why what stands there cannot serve.
    fileprivate var objection: String? {
        guard case .other(var error) = self else { return nil }
        error.hint = nil
        return error.explanation
    }
}

extension DiskError {
    var isOutOfSpace: Bool { [.errno(ENOSPC), .errno(EDQUOT)].contains(ioError?.reason) }
}

extension LogEffect {
    /// Bytes that applying writes in this order.
    func writtenByteCount(_ order: ApplyOrder) throws(DiskError) -> UInt64 {
        guard order == .coalesced else { return byteCount }
        guard !isWhole else { return firstByteCount }
        var total: UInt64 = 0
        try forEachPiece { (piece) throws(DiskError) in total += piece.byteCount }
        return total
    }
}
