import BlockIO
import DiskModel
import Glibc
import ImageChain
import SealedFile
import Toolbox

/// A sealed file whose contents are to go into a new container.
struct OldContainer {
    private enum Contents {
        case stream(SealedStreamReader)
        case image(SealedImage)
    }

    let file: PosixFile
    let envelope: Envelope
    private let contents: Contents
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
        switch unverified.kind {
        case .stream:
            let reader = try SealedStreamReader(secrets: secrets, from: file)
            (contents, envelope) = (.stream(reader), reader.envelope)
        case .image:
            let image = try SealedImage(reading: file, secrets: secrets, anchor: anchor)
            (contents, envelope) = (.image(image), image.envelope)
        }
    }

    /// What `copy` goes through.
    var workByteCount: UInt64 {
        get throws {
            switch contents {
            case .stream: try file.byteCount()
            case .image(let image): image.byteCount()
            }
        }
    }

    func makeOutput(_ pending: PendingFile, for secrets: [SlotKey]) throws -> any SealedOutput {
        switch contents {
        case .stream: try SealedStreamOutput(to: pending, for: secrets)
        case .image: try SealedImageOutput(to: pending, for: secrets, chunkByteCount: envelope.chunkByteCount)
        }
    }

    /// Everything, authentic and to its end.
    /// - Parameter sink: nil where it is only read.
    /// - Returns: bytes of the contents.
    func copy(to sink: (any SealedOutput)?, progress: (UInt64) -> Void) throws -> UInt64 {
        let byteCount =
            switch contents {
            case .stream(let reader):
                try StreamContents(reader).run { offset, bytes in
                    try sink?.data(offset, bytes)
                    progress(offset + UInt64(bytes.byteCount))
                }
            case .image(let image):
                try FileContents(image).run { offset, bytes in
                    try sink?.data(offset, bytes)
                    progress(offset + UInt64(bytes.byteCount))
                } zeros: { offset, count in
                    try sink?.zeros(offset, count)
                    progress(offset + count)
                }
            }
        if case .stream(let reader) = contents { try reader.requireEnd() }
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
