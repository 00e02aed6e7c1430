import BlockIO
import ByteCodec
import Cipher
import DiskModel
import FaultInjection
import ImageChain
import Replication
import SealedFile
import Synchronization
import Testing
import ToolTesting

@testable import Replicator

/// A power cut while a sealed copy is made: what its records promise is in the disk.
@Suite struct SealedCutTests {
    /// Hands everything on to a file, and to its double that remembers it.
    final class Tee: BlockFile {
        let base: any BlockFile
        let double: RecordedFolder.File
        init(_ base: any BlockFile, _ double: RecordedFolder.File) { (self.base, self.double) = (base, double) }
        var path: String { base.path }
        func byteCount() throws(IOError) -> UInt64 { try base.byteCount() }
        func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
            try base.read(into: &buffer, at: offset)
        }
        func data(from offset: UInt64) throws(IOError) -> Range<UInt64>? { try base.data(from: offset) }
        func write(_ bytes: RawSpan, at offset: UInt64) throws(IOError) {
            try base.write(bytes, at: offset)
            double.write(bytes, at: offset)
        }
        func resize(to byteCount: UInt64) throws(IOError) {
            try base.resize(to: byteCount)
            double.resize(to: byteCount)
        }
        func zero(_ range: Range<UInt64>) throws(IOError) {
            try base.zero(range)
            double.zero(range)
        }
        func sync() throws(IOError) {
            try base.sync()
            double.sync()
        }
    }

    /// A copy that was recorded, and what it promised when.
    private struct Story {
        var folder: RecordedFolder
        var disk: String
        var records: String
        var identity: Identity
        var relationship: GUID
        var source: [UInt64: [UInt8]]
        /// From so many steps on all below a byte is to be there.
        var promises: [(stepCount: Int, byte: UInt64)] = []

        func open(_ file: MemoryFile.Contents?) -> SealedImage? {
            guard let file else { return nil }
            return try? SealedImage(reading: MemoryFile(file), secrets: [.identity(identity)])
        }

        /// What the records promise: a byte, and digests.
        func promised(_ files: [String: MemoryFile.Contents]) throws -> (byte: UInt64, chunks: [ChunkDigest])? {
            guard let image = open(files[records]),
                var reader = try CopyRecords.Reader(
                    image, diskByteCount: Machine.byteCount, relationship: relationship)
            else { return nil }
            var chunks: [ChunkDigest] = []
            var noted: (UInt64, [ChunkDigest]) = (0, [])
            while let record = try reader.next() {
                switch record {
                case .chunk(let chunk): chunks.append(chunk)
                case .mark(let byte): noted = (byte, chunks)
                }
            }
            return noted
        }

        /// Nil when a cut leaves what was promised, else what is wrong.
        func fault(_ image: RecordedFolder.Image) throws -> String? {
            let due = promises.last { $0.stepCount <= image.stepCount }?.byte ?? 0
            let found = try promised(image.files) ?? (0, [])
            guard found.byte >= due else { return "noted are \(found.byte) bytes, promised \(due)" }
            guard found.byte > 0 else { return nil }
            guard let file = open(image.files[disk]), let layer = try? ImageOpener.layer(reading: file) else {
                return "the disk does not open, and \(found.byte) bytes are noted"
            }
            var digests: [UInt64: [UInt8]] = [:]
            do {
                try ChunkScan(try ImageChain(leafFirst: [layer])).run(from: 0) { digests[$0.index] = $0.digest }
            } catch { return "\(error)" }
            for chunk in found.chunks {
                guard digests[chunk.index] == chunk.digest else { return "chunk \(chunk.index) is not what is noted" }
                guard source[chunk.index] == chunk.digest else { return "chunk \(chunk.index) is noted wrong" }
            }
            return nil
        }
    }

    private func story(_ kind: Machine.Kind, lying: Bool) throws -> Story {
        let machine = try Machine([kind], sealed: true)
        try machine.protect()
        let (disk, records) = (machine.replica(0), machine.store + "/disks/disk0.copy")
        let folder = RecordedFolder(fileWithoutSyncs: lying ? disk : nil)
        var digests: [UInt64: [UInt8]] = [:]
        try ChunkScan(try ImageChain.open(machine.paths[0])).run(from: 0) { digests[$0.index] = $0.digest }
        var story = Story(
            folder: folder, disk: disk, records: records, identity: try #require(machine.identity),
            relationship: try #require(GUID(try machine.status().id)), source: digests)
        var doubles: [String: RecordedFolder.File] = [:]
        var surroundings = machine.surroundings()
        surroundings.seam = { file in
            guard file.path.contains("/disks/") else { return file }
            let double = doubles[file.path] ?? folder.add(file.path, MemoryFile().contents)
            doubles[file.path] = double
            return Tee(file, double)
        }
        // The replica's record is stored when a mark was noted.
        surroundings.step = { step in
            guard step == "replica save", let noted = try story.promised(folder.files) else { return }
            story.promises.append((folder.stepCount, noted.byte))
        }
        try machine.start(surroundings)
        try machine.expectEqual()
        return story
    }

    @Test(arguments: [Machine.Kind.dynamicVHDX, .dynamicVHD]) func recordsPromiseWhatIsThere(kind: Machine.Kind) throws
    {
        let story = try story(kind, lying: false)
        #expect(story.promises.last?.byte == Machine.byteCount)
        let tally = try story.folder.forEachCut(imageLimit: 16, seed: 5) { image in
            if let fault = try story.fault(image) { Issue.record("\(fault): \(image.stepCount): \(image.fates)") }
        }
        #expect(tally.imageCount > 100, "\(tally)")
    }

    /// Flushes of the disk that are answered and not done must show.
    @Test func brokenControl() throws {
        let story = try story(.dynamicVHDX, lying: true)
        var faults = 0
        _ = try story.folder.forEachCut(imageLimit: 16, seed: 5) { image in
            if try story.fault(image) != nil { faults += 1 }
        }
        #expect(faults > 0)
    }
}
