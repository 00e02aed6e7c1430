public import ByteCodec
public import DiskModel
import BlockIO
import Synchronization

extension DirtyMap {
    // MARK: Writes

    /// Returns when the regions of a range are dirty in the file for the log being written, durably; only then may its
    /// first write reach the disk. Where they are already, that costs no lock and no flush.
    /// - Throws: `.outOfRange` past the disk's end; `.io` when the file cannot be written, and the write must not be done.
    public func mark(_ range: Range<UInt64>) throws(DiskError) {
        guard range.lowerBound < range.upperBound else { return }
        guard range.upperBound <= virtualEnd.load(ordering: .relaxed) else {
            throw DiskError(
                .outOfRange, path: path,
                "bytes \(range.lowerBound) to \(range.upperBound) lie past the end of the mapped disk")
        }
        let shift = UInt64(shift.load(ordering: .relaxed))
        let regions = Int(range.lowerBound >> shift)..<Int((range.upperBound - 1) >> shift) + 1
        if settled.containsAll(regions) { return }
        try markSlowly(range)
    }

    private func markSlowly(_ range: Range<UInt64>) throws(DiskError) {
        let ticket = try state.withLock { (state) throws(DiskError) -> UInt64? in
            try check(state)
            let regions = state.regions.geometry.regions(of: range)
            // Dirty in the file for an earlier log: it stays so for this one.
            if state.regions.durable.containsAll(regions) {
                state.regions.insert(regions)
                forEachWord(of: regions) { word, mask in settled.insert(mask, word: word) }
                return nil
            }
            let all = marksAhead ? state.ahead.widened(regions, state.regions) : regions
            state.regions.insert(all)
            for page in all.lowerBound / DirtyMapPage.regionCount...(all.upperBound - 1) / DirtyMapPage.regionCount {
                state.waitingPages.insert(page)
            }
            state.lastTicket += 1
            return state.lastTicket
        }
        guard let ticket else { return }
        try output.withLock { (output) throws(DiskError) in
            // Another thread's flush may have been this one's, too.
            if output.flushedTicket < ticket { try flush(&output) }
        }
    }

    /// Writes the pages that wait, flushes them, and tells those who asked. Under `output`.
    private func flush(_ output: inout Output) throws(DiskError) {
        let (pages, ticket) = try state.withLock { (state) throws(DiskError) in
            try check(state)
            defer { state.waitingPages.removeAll(keepingCapacity: true) }
            // Copies of these pages alone: one of the whole set would be made anew at the next mark.
            let pages = state.waitingPages.sorted().map { ($0, state.regions.dirty.copy(of: DirtyMapPage.words($0))) }
            return (pages, state.lastTicket)
        }
        try write { () throws(IOError) in
            for (page, words) in pages { try output.store.writePage(page, words[...]) }
            try file.sync()
        }
        state.withLock { state in
            for (page, written) in pages {
                let words = DirtyMapPage.words(page)
                state.regions.settle(written[...], words: words)
                for word in words {
                    let mask = state.regions.current(word: word) & state.regions.durable[word: word]
                    if mask != 0 { settled.insert(mask, word: word) }
                }
            }
        }
        output.flushedTicket = ticket
    }

    // MARK: Logs

    /// Regions marked from now on belong to this log. Call it in the log switch, when no write is in flight: a write
    /// belongs to the log of its `mark`.
    /// - Throws: `.refused` for a log that was begun already.
    public func beginLog(_ id: GUID) throws(DiskError) {
        // Under both locks, so that no flush settles regions of the log before for this one.
        try output.withLock { (_) throws(DiskError) in
            try state.withLock { (state) throws(DiskError) in
                try check(state)
                guard !state.regions.logs.contains(where: { $0.id == id }) else {
                    throw DiskError(.refused, path: path, "log \(id) was begun already")
                }
                state.regions.begin(id)
                state.ahead.beginLog()
                keepSettled(state.regions)
            }
        }
    }

    /// The target has a log and all before it: regions that no later log covers are dirty no longer. What the file says may
    /// go on for a while. The id of a log that is not held, since it was begun before the opening or acknowledged already,
    /// changes nothing.
    /// - Throws: `.refused` for the log being written; `.io`.
    public func acknowledge(through id: GUID) throws(DiskError) {
        try shrink(flushing: false) { (regions) throws(DiskError) in
            guard let index = regions.logs.firstIndex(where: { $0.id == id }) else { return false }
            guard index < regions.logs.count - 1 else {
                throw DiskError(
                    .refused, path: path, "log \(id) is still being written, so it cannot be acknowledged",
                    hint: "begin the next log before")
            }
            regions.acknowledge(index)
            return true
        }
    }

    /// A resynchronisation has ended: what was dirty before is dirty no longer, and what opening found is settled.
    /// - Parameter id: the log that was begun before the comparison: its regions and those of later logs stay. Nil when
    ///   nothing was written since the comparison began: nothing stays.
    /// - Throws: `.refused` for a log that is not held; `.io`.
    public func clear(before id: GUID? = nil) throws(DiskError) {
        try shrink(flushing: true) { (regions) throws(DiskError) in
            guard let id else {
                regions.clearAll()
                return true
            }
            guard let index = regions.logs.firstIndex(where: { $0.id == id }) else {
                throw DiskError(.refused, path: path, "no log \(id) was begun since the dirty map was opened")
            }
            regions.clear(before: index)
            return true
        }
        try output.withLock { (output) throws(DiskError) in
            try write { () throws(IOError) in
                try output.store.writeHeader { $0.debt = DirtyMapHeader.Debt.nothing.rawValue }
            }
        }
    }

    /// Frees regions and writes the pages that have fewer.
    /// - Parameter change: returns whether there is anything to do.
    private func shrink(
        flushing: Bool, _ change: (inout DirtyMapRegions) throws(DiskError) -> Bool
    ) throws(DiskError) {
        try output.withLock { (output) throws(DiskError) in
            let work = try state.withLock { (state) throws(DiskError) -> (pages: [Int], dirty: RegionBits)? in
                try check(state)
                let before = state.regions.dirty
                guard try change(&state.regions) else { return nil }
                keepSettled(state.regions)
                let count = state.regions.geometry.pageCount
                let pages = DirtyMapRegions.pages(count, from: before, to: state.regions.dirty)
                return (pages, state.regions.dirty)
            }
            guard let work else { return }
            try write { () throws(IOError) in
                for page in work.pages { try output.store.writePage(page, work.dirty.words[DirtyMapPage.words(page)]) }
                if flushing { try file.sync() }
            }
        }
    }

    /// What the file need not hold any longer is not settled either.
    private func keepSettled(_ regions: DirtyMapRegions) {
        for word in 0..<regions.geometry.wordCount {
            settled.store(regions.current(word: word) & regions.durable[word: word], word: word)
        }
    }

    /// From here on every mark takes the slow way.
    private func unsettle(_ geometry: DirtyMapGeometry) {
        for word in 0..<geometry.wordCount { settled.store(0, word: word) }
    }

    // MARK: Disk and end

    /// The disk has grown; the new part is clean. Regions become larger where there would be too many. Call it when no
    /// write is in flight.
    /// - Throws: `.refused` for a smaller disk; `.io`.
    public func resize(to virtualByteCount: UInt64) throws(DiskError) {
        try output.withLock { (output) throws(DiskError) in
            let (geometry, dirty) = try state.withLock { (state) throws(DiskError) in
                try check(state)
                let old = state.regions.geometry
                guard virtualByteCount >= old.virtualByteCount,
                    let new = DirtyMapGeometry(virtualByteCount, least: old.regionByteCount)
                else {
                    throw DiskError(
                        .refused, path: path,
                        "cannot go from a disk of \(old.virtualByteCount) bytes to one of \(virtualByteCount)",
                        hint: "make a new dirty map, and resynchronise")
                }
                unsettle(old)
                state.regions.fold(to: new)
                shift.store(new.shift, ordering: .relaxed)
                virtualEnd.store(new.virtualByteCount, ordering: .relaxed)
                state.waitingPages = []
                return (new, state.regions.dirty)
            }
            let ticket = state.withLock { $0.lastTicket }
            try write { () throws(IOError) in try output.store.writeLayout(geometry, dirty) { _ in } }
            state.withLock { state in
                state.regions.settle(dirty.words[0..<geometry.wordCount], words: 0..<geometry.wordCount)
                keepSettled(state.regions)
            }
            output.flushedTicket = max(output.flushedTicket, ticket)
        }
    }

    /// Ends the use of the map. What is dirty stays so.
    /// - Parameter fingerprint: of the image, after its last write was flushed.
    /// - Throws: `.io`; the map is closed or not then, as after a cut, and dirty regions are dirty in both cases.
    public func close(_ fingerprint: ImageFingerprint) throws(DiskError) {
        try output.withLock { (output) throws(DiskError) in
            let (pageCount, dirty) = try state.withLock { (state) throws(DiskError) in
                try check(state)
                state.isClosed = true
                unsettle(state.regions.geometry)
                return (state.regions.geometry.pageCount, state.regions.dirty)
            }
            try write { () throws(IOError) in
                for page in 0..<pageCount { try output.store.writePage(page, dirty.words[DirtyMapPage.words(page)]) }
                try file.sync()
                try output.store.writeHeader { header in
                    header.state = DirtyMapHeader.State.closed.rawValue
                    header.fingerprint = fingerprint
                }
            }
        }
    }

    // MARK: Failures

    private func check(_ state: State) throws(DiskError) {
        if let failure = state.failure { throw DiskError(failure, doing: "the dirty map failed before") }
        guard !state.isClosed else { throw DiskError(.refused, path: path, "the dirty map is closed") }
    }

    private func write(_ body: () throws(IOError) -> Void) throws(DiskError) {
        do throws(IOError) { try body() } catch {
            state.withLock { state in
                state.failure = error
                unsettle(state.regions.geometry)
            }
            throw DiskError(error, doing: "writing the dirty map")
        }
    }
}
