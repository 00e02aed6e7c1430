import BlockIO
import ByteCodec
import ChangeLog
import DiskModel
import FaultInjection
import Glibc
import Testing

/// Loss of power at any moment of a map's life.
@Suite struct DirtyMapCutTests {
    private static let size: UInt64 = 40_000 * 4096
    private static var options: DirtyMap.Options {
        var options = DirtyMap.Options()
        (options.regionByteCount, options.marksAhead) = (4096, false)
        return options
    }

    /// What was promised at a mark of the recording.
    private struct Promise {
        /// Marked, and freed by nothing.
        var dirty: Set<Int>
        /// Opening may say `.clean` from here on up to the next.
        var mayBeClean = false
    }

    /// A life of a map, with what it promises after each step.
    private static func record(_ file: any BlockFile, _ recording: RecordingFile) throws -> [Promise] {
        var promises: [Promise] = []
        var model = DirtyMapModel()
        func promise(mayBeClean: Bool = false) {
            recording.mark(promises.count)
            promises.append(Promise(dirty: model.dirty, mayBeClean: mayBeClean))
        }
        func mark(_ map: DirtyMap, _ regions: Range<Int>) throws {
            // While a region is being marked nothing is promised; what was before is.
            try map.mark(UInt64(regions.lowerBound) * 4096..<UInt64(regions.upperBound) * 4096)
            model.mark(regions)
            promise()
        }
        func begin(_ map: DirtyMap) throws -> GUID {
            let id = GUID.random()
            try map.beginLog(id)
            model.begin(id)
            return id
        }
        /// What is freed is promised no longer before the call, whatever it does.
        func acknowledge(_ map: DirtyMap, _ index: Int) throws {
            let id = model.logs[index].id
            model.acknowledge(index)
            promise()
            try map.acknowledge(through: id)
        }

        var map = try DirtyMap.create(on: file, virtualByteCount: size, fingerprint: sampleFingerprint, options)
        promise()
        _ = try begin(map)
        try mark(map, 3..<5)
        try mark(map, 32_000..<33_500)
        _ = try begin(map)
        try mark(map, 4..<6)
        try acknowledge(map, 0)
        try mark(map, 39_999..<40_000)
        let resynchronised = try begin(map)
        try mark(map, 100..<101)
        model.clear(before: model.logs.count - 1)
        promise()
        try map.clear(before: resynchronised)
        try mark(map, 200..<201)
        promise(mayBeClean: true)
        try map.close(sampleFingerprint)
        promise(mayBeClean: true)
        map = try DirtyMap.open(on: file, virtualByteCount: size, fingerprint: sampleFingerprint, options)
        model.reopen(clean: true)
        promise()
        _ = try begin(map)
        try mark(map, 7..<8)
        _ = try begin(map)
        try mark(map, 8..<9)
        try acknowledge(map, 0)
        try mark(map, 7..<10)
        try map.resize(to: size + (1 << 20))
        promise()
        try mark(map, 40_000..<40_010)
        return promises
    }

    private struct Tally {
        var missing = 0
        var falselyClean = 0
        var errors: [String] = []
    }

    /// Opens what each cut leaves, and counts broken promises.
    private static func cut(_ recording: RecordingFile, _ promises: [Promise]) -> (Tally, PowerCuts.Tally) {
        var tally = Tally()
        let cuts = PowerCuts(recording.recording, imageLimit: 80).forEachImage { image in
            let promise = image.marks.last.map { promises[$0] }
            // The disk is as large as its map says, or has just grown.
            for diskSize in [size, size + (1 << 20)] {
                do {
                    let map = try DirtyMap.open(
                        on: MemoryFile(image.contents), virtualByteCount: diskSize, fingerprint: sampleFingerprint,
                        options)
                    if map.continuity.state == .clean, promise?.mayBeClean != true {
                        tally.falselyClean += 1
                    }
                    guard let promise else { continue }
                    let promised = promise.dirty.filter { UInt64($0) * 4096 < diskSize }
                    if !dirtyRegions(map).isSuperset(of: promised) { tally.missing += 1 }
                } catch { tally.errors.append("\(error) (\(image.fates))") }
            }
        }
        return (tally, cuts)
    }

    @Test func afterAnyCutWhatWasMarkedIsDirty() throws {
        let recording = RecordingFile(MemoryFile.Contents())
        let promises = try Self.record(recording, recording)
        let (tally, cuts) = Self.cut(recording, promises)
        #expect(tally.errors.isEmpty, "\(tally.errors.first ?? "")")
        #expect(tally.missing == 0)
        #expect(tally.falselyClean == 0)
        #expect(cuts.momentCount > 20 && cuts.imageCount > 500)
        print("dirty map: \(cuts.imageCount) images at \(cuts.momentCount) moments")
    }

    /// Without its flushes `mark` promises what a cut takes back: the suite must see it.
    @Test func brokenControlWithoutFlushes() throws {
        let recording = RecordingFile(MemoryFile.Contents())
        let file = SyncFilter(recording) { number in number < 4 }
        let promises = try Self.record(file, recording)
        let (tally, _) = Self.cut(recording, promises)
        #expect(tally.missing > 0)
    }

    /// A map that says "closed" before its pages are flushed is caught, too: every second flush is left out.
    @Test func brokenControlWithHalfTheFlushes() throws {
        let recording = RecordingFile(MemoryFile.Contents())
        let file = SyncFilter(recording) { $0 % 2 == 0 }
        let promises = try Self.record(file, recording)
        let (tally, _) = Self.cut(recording, promises)
        #expect(tally.missing > 0)
    }

    /// A file that replaces another map's: nothing of the old one comes back as clean.
    @Test func aNewMapOverAnOldOne() throws {
        let old = MemoryFile()
        let first = try DirtyMap.create(on: old, virtualByteCount: Self.size, Self.options)
        for _ in 0..<20 { try first.resize(to: Self.size) }
        try first.close(sampleFingerprint)
        let recording = RecordingFile(old.contents)
        let map = try DirtyMap.create(on: recording, virtualByteCount: Self.size, Self.options)
        recording.mark(0)
        try map.mark(0..<1)
        recording.mark(1)
        let cuts = PowerCuts(recording.recording).forEachImage { image in
            guard let last = image.marks.last else { return }
            let opened = try? DirtyMap.open(
                on: MemoryFile(image.contents), virtualByteCount: Self.size, fingerprint: sampleFingerprint)
            #expect(opened?.continuity.state == .notClosed, "\(image.fates)")
            #expect(opened.map { last == 0 || dirtyRegions($0).contains(0) } == true)
        }
        #expect(cuts.momentCount > 5)
    }

    /// An error at each call in turn: it comes out, later marks are refused, and what was promised is in the file.
    @Test(arguments: [EIO, ENOSPC]) func errorsAtEachCall(code: CInt) throws {
        var failureCount = 0
        for calls in 0..<60 {
            let base = MemoryFile()
            let file = FailingFile(base, after: calls, code: code, recovers: true)
            var promised: Set<Int> = []
            var map: DirtyMap?
            var isClosing = false
            do throws(DiskError) {
                let opened = try DirtyMap.create(on: file, virtualByteCount: Self.size, Self.options)
                map = opened
                try opened.beginLog(.random())
                for region in stride(from: 0, to: 40_000, by: 4000) {
                    try opened.mark(UInt64(region) * 4096..<UInt64(region) * 4096 + 1)
                    promised.insert(region)
                }
                isClosing = true
                try opened.close(sampleFingerprint)
            } catch {
                failureCount += 1
                #expect(error.ioError?.reason == .errno(code))
                // The file works again, but what it holds is not known.
                if let map {
                    #expect(throws: DiskError.self) { try map.mark(0..<1) }
                    #expect(throws: DiskError.self) { try map.close(sampleFingerprint) }
                }
            }
            let again = try DirtyMap.open(on: base, virtualByteCount: Self.size, fingerprint: sampleFingerprint)
            let isSuperset = dirtyRegions(again).isSuperset(of: promised)
            #expect(isSuperset, "after \(calls) calls")
            #expect(again.continuity.state != .clean || isClosing)
        }
        #expect(failureCount > 30)
    }
}

/// Passes on some of the syncs only: a broken control.
private final class SyncFilter: BlockFile {
    private let base: RecordingFile
    private let counter = SyncCounter()
    private let passes: @Sendable (Int) -> Bool

    init(_ base: RecordingFile, _ passes: @escaping @Sendable (Int) -> Bool) {
        (self.base, self.passes) = (base, passes)
    }

    var path: String { base.path }
    func byteCount() -> UInt64 { base.byteCount() }
    func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        try base.read(into: &buffer, at: offset)
    }
    func write(_ bytes: RawSpan, at offset: UInt64) { base.write(bytes, at: offset) }
    func resize(to byteCount: UInt64) { base.resize(to: byteCount) }
    func zero(_ range: Range<UInt64>) { base.zero(range) }
    func data(from offset: UInt64) -> Range<UInt64>? { base.data(from: offset) }
    func sync() {
        if passes(counter.count) { base.sync() }
        counter.add()
    }
}
