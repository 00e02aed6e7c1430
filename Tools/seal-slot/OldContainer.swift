import BlockIO
import DiskModel
import Glibc
import ImageChain
import SealedFile
import Toolbox

/// A sealed file whose contents are to go into a new container.
struct OldContainer {
    let file: PosixFile
    var envelope: Envelope { contents.envelope }
    private let contents: SealedContents
    var kind: String { envelope.kind == .stream ? "stream" : "image" }

    /// - Parameter keepsWritersAway: nobody else does.
    init(
        _ path: String, _ keys: KeyOptions, anchor: Anchor?, keepsWritersAway: Bool
    ) throws {
        file = try PosixFile(path)
        if keepsWritersAway { try file.keepWritersAway() }
        let unverified = try Envelope.unverified(in: file)
        try unverified.refuse(anchor, by: "--anchor", path: path)
        let secrets = try keys.secrets(for: unverified, path: path)
        contents =
            switch unverified.kind {
            case .stream: .stream(try SealedStreamReader(secrets: secrets, from: file))
            case .image: .image(try SealedImage(reading: file, secrets: secrets, anchor: anchor))
            }
    }

    /// What `copy` goes through.
    var workByteCount: UInt64 { get throws { try contents.byteCount ?? file.byteCount() } }

    /// Of the same kind; an image with chunks and a journal as they are.
    func makeOutput(_ pending: PendingFile, for secrets: [SlotKey]) throws -> any SealedOutput {
        switch contents {
        case .stream: try SealedStreamOutput(to: pending, for: secrets)
        case .image(let image):
            try SealedImageOutput(
                to: pending, for: secrets, chunkByteCount: image.chunkByteCount,
                journalByteCount: image.journalByteCount)
        }
    }

    /// Everything, authentic and to its end.
    /// - Parameter sink: nil where it is only read.
    /// - Returns: bytes of the contents.
    func copy(to sink: (any SealedOutput)?, progress: (UInt64) -> Void) throws -> UInt64 {
        let byteCount = try contents.copy(to: sink, progress: progress)
        try contents.requireEnd()
        try ReadWitness.check(file)
        return byteCount
    }

    /// Hard links to the file beside the name it is replaced at.
    var otherNameCount: Int {
        get throws {
            var status = stat()
            let result = file.withDescriptor { unsafe fstat($0, &status) }
            guard result == 0 else { throw IOError("fstat", path: file.path, .errno(errno)) }
            return max(0, Int(status.st_nlink) - 1)
        }
    }
}

/// Where a name leads, links followed.
func realPath(_ path: String) throws -> String {
    guard let found = unsafe realpath(path, nil) else { throw IOError("open", path: path, .errno(errno)) }
    defer { unsafe free(found) }
    return unsafe String(cString: found)
}
