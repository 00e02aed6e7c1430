public import BlockIO
import ByteCodec
import Cipher
public import DiskModel
import Synchronization

/// A disk inside of a sealed container, read and written anywhere (docs/formats/sealed-image.md).
///
/// Everything that is read is checked against the root block first: its bytes are those of the last commit, or there is an
/// error with `.notAuthentic`. Rollback of the whole file can only be told with an `Anchor`.
///
/// Memory is bounded: 8 MiB of plaintext, 16 MiB of pages, some buffers. Reads run at once on several threads, and a long one on
/// two of its own; writers take turns, and share their work with a second thread.
///
/// Order of writes, of a commit (`sync`, or when what is waiting gets too much):
/// 1. Chunks that the last commit has as absent or zero are enciphered into their places, sometimes long before the commit;
///    all others behind the journal's head, with room before them for the record. A loss up to here leaves the last commit:
///    nothing it leads to was overwritten.
/// 2. Flush. A loss leaves the last commit. Pages are brought up to date in memory meanwhile.
/// 3. The record goes to the journal's head; flush. A loss of it leaves the last commit, else this one, whose bytes are all
///    there. Now it is acknowledged.
/// 4. Holes are punched where chunks became zeros. A loss costs space only.
///
/// Of a checkpoint, which comes after a commit when the journal has no more room, and in `close`:
/// 5. A record with images of all pages that are about to be overwritten goes to the journal; flush. A loss leaves the commit.
/// 6. Chunks are copied from the journal into their places, and pages written into theirs; flush. A loss leaves a mixture, in
///    which the commits of the journal have the newest version of each chunk, and a page that is not the one its digest names
///    is found among the images. Opening reads the commits again, and the next checkpoint does all this again.
/// 7. The older root block is overwritten; flush. A loss leaves the other, from which the journal leads to the same state.
/// 8. The other root block is overwritten with the same; flush. A loss leaves the first. From here on neither needs the
///    journal, and damage to one of them takes nothing back.
/// 9. The journal's room is free again.
/// A checkpoint that a loss cut off behind step 5 is done from its beginning before the next commit, with the same record in the
/// same place: so it needs no more room, and a loss in the middle of that changes nothing.
///
/// After a failed step every further change is refused; what was committed is found by opening again.
public final class SealedImage: BlockFile {
    let file: any BlockFile
    let layout: ImageLayout
    /// Bytes of the journal.
    public var journalByteCount: UInt64 { layout.journalByteCount }
    public let envelope: Envelope
    let keys: ContainerKeys
    let ciphers: ChunkCiphers
    let random: RandomSource
    let ring: JournalRing

    enum Access: Sendable {
        case reading, writing, closed
        /// A step failed: what the file holds is not known any more.
        case failed
    }

    /// Whose turn it is to write, and whether anybody may.
    struct Writing: Sendable {
        var access: Access
        /// Used by whoever has the turn.
        var batch: ChunkBatch?
    }
    let writing: Mutex<Writing>
    let state: Mutex<ImageState>
    /// Calls of `read` under way.
    let readerCount = Atomic(0)

    public var path: String { file.path }
    public var storage: PosixFile? { file.storage }

    init(
        _ file: any BlockFile, _ layout: ImageLayout, _ envelope: Envelope, _ keys: ContainerKeys,
        _ state: sending ImageState, isWritable: Bool, random: RandomSource
    ) {
        (self.file, self.layout, self.envelope, self.keys, self.random) = (file, layout, envelope, keys, random)
        ciphers = ChunkCiphers(keys, containerID: envelope.containerID)
        ring = JournalRing(file: file, layout: layout)
        writing = Mutex(Writing(access: isWritable ? .writing : .reading))
        self.state = Mutex(state)
    }

    /// What commits to the last commit's contents.
    public var anchor: Anchor {
        state.withLock {
            Anchor(containerID: envelope.containerID, generation: $0.generation, rootDigest: $0.rootDigest)
        }
    }

    public var chunkByteCount: Int { layout.chunkByteCount }

    /// Of the disk inside.
    public func byteCount() -> UInt64 { state.withLock { $0.changes.byteCount } }

    /// Commits, and brings everything into its place, so that the next opening has nothing to recover. Refuses writes from
    /// then on.
    public func close() throws(DiskError) {
        do throws(IOError) {
            try writing.withLock { (writing) throws(IOError) in
                guard writing.access == .writing else {
                    if writing.access == .failed { throw refusal("close") }
                    return
                }
                try commit(&writing)
                try checkpoint(&writing)
                writing.access = .closed
            }
        } catch { throw DiskError(error, doing: "closing the sealed image") }
    }

    /// Commits: what was written before is durable when this returns.
    public func sync() throws(IOError) {
        try writing.withLock { (writing) throws(IOError) in
            switch writing.access {
            case .reading, .closed: return
            case .failed: throw refusal("sync")
            case .writing: try commit(&writing)
            }
        }
    }

    func refusal(_ call: String, _ offset: UInt64? = nil) -> IOError {
        IOError(call, path: path, .readOnly, offset: offset)
    }
}
