import BlockIO
public import ByteCodec
import DiskModel
import Synchronization

/// A persistent dirty map beside an image, `<image>.hrl.map`: which regions of the disk were written since the target last
/// acknowledged them, so that a lost log narrows the later comparison. docs/formats/hrl-map.md.
///
/// **Order of writes.** After a power cut at any moment, every region for which `mark` returned and which no
/// acknowledgement and no `clear` has freed reads as dirty.
///
/// 1. Create: what the file held is cut off, flushed; both copies of the header, each flushed; all pages, flushed. A cut
///    leaves a map whose header or pages are damaged, and so everything dirty.
/// 2. Open: both copies of the header say "open", one after the other, each flushed, before `open` returns. A cut leaves
///    one good copy, old or new; nothing has been marked.
/// 3. Mark: the pages of the regions not yet dirty in the file, then a flush, then `mark` returns, and the caller may write
///    to the disk. A torn page has a wrong checksum, and all it covers reads as dirty.
/// 4. Acknowledge: the pages with fewer bits, without a flush. A cut leaves old bits, new ones, or a torn page.
/// 5. Clear: as acknowledge, with a flush, and then the header, both copies flushed, that owes no resynchronisation any
///    more. A cut between leaves a map that asks for it again.
/// 6. Resize: the header, both copies flushed, then all pages in their new generation, flushed. A cut between leaves pages
///    that read as dirty.
/// 7. Close: all pages flushed, then the header "closed" with the image's fingerprint, both copies flushed. A cut leaves a
///    map that was not closed.
///
/// After a failed write or flush every later call that changes the map is refused: what is in the file is not known.
///
/// All methods may be called from any thread. Threads that mark at the same time share a flush.
public final class DirtyMap: Sendable {
    public struct Options: Sendable {
        /// Bytes of a region: a power of two from 512 on, such that the disk has at most 2^20. Nil for the least from
        /// 64 KiB on.
        public var regionByteCount: UInt64?
        /// Whether writes that need a flush mark some regions around them, too, so that fewer do.
        public var marksAhead = true
        public init() {}
    }

    /// Found on opening, and valid for what was before; `.clean` for a new map.
    public let continuity: Continuity
    /// What was damaged, on opening.
    public let findings: [Finding]
    let file: any BlockFile
    let marksAhead: Bool
    /// Regions of the log being written that are dirty in the file: nothing is left to do for these.
    let settled = SharedRegionBits(wordCount: DirtyMapGeometry.maximumWordCount)
    /// Power of two of the region's size, and the disk's size, for marking without a lock.
    let shift: Atomic<Int>
    let virtualEnd: Atomic<UInt64>
    /// Held while the file is written. Taken before `state`.
    let output: Mutex<Output>
    let state: Mutex<State>

    struct Output: Sendable {
        var store: DirtyMapFile
        /// Marks up to this number are durable.
        var flushedTicket: UInt64 = 0
    }

    struct State: Sendable {
        var regions: DirtyMapRegions
        var ahead = DirtyMapAhead()
        /// Pages with regions that wait for a flush.
        var waitingPages: Set<Int> = []
        var lastTicket: UInt64 = 0
        var failure: IOError?
        var isClosed = false
    }

    init(
        _ store: DirtyMapFile, _ regions: DirtyMapRegions, _ options: Options, _ continuity: Continuity,
        _ findings: [Finding]
    ) {
        (file, marksAhead) = (store.file, options.marksAhead)
        (self.continuity, self.findings) = (continuity, findings)
        shift = Atomic(regions.geometry.shift)
        virtualEnd = Atomic(regions.geometry.virtualByteCount)
        output = Mutex(Output(store: store))
        state = Mutex(State(regions: regions))
    }

    /// Where the map of an image is.
    public static func path(ofImage path: String) -> String { path + ".hrl.map" }

    public var path: String { file.path }

    // MARK: Dirty ranges

    /// Visits the dirty ranges of the disk as they are now, in order, not adjoining.
    public func forEachDirtyRange<Failure: Error>(_ body: (Range<UInt64>) throws(Failure) -> Void) throws(Failure) {
        let (geometry, dirty) = state.withLock { ($0.regions.geometry, $0.regions.dirty) }
        try dirty.forEachRun { (run) throws(Failure) in try body(geometry.range(of: run)) }
    }

    public var dirtyRanges: [Range<UInt64>] {
        var ranges: [Range<UInt64>] = []
        forEachDirtyRange { ranges.append($0) }
        return ranges
    }

    public var dirtyByteCount: UInt64 {
        var count: UInt64 = 0
        forEachDirtyRange { count += $0.upperBound - $0.lowerBound }
        return count
    }

    /// Bytes of a region; grows when the disk does.
    public var regionByteCount: UInt64 { state.withLock { $0.regions.geometry.regionByteCount } }
    public var virtualByteCount: UInt64 { state.withLock { $0.regions.geometry.virtualByteCount } }

    public var summary: Summary {
        let (geometry, dirty) = state.withLock { ($0.regions.geometry, $0.regions.dirty) }
        var byteCount: UInt64 = 0
        dirty.forEachRun {
            let range = geometry.range(of: $0)
            byteCount += range.upperBound - range.lowerBound
        }
        return Summary(
            path: path, virtualByteCount: geometry.virtualByteCount, regionByteCount: geometry.regionByteCount,
            regionCount: geometry.regionCount, dirtyRegionCount: dirty.count, dirtyByteCount: byteCount,
            continuity: continuity)
    }
}
