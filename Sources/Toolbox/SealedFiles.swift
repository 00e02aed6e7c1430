import BlockIO
import Cipher
import DiskModel
import SealedFile
import Synchronization

/// What is sealed in the files of a run, opened with the keys that its options give. A key is read once, and a passphrase
/// asked for once; it is tried on every file before another one is asked for.
///
/// One file is opened once: who reads an image that the same run writes sees what the writer sees.
final class SealedFiles: Sendable {
    private struct Live {
        weak var contents: (any BlockFile)?
        let isWritable: Bool
    }
    private struct Container {
        /// With what it opened.
        var secret: SlotKey
        var opened: SlotKey
    }
    private struct State {
        /// Nil until they are read.
        var given: [SlotKey]?
        /// Passphrases that a person gave.
        var asked: [SlotKey] = []
        var containers: [[UInt8]: Container] = [:]
        var live: [PosixFile.Identity: Live] = [:]
        /// Open for writing.
        var written: [SealedImage] = []
    }
    private let keys: KeyOptions
    private let state = Mutex(State())

    init(_ keys: KeyOptions) { self.keys = keys }

    /// The run's own; a process is one run.
    private static let ofRun = Mutex<SealedFiles?>(nil)
    static func ofRun(_ keys: KeyOptions) -> SealedFiles {
        ofRun.withLock { files in
            let result = files ?? SealedFiles(keys)
            files = result
            return result
        }
    }
    /// Of a run that opened no file with keys: nil.
    static var current: SealedFiles? { ofRun.withLock { $0 } }

    var opener: FileOpener {
        FileOpener { (host, asksForKeys) throws(DiskError) in
            try self.contents(host, asksForKeys)
        } letWritersIn: {
            self.letWritersIn($0)
        }
    }

    /// Reading a sealed image keeps writers away from it; the run's own writer is to come in.
    private func letWritersIn(_ path: String) {
        guard let identity = try? PosixFile(path).identity else { return }
        let live = state.withLock { $0.live[identity] }
        guard let live, !live.isWritable else { return }
        live.contents?.storage?.letWritersIn()
    }

    // MARK: Opening

    private func contents(_ host: PosixFile, _ asksForKeys: Bool) throws(DiskError) -> any BlockFile {
        guard try isSealed(host) else { return host }
        return try state.withLock { (state) throws(DiskError) in
            let isWritable = host.access != .read
            if let live = state.live[host.identity], live.isWritable || !isWritable, let contents = live.contents {
                return contents
            }
            let contents = try opened(host, try key(of: host, asksForKeys, &state))
            state.live[host.identity] = Live(contents: contents, isWritable: isWritable)
            if isWritable, let image = contents as? SealedImage { state.written.append(image) }
            return contents
        }
    }

    /// Also by the second copy of an image's envelope: where the first is damaged, it must not pass for a raw disk.
    private func isSealed(_ host: PosixFile) throws(DiskError) -> Bool {
        do throws(IOError) {
            guard try !Envelope.isSigned(host) else { return true }
        } catch { throw DiskError(error) }
        if Envelope.hasCopy(host) { return true }
        var isDamaged = false
        do throws(IOError) { isDamaged = try Envelope.hasTraces(host) } catch { throw DiskError(error) }
        guard isDamaged else { return false }
        throw DiskError(
            .refused, path: host.path, "is a sealed file whose start is damaged: nothing opens it",
            hint: "bring it back from a copy")
    }

    private func opened(_ host: PosixFile, _ key: SlotKey) throws(DiskError) -> any BlockFile {
        let isStream = try Envelope.unverified(in: host).kind == .stream
        if host.access != .read {
            guard !isStream else {
                throw DiskError(
                    .refused, path: host.path, "is a sealed stream, which cannot be changed",
                    hint: "make an image of it: unseal, then seal --image")
            }
            let image = try SealedImage(writing: host, secrets: [key])
            try Self.refuseSealedTwice(image)
            return image
        }
        do throws(IOError) { try host.keepWritersAway() } catch { throw DiskError(error) }
        let contents: any BlockFile =
            try isStream ? SealedStreamFile(reading: host, secrets: [key]) : SealedImage(reading: host, secrets: [key])
        try Self.refuseSealedTwice(contents)
        return contents
    }

    /// What opens a container; a person may be asked for a passphrase.
    func key(of host: PosixFile) throws(DiskError) -> SlotKey {
        try state.withLock { (state) throws(DiskError) in try key(of: host, true, &state) }
    }

    /// What is sealed twice is no image and no log, and must not pass for a raw disk.
    private static func refuseSealedTwice(_ contents: any BlockFile) throws(DiskError) {
        do throws(IOError) {
            guard try Envelope.isSigned(contents) else { return }
        } catch { throw DiskError(error) }
        throw DiskError(
            .refused, path: contents.path, "holds another sealed file", hint: "unseal it once, and name what comes out")
    }

    private func key(of host: PosixFile, _ asksForKeys: Bool, _ state: inout State) throws(DiskError) -> SlotKey {
        let envelope = try Envelope.unverified(in: host)
        if let known = state.containers[envelope.containerID] { return known.opened }
        let given = try given(&state)
        if let found = try Envelope.opening(host, with: given + state.asked) {
            return remember(found, envelope, &state)
        }
        guard asksForKeys, given.isEmpty else { throw EnvelopeFailure.notOpened(path: host.path) }
        let passphrase = try keys.passphraseOptions.asked(for: envelope, path: host.path)
        guard let found = try Envelope.opening(host, with: [passphrase]) else {
            throw EnvelopeFailure.notOpened(path: host.path)
        }
        state.asked.append(passphrase)
        return remember(found, envelope, &state)
    }

    private func remember(
        _ found: (secret: SlotKey, opened: SlotKey), _ envelope: Envelope, _ state: inout State
    ) -> SlotKey {
        state.containers[envelope.containerID] = Container(secret: found.secret, opened: found.opened)
        return found.opened
    }

    // MARK: Making

    /// Seals a new, empty file as another one is sealed, for the key that opened that one: what is made of sealed contents
    /// beside them must not be there for all to read.
    /// - Returns: the new file itself where the other one is not sealed.
    func contents(ofNew host: PosixFile, like other: OpenedFile) throws(DiskError) -> any BlockFile {
        guard other.isSealed else { return host }
        let secret = try secret(of: other)
        let image = try create(on: host, for: [secret], journalByteCount: SealedImage.smallJournalByteCount)
        state.withLock { $0.written.append(image) }
        return image
    }

    /// The secret that opened a sealed file.
    func secret(of file: OpenedFile) throws(DiskError) -> SlotKey {
        let envelope = try Envelope.unverified(in: file.host)
        guard let secret = state.withLock({ $0.containers[envelope.containerID]?.secret }) else {
            throw EnvelopeFailure.notOpened(path: file.path)
        }
        return secret
    }

    /// Makes a sealed image in a new, empty file. Whoever makes it closes it.
    func create(
        on host: PosixFile, for secrets: [SlotKey], journalByteCount: UInt64
    ) throws(DiskError) -> SealedImage {
        let image = try SealedImage.create(
            on: host, for: secrets, journalByteCount: journalByteCount, creationTime: ToolRun.creationTime)
        state.withLock { $0.live[host.identity] = Live(contents: image, isWritable: true) }
        return image
    }

    /// The keys that the options give, read once.
    func given() throws(DiskError) -> [SlotKey] {
        try state.withLock { (state) throws(DiskError) in try given(&state) }
    }

    private func given(_ state: inout State) throws(DiskError) -> [SlotKey] {
        if let given = state.given { return given }
        let given = try keys.given()
        state.given = given
        return given
    }

    /// Brings to its end what was written.
    /// - Throws: the first failure; the others are closed nonetheless.
    func close() throws(DiskError) {
        let written = state.withLock { state in
            defer { state.written = [] }
            return state.written
        }
        var failure: DiskError?
        for image in written {
            do throws(DiskError) { try image.close() } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }
}
