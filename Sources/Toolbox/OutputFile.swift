public import BlockIO
public import DiskModel
import SealedFile

/// An output in the making, sealed where that is wanted: whole or absent. Nothing of it is ever on the disk unsealed.
///
/// Order: create, write, `commit`, which is: what is sealed is brought to its end and flushed; then `PendingFile.commit`.
public final class OutputFile {
    private let pending: PendingFile
    private let sealed: SealedImage?

    /// - Parameters:
    ///   - replaces: whether an existing file at `path` may be replaced.
    ///   - seal: seals a new, empty file; nil for an output that is to be read by all.
    /// - Throws: as `PendingFile.init`; what sealing throws.
    init(
        _ path: String, replaces: Bool, _ seal: ((PosixFile) throws(DiskError) -> SealedImage?)?
    ) throws {
        try KeysInUse.refuseReplacing(path)
        pending = try PendingFile(path, replaces: replaces)
        sealed = try seal?(pending.file)
    }

    /// Where its contents go.
    public var file: any BlockFile { sealed ?? pending.file }
    /// What is on the disk.
    public var host: PosixFile { pending.file }
    public var opened: OpenedFile { OpenedFile(host, holding: file) }
    public var isSealed: Bool { sealed != nil }

    /// Makes the output durable under its name.
    public func commit() throws {
        try KeysInUse.refuseReplacing(pending.finalPath)
        try sealed?.close()
        try pending.commit()
    }
}
