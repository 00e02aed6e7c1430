public import BlockIO
import ByteCodec
public import DiskModel
public import SealedFile

/// A sealed file, or a sealed stream on standard input. Its envelope is read before any key: nobody is asked for one that
/// opens nothing.
public struct SealedInput {
    /// For messages.
    public let path: String
    /// Not authentic: what the file says about itself.
    public let envelope: Envelope
    /// Nil for standard input.
    public let file: PosixFile?
    /// What was taken from standard input.
    private let head: [UInt8]

    /// - Parameter path: nil or `-` for standard input.
    /// - Throws: `.format` SEAL001 to SEAL006 and SEAL011 for what is not sealed; `.io`.
    public init(_ path: String?) throws(DiskError) {
        guard let path, path != "-" else {
            self.path = StandardInput.name
            file = nil
            (envelope, head) = try Envelope.unverified(path: StandardInput.name) { (bytes) throws(IOError) in
                try StandardInput.read(into: &bytes)
            }
            return
        }
        let opened: PosixFile
        do throws(IOError) { opened = try PosixFile(path) } catch { throw DiskError(error) }
        (self.path, file, head) = (path, opened, [])
        envelope = try Envelope.unverified(in: opened)
    }

    public var byteCount: UInt64? { try? file?.byteCount() }

    /// - Throws: `.format`, `.key`; `.io`.
    public func stream(_ keys: KeyOptions) throws(DiskError) -> SealedStreamReader {
        let secrets = try keys.secrets(for: envelope, path: path)
        if let file { return try SealedStreamReader(secrets: secrets, from: file) }
        var given = 0
        let head = head
        return try SealedStreamReader(secrets: secrets, path: path) { (bytes) throws(IOError) in
            guard given < head.count else { return try StandardInput.read(into: &bytes) }
            let count = min(bytes.byteCount, head.count - given)
            bytes.copy(head.rawBytes.extracting(given..<given + count), at: 0)
            given += count
            return count
        }
    }

    /// Opened for reading; writers are kept away meanwhile.
    /// - Throws: `.refused` on standard input; `.busy`; `.format`, `.key`; `.io`.
    public func image(_ keys: KeyOptions, anchor: Anchor? = nil) throws(DiskError) -> SealedImage {
        guard let file else {
            throw DiskError(.refused, path: path, "a sealed image is read from a file, not from a pipe")
        }
        do throws(IOError) { try file.keepWritersAway() } catch { throw DiskError(error) }
        return try SealedImage(reading: file, secrets: try keys.secrets(for: envelope, path: path), anchor: anchor)
    }
}

extension ToolRun {
    /// Says that a stream has no end, where what there is of it will do.
    /// - Parameter error: of `requireEnd`.
    public func noteOpenStream(_ error: DiskError) {
        let finding = error.formatError
        warn(
            error.path, finding?.description ?? error.explanation, code: finding?.code.rawValue,
            offset: finding?.offset)
        raise(.partial)
    }
}
