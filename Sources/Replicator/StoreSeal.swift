import BlockIO
import ByteCodec
import Cipher
import DiskModel
import SealedFile
import Synchronization

/// What seals the files of a replica's store and opens them again; without recipients nothing is sealed.
///
/// Whom to seal for is the source's word, never the store's: whoever can write to the target could say there that nothing is
/// to be sealed. For the same reason a file that is not sealed is refused where all are.
///
/// Every file is a sealed image, logs too: a log may have holes of GiB, which an image keeps and a stream would not, and it
/// is read from its end.
///
/// Who can write to the target can also seal to a public recipient. So the source's record knows each disk by a commitment to
/// its keys, and nothing is read from or written to another container in its place.
///
/// What this process sealed it also opens, so that a first copy is read back without anybody's identity.
final class StoreSeal: Sendable {
    let recipients: [Recipient]
    private let openingKey: @Sendable (PosixFile) throws(DiskError) -> SlotKey
    /// Keys of containers made here, by container id.
    private let made = Mutex<[[UInt8]: SlotKey]>([:])

    /// What the keys of files are known to be, by path.
    private let commitments = Mutex<[String: String]>([:])

    /// - Parameter openingKey: finds what opens a container that was made elsewhere.
    init(_ recipients: [Recipient], openingKey: @escaping @Sendable (PosixFile) throws(DiskError) -> SlotKey) {
        (self.recipients, self.openingKey) = (recipients, openingKey)
    }

    var isSealing: Bool { !recipients.isEmpty }

    /// Opens files of the store for reading.
    var files: FileOpener {
        guard isSealing else { return .plain }
        return FileOpener { (host, _) throws(DiskError) in
            let key = try self.key(of: host)
            do throws(IOError) { try host.keepWritersAway() } catch { throw DiskError(error) }
            return try SealedImage(reading: host, secrets: [key])
        }
    }

    /// Where the contents of a new, empty file go.
    /// - Parameters:
    ///   - file: what is on the disk.
    ///   - staysSmall: whether the file is not written often.
    ///   - expecting: a path; from now on nothing else is taken there.
    func create(
        on file: any BlockFile, staysSmall: Bool, expecting path: String? = nil, at seconds: Int64
    ) throws(DiskError) -> any BlockFile {
        guard isSealing else { return file }
        let image = try SealedImage.create(
            on: file, for: recipients.map { .recipient($0) },
            journalByteCount: staysSmall ? SealedImage.smallJournalByteCount : SealedImage.defaultJournalByteCount,
            creationTime: UInt64(max(0, seconds)))
        made.withLock { $0[image.envelope.containerID] = image.key }
        if let path { expect(image.key.commitment, at: path) }
        return image
    }

    /// Opens a file of the store for writing.
    /// - Parameter seam: stands between the host's file and what is sealed in it.
    func writing(
        _ path: String, doing: String, _ seam: (any BlockFile) -> any BlockFile
    ) throws(DiskError) -> any BlockFile {
        let host: PosixFile
        do throws(IOError) { host = try PosixFile(path, .write) } catch { throw DiskError(error, doing: doing) }
        guard Folders.isItself(path, host) else { throw ReplicaStore.link(at: path) }
        guard isSealing else { return seam(host) }
        return try SealedImage(writing: seam(host), secrets: [try key(of: host)])
    }

    /// Brings to rest what is sealed: what was written before is durable, and the next opening has nothing to recover.
    func close(_ file: any BlockFile) throws(DiskError) { try (file as? SealedImage)?.close() }

    /// Looks whether a file can be opened; only its envelope is read.
    /// - Throws: `.key` when it cannot. Whatever else is wrong with it, another file in its place too, is found and recorded
    ///   when it is used.
    func checkKey(of path: String) throws(DiskError) {
        guard isSealing, let host = try? PosixFile(path), (try? isSealed(host)) == true else { return }
        do throws(DiskError) { _ = try openingKey(of: host) } catch {
            guard error.kind == .key else { return }
            throw error
        }
    }

    private func isSealed(_ host: PosixFile) throws(DiskError) -> Bool {
        do throws(IOError) { return try Envelope.isSigned(host) || Envelope.hasCopy(host) } catch {
            throw DiskError(error)
        }
    }

    private func openingKey(of host: PosixFile) throws(DiskError) -> SlotKey {
        let envelope = try Envelope.unverified(in: host)
        if let mine = made.withLock({ $0[envelope.containerID] }) { return mine }
        return try openingKey(host)
    }

    private func key(of host: PosixFile) throws(DiskError) -> SlotKey {
        guard try isSealed(host) else {
            throw DiskError(
                .key, path: host.path, "is not sealed, as all files of this replica are",
                hint:
                    "somebody put it there: put the replica's own file back, or unprotect, and protect again to another folder"
            )
        }
        let key = try openingKey(of: host)
        if let known = commitment(at: host.path), known != key.commitment {
            throw DiskError(
                .key, path: host.path, "is another sealed file than the one that was made here",
                hint:
                    "somebody put it there: put the replica's own file back, or unprotect, and protect again to another folder"
            )
        }
        return key
    }

    /// Takes only the container with these keys at a path; nil: any.
    func expect(_ commitment: String?, at path: String) { commitments.withLock { $0[path] = commitment } }

    /// What is expected at a path.
    func commitment(at path: String) -> String? { commitments.withLock { $0[path] } }
}
