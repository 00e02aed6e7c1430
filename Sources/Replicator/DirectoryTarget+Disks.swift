import BlockIO
import ByteCodec
import ChangeLog
import DiskModel
import HRL
public import ImageChain
import Replication

/// What is done to replica disks.
extension DirectoryTarget {
    // MARK: Copying

    public func beginCopy(
        disk index: Int, _ blueprint: DiskBlueprint, from: UInt64, willRenew: () throws -> Void
    ) throws -> any CopySink {
        let disk = try disk(index)
        if from > 0, let sink = try resumeCopy(index, from: from) { return sink }
        // Whoever is killed from here on begins at 0.
        try handle(.copyAdvanced(disk: index, byte: 0))
        try willRenew()
        seal.expect(nil, at: disk.path)
        try Folders.remove(store.records(disk.name))
        try Folders.remove(disk.path)
        try surroundings.step("replica create disk")
        try makeImage(blueprint, disk.path)
        let begun = try makeRecords(disk.byteCount, disk.id, store.records(disk.name))
        return DirectoryCopySink(self, index, try openWriting(disk.path), begun)
    }

    /// Under no name until it is whole, as the image is.
    private func makeRecords(_ byteCount: UInt64, _ relationship: GUID, _ path: String) throws -> CopyRecords {
        do {
            let pending = try PendingFile(path, replaces: false)
            let file = try seal.create(
                on: surroundings.seam(pending.file), staysSmall: true, at: surroundings.now().unixSeconds)
            let records = try CopyRecords.create(file, diskByteCount: byteCount, relationship: relationship)
            try pending.commit()
            return records
        } catch let error as IOError { throw DiskError(error, doing: "making the copy's records") }
    }

    /// Under a temporary name, so that an image at its place is always one.
    private func makeImage(_ blueprint: DiskBlueprint, _ path: String) throws {
        do {
            let pending = try PendingFile(path, replaces: false)
            let now = surroundings.now().unixSeconds
            let file = try seal.create(on: surroundings.seam(pending.file), staysSmall: false, expecting: path, at: now)
            try blueprint.create(on: file, now: now)
            try seal.close(file)
            try pending.commit()
        } catch let error as IOError { throw DiskError(error, doing: "making the replica disk") }
    }

    private func openWriting(_ path: String) throws(DiskError) -> OpenDisk {
        let file = try seal.writing(path, doing: "opening the replica disk", surroundings.seam)
        return OpenDisk(layer: try ImageOpener.layer(writing: file), file: file)
    }

    private func openReading(_ path: String) throws(DiskError) -> ImageChain {
        try ImageChain.open(path, OpenOptions(files: seal.files))
    }

    /// Nil when there is nothing to go on with.
    private func resumeCopy(_ index: Int, from: UInt64) throws -> DirectoryCopySink? {
        let disk = try disk(index)
        guard Folders.exists(disk.path), Folders.exists(store.records(disk.name)) else { return nil }
        let records = try seal.writing(
            store.records(disk.name), doing: "going on with the copy's records", surroundings.seam)
        let found: CopyRecords?
        do {
            found = try CopyRecords.resume(
                records, diskByteCount: disk.byteCount, relationship: disk.id, limit: from)
        } catch { throw DiskError(error) }
        guard let found, found.durable > 0 else { return nil }
        let open: OpenDisk
        do throws(DiskError) { open = try openWriting(disk.path) } catch {
            if [.busy, .io, .key].contains(error.kind) { throw error }
            return nil
        }
        let layer = open.layer
        guard layer.geometry.virtualByteCount == disk.byteCount else { return nil }
        try clear(layer, from: found.durable)
        return DirectoryCopySink(self, index, open, found)
    }

    /// What was written past the last mark may be of an older state of the source.
    private func clear(_ layer: any WritableDiskLayer, from start: UInt64) throws(DiskError) {
        var ranges: [Range<UInt64>] = []
        try layer.forEachExtent(in: start..<layer.geometry.virtualByteCount) { extent in
            guard case .file = extent.source else { return }
            if let last = ranges.last, last.upperBound == extent.offset {
                ranges[ranges.count - 1] = last.lowerBound..<extent.end
            } else {
                ranges.append(extent.range)
            }
        }
        for range in ranges { try layer.writeZeroes(range) }
    }

    /// How much of a copy in the making is durable by its records.
    func durableByte(of index: Int, limit: UInt64) throws -> UInt64 {
        let disk = try disk(index)
        guard Folders.exists(disk.path), let file = try? seal.files.open(store.records(disk.name)).contents
        else { return 0 }
        var durable: UInt64 = 0
        do {
            guard
                var reader = try CopyRecords.Reader(file, diskByteCount: disk.byteCount, relationship: disk.id)
            else { return 0 }
            while let record = try reader.next() {
                guard case .mark(let byte) = record else { continue }
                guard byte <= limit else { break }
                durable = byte
            }
        } catch { throw DiskError(error) }
        return durable
    }

    // MARK: Verifying

    public func verifyCopy(disk index: Int) throws -> CopyVerdict {
        let disk = try disk(index)
        let chain = try openReading(disk.path)
        guard chain.geometry.virtualByteCount == disk.byteCount else {
            return .differs(at: 0, "the copy has \(chain.geometry.virtualByteCount) bytes")
        }
        guard !chain.hasReplayedLog else { return .differs(at: 0, "the copy is not at rest") }
        guard let file = try? seal.files.open(store.records(disk.name)).contents else {
            return .differs(at: 0, "the copy's digests are gone")
        }
        do {
            guard
                var reader = try CopyRecords.Reader(file, diskByteCount: disk.byteCount, relationship: disk.id)
            else { return .differs(at: 0, "the copy's digests are damaged") }
            return try compare(chain, &reader)
        } catch let error as IOError { throw DiskError(error) }
    }

    public func firstDifference(disk index: Int, from source: ImageChain) throws -> UInt64? {
        let disk = try disk(index)
        surroundings.watcher.begin("\(disk.name): comparing", disk.byteCount)
        var seen: UInt64 = 0
        return try firstDifferingByte(between: source, and: try openReading(disk.path)) { position in
            surroundings.watcher.advance(position - seen)
            seen = position
        }
    }

    public func fingerprint(disk index: Int) -> String? {
        (try? disk(index).path).flatMap { Self.fingerprint(of: $0) }
    }

    static func fingerprint(of path: String) -> String? {
        guard Folders.exists(path) else { return nil }
        let times = Fingerprint.times(path)
        return "\(times.inode)-\(times.size)-\(times.modified)"
    }

    private func compare(_ chain: ImageChain, _ reader: inout CopyRecords.Reader) throws -> CopyVerdict {
        let whole = DiskDigest(diskByteCount: chain.geometry.virtualByteCount)
        var difference: UInt64?
        var expected = try reader.nextChunk()
        var lastMark: UInt64 = 0
        let watcher = surroundings.watcher
        struct Found: Error {}
        do {
            try ChunkScan(chain).run(from: 0) { job in
                watcher.advance(job.end)
                guard let digest = job.digest else { return }
                let found = ChunkDigest(index: job.index, digest: digest)
                guard found == expected else {
                    difference = min(job.offset, expected.map { $0.index * ChunkGeometry.chunkByteCount } ?? .max)
                    throw Found()
                }
                whole.add(found)
                expected = try reader.nextChunk()
            }
        } catch is Found {}
        if difference == nil, let expected { difference = expected.index * ChunkGeometry.chunkByteCount }
        if let difference { return .differs(at: difference, "the copy differs in the chunk at \(difference)") }
        lastMark = reader.lastMark
        guard lastMark == chain.geometry.virtualByteCount else {
            return .differs(at: lastMark, "the copy's digests end at \(lastMark)")
        }
        return .equal(whole.text())
    }

    // MARK: Applying

    /// Merges stored logs into a disk: checked whole before anything is written, flushed after.
    func apply(_ index: Int, _ logs: [StoredLog]) throws -> Replica.Event {
        let disk = try disk(index)
        guard let last = logs.last else { throw DiskError(.refused, path: disk.path, "no logs to apply") }
        var readers: [LogReader] = []
        for log in logs {
            let path = store.log(disk.name, log)
            do throws(DiskError) { readers.append(try LogReader(try seal.files.open(path).contents)) } catch {
                if let fault = fault(error, disk.byteCount) { return .logsRejected(disk: index, fault) }
                throw error
            }
        }
        let open = try openWriting(disk.path)
        let chain = try ImageChain(leafFirst: [open.layer], writableLeaf: open.layer)
        let watcher = surroundings.watcher
        watcher.begin(disk.name, logs.reduce(0) { $0 + $1.bytes })
        do throws(DiskError) {
            try applyLogs(readers, to: chain) { watcher.advance($0.doneByteCount) }
        } catch {
            if error.path != disk.path, let fault = fault(error, disk.byteCount) {
                return .logsRejected(disk: index, fault)
            }
            throw error
        }
        try chain.close()
        try seal.close(open.file)
        return .logsApplied(disk: index, through: last.id)
    }

    private func fault(_ error: DiskError, _ size: UInt64) -> LogFault? {
        let name = splitPath(error.path).name
        // The disk's own key was found before: a log that does not open is not the one that was stored.
        if error.kind == .key { return .damaged(name: name, problem: error.explanation) }
        guard let problem = error.formatError else { return nil }
        return error.isUnclosedLog ? .unclosed(name: name) : .damaged(name: name, problem: problem.description)
    }
}

/// A replica disk, open for writing, and the file that it is in.
struct OpenDisk {
    var layer: any WritableDiskLayer
    var file: any BlockFile
}

/// A replica disk in the making.
final class DirectoryCopySink: CopySink {
    let start: UInt64
    private let target: DirectoryTarget
    private let disk: Int
    private let open: OpenDisk
    private var layer: any WritableDiskLayer { open.layer }
    private let records: CopyRecords

    var keyCommitment: String? { target.seal.commitment(at: open.file.path) }

    init(_ target: DirectoryTarget, _ disk: Int, _ open: OpenDisk, _ records: CopyRecords) {
        (self.target, self.disk, self.open, self.records) = (target, disk, open, records)
        start = records.durable
    }

    func write(_ bytes: RawSpan, at offset: UInt64) throws { try layer.write(bytes, at: offset) }

    func mark(_ digests: [ChunkDigest], durable byte: UInt64) throws {
        try target.surroundings.step("replica flush copy")
        try layer.flush()
        try target.surroundings.step("replica mark copy")
        do { try records.append(digests, durable: byte) } catch { throw DiskError(error, doing: "noting the copy") }
        try target.handle(.copyAdvanced(disk: disk, byte: byte))
    }

    func finish() throws {
        try target.surroundings.step("replica close copy")
        try layer.close()
        try target.seal.close(open.file)
    }
}
