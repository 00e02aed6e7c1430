public import BlockIO
import ByteCodec
public import Cipher
public import DiskModel
import Glibc

extension SealedImage {
    /// Makes an empty image in an empty file and opens it for writing.
    ///
    /// Order of writes:
    /// 1. Both root blocks, of an empty disk; flush. A loss leaves a file that is no container.
    /// 2. Both copies of the envelope; flush. A loss leaves a file that is no container, or the whole one.
    /// - Parameters:
    ///   - secrets: for each one a slot is made; 1 to 32, of which at least one must be for opening too, if it is to be opened.
    ///   - chunkByteCount: 4096 to 65536, a power of two.
    ///   - journalByteCount: whole pages, 256 KiB to 1 GiB, at least 8 chunks.
    ///   - creationTime: seconds since 1970, or 0.
    /// - Throws: `.refused` for sizes that cannot be, and where deriving a key takes more memory than there is; `.key` for a
    ///   secret no slot can be made with; `.io`, also for a file that is not empty.
    public static func create(
        on file: any BlockFile, for secrets: [SlotKey], chunkByteCount: Int = Envelope.defaultImageChunkByteCount,
        journalByteCount: UInt64 = defaultJournalByteCount, creationTime: UInt64, random: RandomSource = .system
    ) throws(DiskError) -> SealedImage {
        guard Envelope.imageChunkByteCounts.contains(chunkByteCount), chunkByteCount.nonzeroBitCount == 1,
            ImageLayout.isJournal(journalByteCount, chunkByteCount: chunkByteCount)
        else {
            throw DiskError(
                .refused, path: file.path,
                "chunks of \(chunkByteCount) bytes with a journal of \(journalByteCount) cannot be",
                hint:
                    "chunks have 4096 to 65536 bytes, a power of two; the journal 256 KiB to 1 GiB and 8 chunks or more"
            )
        }
        guard (1...Envelope.slotLimit).contains(secrets.count) else {
            throw DiskError(.refused, path: file.path, "\(secrets.count) secrets are given, a container has 1 to 32")
        }
        let (envelope, keys): (Envelope, ContainerKeys)
        do throws(CipherError) {
            (envelope, keys) = try Envelope.create(
                .image, chunkByteCount: chunkByteCount, for: secrets, creationTime: creationTime, random: random)
        } catch { throw EnvelopeFailure.key(error, path: file.path) }
        let layout = ImageLayout(chunkByteCount: chunkByteCount, journalByteCount: journalByteCount)
        do throws(IOError) {
            guard try file.byteCount() == 0 else { throw IOError("create", path: file.path, .errno(EEXIST)) }
            try write(envelope, keys, layout, to: file)
        } catch { throw DiskError(error, doing: "making the sealed image") }
        return try SealedImage(file, envelope, keys, isWritable: true, anchor: nil, random: random)
    }

    public static var defaultJournalByteCount: UInt64 { ImageLayout.defaultJournalByteCount }

    private static func write(
        _ envelope: Envelope, _ keys: ContainerKeys, _ layout: ImageLayout, to file: any BlockFile
    ) throws(IOError) {
        try file.resize(to: layout.dataOffset)
        var root = RootBlock()
        (root.head.journalByteCount, root.head.fileByteCount) = (layout.journalByteCount, layout.dataOffset)
        for offset in ImageLayout.rootOffsets {
            root.head.sequence += 1
            try file.write(root.bytes(keys), at: offset)
        }
        try file.sync()
        for offset in ImageLayout.envelopeOffsets { try file.write(envelope.bytes(keys), at: offset) }
        try file.sync()
    }

    /// Opens an image for reading. What was committed and is still in the journal is recovered in memory; the file is not
    /// touched.
    /// - Parameter anchor: refuses a file that is older, or has other contents.
    /// - Throws: `.key` where no secret opens it, or what is checked on opening is not what was committed; `.format` SEAL001 to
    ///   SEAL006, SEAL009 and SEAL011; `.io`. Whatever is not read yet is checked when it is read.
    public convenience init(
        reading file: any BlockFile, secrets: [SlotKey], anchor: Anchor? = nil
    ) throws(DiskError) {
        let opened = try ImageEnvelopes(file, secrets)
        try self.init(file, opened.envelope, opened.keys, isWritable: false, anchor: anchor, random: .system)
    }

    /// Opens an image for reading and writing; the file has the writer's lock. It is not touched before the first change is
    /// written.
    /// - Throws: as for reading.
    public convenience init(
        writing file: any BlockFile, secrets: [SlotKey], anchor: Anchor? = nil, random: RandomSource = .system
    ) throws(DiskError) {
        let opened = try ImageEnvelopes(file, secrets)
        try self.init(file, opened.envelope, opened.keys, isWritable: true, anchor: anchor, random: random)
    }

    private convenience init(
        _ file: any BlockFile, _ envelope: Envelope, _ keys: ContainerKeys, isWritable: Bool, anchor: Anchor?,
        random: RandomSource
    ) throws(DiskError) {
        let recovered = try ImageRecovery(file, envelope, keys, anchor: anchor)
        self.init(file, recovered.layout, envelope, keys, recovered.state, isWritable: isWritable, random: random)
    }
}
