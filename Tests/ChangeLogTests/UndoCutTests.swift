import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import HRL
import ImageChain
import Testing

@testable import ChangeLog

/// Everything a power cut can leave of applying logs with an undo log, in both files together: the same once more brings
/// the new contents, and afterwards the undo log the old ones; and a closed undo log alone brings the old ones.
@Suite struct UndoCutTests {
    /// What is done, and what it shall lead to.
    struct Case {
        var disk: UndoDisk
        var logs: [LogReader]
        var old: [UInt8]
        var new: [UInt8]

        init(_ kind: UndoDisk.Kind, seed: UInt64) throws {
            var random = SplitMix(seed: seed)
            let size: UInt64 = kind.isVHD || kind == .raw ? 64 << 10 : 3 << 20
            disk = try UndoDisk(kind, byteCount: size, &random)
            let writes = undoWrites(&random, count: 10, diskByteCount: Int(size))
            logs = [
                try LogReader(try makeLog(Array(writes[..<6]), after: GUID(7), id: GUID(1))),
                try LogReader(try makeLog(Array(writes[6...]), after: GUID(1), id: GUID(2))),
            ]
            old = try disk.bytes()
            new = old
            applyPlainly(writes, to: &new)
        }
    }

    struct Counts {
        var images = 0
        /// Images with an undo log to use.
        var withUndo = 0
        /// Of those the ones whose disk is neither old nor new.
        var mixtures = 0
        var again = 0
        /// Neither old nor with an undo log to use.
        var lost = 0
        /// The rerun did not lead to the new contents.
        var unfinished = 0
        /// The undo log did not lead to the old contents.
        var notRestored = 0
        var wrong: Int { lost + unfinished + notRestored }
        var example = ""
    }

    @Test(arguments: [
        UndoDisk.Kind.raw, .fixedVHD, .dynamicVHD, .smallBlocksVHD, .childVHD, .dynamicVHDX, .largeSectorsVHDX,
        .childVHDX,
    ])
    func everyCut(kind: UndoDisk.Kind) throws {
        var counts = Counts()
        var moments = 0
        for (seed, order) in zip(1...2, [ApplyOrder.coalesced, .strict]) {
            let one = try Case(kind, seed: UInt64(seed))
            let folder = RecordedFolder()
            try run(one, in: folder, undo: .init(), disk: one.disk.leaf, order)
            moments +=
                count(folder, one, limit: kind.isVHD || kind == .raw ? 30 : 14, cutsAgain: true, &counts).momentCount
        }
        print(
            "undo power cuts, \(kind): \(counts.images) images of \(moments) moments, \(counts.withUndo) with a closed undo "
                + "log, \(counts.mixtures) of them mixtures, \(counts.again) cut again; \(counts.lost) lost, "
                + "\(counts.unfinished) unfinished, \(counts.notRestored) not restored")
        #expect(counts.wrong == 0, "\(counts.example)")
        #expect(counts.mixtures > 5 && counts.again > 5 && counts.withUndo < counts.images)
    }

    @Test(arguments: [UndoDisk.Kind.raw, .dynamicVHD, .dynamicVHDX])
    func undoWithoutFlushesIsCaught(kind: UndoDisk.Kind) throws {
        let one = try Case(kind, seed: 3)
        let folder = RecordedFolder(fileWithoutSyncs: "undo")
        try run(one, in: folder, undo: .init(), disk: one.disk.leaf)
        var counts = Counts()
        _ = count(folder, one, limit: 40, cutsAgain: false, &counts)
        print(
            "undo power cuts, broken control, \(kind), undo log without flushes: \(counts.lost) of \(counts.images) lost"
        )
        #expect(counts.lost > 0)
    }

    /// The undo log is begun after the disk: the order turned round.
    @Test(arguments: [UndoDisk.Kind.raw, .dynamicVHD, .dynamicVHDX])
    func savingWhileWritingIsCaught(kind: UndoDisk.Kind) throws {
        let one = try Case(kind, seed: 4)
        let folder = RecordedFolder()
        let undo = folder.add("undo", .init())
        let file = folder.add("disk", one.disk.leaf)
        let effect = try LogEffect(of: one.logs)
        let before = try one.disk.open()
        let chain = try one.disk.open(writing: file)
        _ = try effect.apply(to: chain)
        _ = try UndoLog.save(effect, of: before, into: undo, time: time)
        try chain.close()
        var counts = Counts()
        _ = count(folder, one, limit: 40, cutsAgain: false, &counts)
        print("undo power cuts, broken control, \(kind), written before saved: \(counts.lost) of \(counts.images) lost")
        #expect(counts.lost > 0)
    }

    /// A rerun that does not look at what is there.
    @Test(arguments: [UndoDisk.Kind.raw, .dynamicVHD, .dynamicVHDX])
    func savingAgainIsCaught(kind: UndoDisk.Kind) throws {
        let one = try Case(kind, seed: 5)
        let folder = RecordedFolder()
        try run(one, in: folder, undo: .init(), disk: one.disk.leaf)
        var counts = Counts()
        _ = count(folder, one, limit: 40, cutsAgain: false, keepsUndo: false, &counts)
        print(
            "undo power cuts, broken control, \(kind), saved again: \(counts.notRestored) of \(counts.images) not restored"
        )
        #expect(counts.notRestored > 0)
    }

    /// Each call that changes the disk fails once, with half of its bytes written, and all after it.
    @Test(arguments: [UndoDisk.Kind.raw, .childVHD, .dynamicVHDX]) func everyFailure(kind: UndoDisk.Kind) throws {
        let one = try Case(kind, seed: 6)
        let effect = try LogEffect(of: one.logs)
        var counts = Counts()
        for calls in 0..<1000 {
            let (undo, file) = (MemoryFile(path: "undo"), MemoryFile(one.disk.leaf, path: "disk"))
            _ = try UndoLog.save(effect, of: try one.disk.open(), into: undo, time: time)
            let failing = FailingFile(file, after: calls)
            do {
                let chain = try one.disk.open(writing: failing)
                _ = try effect.apply(to: chain, calls % 2 == 0 ? .strict : .coalesced)
                try chain.close()
            } catch {}
            guard failing.hasFailed else { break }
            counts.images += 1
            try judge(one, undo.contents, file.contents, keepsUndo: true, &counts, "failed after \(calls) calls")
        }
        print("undo, \(kind), each call failing: \(counts.images) images, \(counts.mixtures) mixtures")
        #expect(counts.wrong == 0 && counts.withUndo == counts.images, "\(counts.example)")
        #expect(counts.mixtures > 3 && counts.images < 1000)
    }

    // MARK: Running and judging

    /// What hrl-apply --undo does, on files that remember.
    /// - Parameter keepsUndo: false for the broken control.
    @discardableResult
    private func run(
        _ one: Case, in folder: RecordedFolder, undo: MemoryFile.Contents, disk: MemoryFile.Contents,
        _ order: ApplyOrder = .coalesced, keepsUndo: Bool = true
    ) throws -> (undo: MemoryFile.Contents, disk: MemoryFile.Contents) {
        let undoFile = folder.add("undo", undo)
        let file = folder.add("disk", disk)
        let effect = try LogEffect(of: one.logs, virtualByteCount: one.disk.byteCount)
        let before = try one.disk.open(disk)
        if keepsUndo, try isReusable(undoFile, effect, before) {
            // It stays as it is.
        } else {
            _ = try UndoLog.save(effect, of: before, into: undoFile, time: time)
        }
        let chain = try one.disk.open(writing: file)
        _ = try effect.apply(to: chain, order)
        try chain.close()
        return (undoFile.contents, file.contents)
    }

    private func isReusable(_ file: any BlockFile, _ effect: LogEffect, _ disk: ImageChain) throws -> Bool {
        if case .reusable = try UndoLogPlace(of: file, for: effect, on: disk) { true } else { false }
    }

    private func count(
        _ folder: RecordedFolder, _ one: Case, limit: Int, cutsAgain: Bool, keepsUndo: Bool = true,
        _ counts: inout Counts
    ) -> PowerCuts.Tally {
        folder.forEachCut(imageLimit: limit, seed: 3) { image in
            counts.images += 1
            guard let undo = image.files["undo"], let disk = image.files["disk"] else { return }
            do {
                try judge(one, undo, disk, keepsUndo: keepsUndo, &counts, image.fates)
                if cutsAgain, counts.images % 40 == 0 { try cutAgain(one, undo, disk, &counts) }
            } catch {
                counts.unfinished += 1
                counts.example = "\(error) after \(image.stepCount) steps: \(image.fates)"
            }
        }
    }

    private func judge(
        _ one: Case, _ undo: MemoryFile.Contents, _ disk: MemoryFile.Contents, keepsUndo: Bool, _ counts: inout Counts,
        _ fates: String
    ) throws {
        let effect = try LogEffect(of: one.logs, virtualByteCount: one.disk.byteCount)
        let cut = try one.disk.open(disk)
        let shown = try cut.bytes(at: 0, count: one.old.count)
        let isOld = bytesEqual(shown.rawBytes, one.old.rawBytes)
        // A closed log has its record.
        if let closed = try? LogReader(MemoryFile(undo)), try UndoRecord.read(behind: closed) == nil {
            counts.lost += 1
            counts.example = "closed without record: \(fates)"
            return
        }
        if try isReusable(MemoryFile(undo), effect, cut) {
            counts.withUndo += 1
            if !isOld, !bytesEqual(shown.rawBytes, one.new.rawBytes) { counts.mixtures += 1 }
            // The undo log alone.
            try restore(one, undo, disk, &counts, "alone: \(fates)")
        } else if !isOld {
            counts.lost += 1
            counts.example = "changed without undo: \(fates)"
            return
        }
        let (kept, finished) = try run(one, in: RecordedFolder(), undo: undo, disk: disk, keepsUndo: keepsUndo)
        let found = try one.disk.open(finished).bytes(at: 0, count: one.new.count)
        if !bytesEqual(found.rawBytes, one.new.rawBytes) {
            counts.unfinished += 1
            counts.example = "other bytes: \(fates)"
        }
        try restore(one, kept, finished, &counts, "after the rerun: \(fates)")
    }

    private func restore(
        _ one: Case, _ undo: MemoryFile.Contents, _ disk: MemoryFile.Contents, _ counts: inout Counts, _ what: String
    ) throws {
        let file = MemoryFile(disk)
        let chain = try one.disk.open(writing: file)
        try applyLogs([try LogReader(MemoryFile(undo))], to: chain)
        try chain.close()
        let found = try one.disk.open(file.contents).bytes(at: 0, count: one.old.count)
        guard !bytesEqual(found.rawBytes, one.old.rawBytes) else { return }
        counts.notRestored += 1
        counts.example = what
    }

    /// The rerun is cut, too.
    private func cutAgain(
        _ one: Case, _ undo: MemoryFile.Contents, _ disk: MemoryFile.Contents, _ counts: inout Counts
    ) throws {
        let folder = RecordedFolder()
        try run(one, in: folder, undo: undo, disk: disk)
        var inner = Counts()
        _ = count(folder, one, limit: 4, cutsAgain: false, &inner)
        counts.again += inner.images
        counts.lost += inner.lost
        counts.unfinished += inner.unfinished
        counts.notRestored += inner.notRestored
        if inner.wrong > 0 { counts.example = "cut again: \(inner.example)" }
    }
}
