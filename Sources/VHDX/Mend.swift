public import BlockIO
import ByteCodec
public import DiskModel

extension VHDXChecker {
    /// Mends what the check finds, as far as the kinds asked for go; what is not asked for, or does not apply, is not
    /// touched, and then nothing is written.
    ///
    /// Order, each step with its own flushes, each one leaving an image no worse than before wherever it is cut off, and
    /// all of it repeatable:
    ///  1. `identifier`: its 520 bytes. *Cut: the headers are valid, and say what the file is.*
    ///  2. `headers`: the one that is bad or counts less, then the other, with numbers that grow, and a LogVersion of zero
    ///     where there is no log. *Cut: one is valid.*
    ///  3. `log` as in `LogRing.replayIntoFile`; or `drop-log`: header by header, LogGuid is zero, and nothing is
    ///     replayed, not even an older sequence, which could undo what the newer entries did. *Cut: the log is replayed,
    ///     or cannot be, as before; or it is given up.* From here on LogGuid is zero.
    ///  4. `tails`, `regions`: header by header, FileWriteGuid is new, and DataWriteGuid where the disk will show bytes it
    ///     did not. Then the file is lengthened. *Cut: as before, or longer.* Then the region table that does not count is
    ///     written whole, and after it the one that does. *Cut: the other one is whole and valid.*
    ///  5. `metadata`, `bat`, `drop-blocks`, `bitmaps`, `allocate`: a session of `Writer`, steps 1 to 3 and 7 to 12 there.
    ///     Each table entry is mended by itself, in one page of one log entry; space is allocated at the file's end, and
    ///     flushed, before its entry is logged. *Cut: replay of the log; some entries mended, others not yet.*
    ///
    /// - Parameters:
    ///   - file: open for writing, the caller's alone.
    ///   - progress: bytes of the table gone through; throwing stops between two entries, and the image is closed.
    /// - Returns: what was done; nothing when none of the kinds applies.
    /// - Throws: `.refused` when something that has to be mended first was not asked for; `.io`.
    public static func repair(
        _ file: any BlockFile, _ kinds: Set<RepairKind>, _ options: CheckOptions, progress: EditProgress
    ) throws(DiskError) -> [RepairAction] {
        try diskErrors(file.path, "repairing") {
            guard var mender = try Mender(file, kinds) else { return [] }
            try mender.checkOrder()
            try mender.mendIdentifier()
            try mender.mendHeaders()
            try mender.mendLog()
            try mender.mendTails()
            try mender.mendRegions()
            try mender.mendTable(progress)
            return mender.actions
        }
    }
}

/// The repairs of one image; the steps are told at `VHDXChecker.repair`.
struct Mender {
    let file: any BlockFile
    /// The kinds asked for that mend something.
    let kinds: Set<RepairKind>
    /// The file as it is now.
    private(set) var image: CheckedImage
    private(set) var actions: [RepairAction] = []
    private var actionCounts: [RepairAction.Place: Int] = [:]
    static let keptActionCount = CheckReport.keptCount
    private var hasNewFileWriteGUID = false
    private var hasNewDataWriteGUID = false

    /// Nil when none of the kinds mends anything.
    init?(_ file: any BlockFile, _ kinds: Set<RepairKind>) throws {
        var check = Check(try CheckedImage(file))
        try check.table { _ in }
        check.structures()
        (self.file, image) = (file, check.image)
        self.kinds = kinds.intersection(check.applicable)
        if self.kinds.isEmpty { return nil }
    }

    /// Refuses kinds that need another one first.
    func checkOrder() throws(DiskError) {
        func refuse(_ what: String, _ hint: String) -> DiskError {
            DiskError(.refused, path: file.path, what, hint: hint)
        }
        guard let headers = image.headers else { return }
        let afterHeaders = kinds.subtracting([.identifier, .headers])
        if headers.isAmbiguous, !kinds.contains(.headers), let kind = afterHeaders.min() {
            throw refuse(
                "the two headers contradict each other, which keeps the repair \(kind.rawValue) from being made",
                image.canMendHeaders ? "ask for the repair headers as well" : "copy the contents into a new image")
        }
        let afterLog = afterHeaders.subtracting([.log, .dropLog])
        if image.hasLog, kinds.isDisjoint(with: [.log, .dropLog]), let kind = afterLog.min() {
            throw refuse(
                "the log is pending, which keeps the repair \(kind.rawValue) from being made",
                image.canReplay
                    ? "ask for the repair log as well"
                    : image.hasBrokenLog
                        ? "ask for the repair drop-log as well" : "copy the contents into a new image")
        }
        if image.structureEnd != nil, !kinds.contains(.tails), let kind = kinds.intersection(Self.logged).min() {
            throw refuse(
                "the file lacks the end of its structures, which keeps the repair \(kind.rawValue) from being made",
                "ask for the repair tails as well")
        }
    }

    /// The kinds that go through the log.
    static let logged: Set<RepairKind> = [.metadata, .bat, .dropBlocks, .bitmaps, .allocate]

    /// After a step that wrote.
    mutating func reopen() throws { image = try CheckedImage(file) }

    /// Remembers one thing done; of one kind and rule a bounded number, and how many more.
    mutating func note(_ kind: RepairKind, _ code: FormatError.Code, at offset: UInt64, _ what: String) {
        let place = RepairAction.Place(kind: kind, code: code)
        let count = actionCounts[place, default: 0] + 1
        actionCounts[place] = count
        if count <= Self.keptActionCount { return actions.append(RepairAction(kind, code, at: offset, what)) }
        let more = "\(count - Self.keptActionCount) more of this kind"
        guard count > Self.keptActionCount + 1,
            let index = actions.lastIndex(where: { $0.kind == kind && $0.code == code })
        else { return actions.append(RepairAction(kind, code, at: offset, more)) }
        actions[index].what = more
    }

    /// Gives both headers a new FileWriteGuid, and a new DataWriteGuid where the disk will show other bytes: once each.
    mutating func touch(_ headers: inout HeaderPair, changesData: Bool) throws {
        let changesData = changesData && !hasNewDataWriteGUID
        guard changesData || !hasNewFileWriteGUID else { return }
        try headers.update(on: file) {
            $0.fileWriteGUID = .random()
            if changesData { $0.dataWriteGUID = .random() }
        }
        hasNewFileWriteGUID = true
        if changesData { hasNewDataWriteGUID = true }
    }
}

extension RepairAction {
    fileprivate struct Place: Hashable {
        var kind: RepairKind
        var code: FormatError.Code
    }
}
