public import BlockIO
import ByteCodec
import Cipher
public import DiskModel

/// Where the whole frames of a sealed stream in a file end, and what stands behind them, before more is added
/// (docs/formats/sealed.md, Sealed stream). All of the stream is read, and nothing is written.
public struct StreamTail {
    public let envelope: Envelope
    /// Behind the last whole frame.
    let mark: StreamFrameReader.Mark
    /// Whether the stream has its end.
    public let isComplete: Bool
    private let path: String
    /// Bytes of the file that are no whole frame, and would be taken away; an end frame does not count.
    public let discardedByteCount: UInt64
    /// Bytes of text that are authentic though their frame is not whole: what a reader still gives of it.
    public let unfinishedTextByteCount: UInt64

    /// - Throws: as `SealedStreamReader`, also where bytes that a later frame follows are not authentic: no loss of power
    ///   leaves that.
    public init(of file: any BlockFile, secrets: [SlotKey]) throws(DiskError) {
        let reader = try SealedStreamReader(secrets: secrets, from: file)
        var readByteCount: UInt64 = 0
        do throws(DiskError) { try reader.forEachPiece { readByteCount += UInt64($0.byteCount) } } catch {
            guard try Self.isUnfinished(error, file, reader.verified) else { throw error }
        }
        (path, envelope, mark, isComplete) = (file.path, reader.envelope, reader.verified, reader.isComplete)
        unfinishedTextByteCount = readByteCount - mark.textByteCount
        do throws(IOError) { discardedByteCount = isComplete ? 0 : try file.byteCount() - mark.offset } catch {
            throw DiskError(error, doing: "looking for the last whole frame")
        }
    }

    /// For those who take away what is no whole frame, and are to lose nothing that can still be read.
    /// - Throws: `.refused` where text would be lost.
    public func requireNoText() throws(DiskError) {
        guard unfinishedTextByteCount > 0 else { return }
        throw DiskError(
            .refused, path: path,
            "its last frame was not finished, and nothing can be added to the \(unfinishedTextByteCount) bytes of text in it",
            hint: "save them: unseal to standard output gives them; then take them away with -f")
    }

    /// Whether what follows the last whole frame may be a frame that was not finished.
    private static func isUnfinished(
        _ error: DiskError, _ file: any BlockFile, _ mark: StreamFrameReader.Mark
    ) throws(DiskError) -> Bool {
        guard error.kind == .key || error.formatError?.code == .sealedFrame else { return false }
        do throws(IOError) {
            return try !hasLaterFrame(file, from: mark.offset, index: mark.chain.frameIndex)
        } catch { throw DiskError(error, doing: "looking for further frames") }
    }

    /// Whether the head of a frame behind the one of this index stands anywhere from an offset on.
    private static func hasLaterFrame(
        _ file: any BlockFile, from start: UInt64, index: UInt64
    ) throws(IOError) -> Bool {
        let (end, look) = (try file.byteCount(), UInt64(FrameHeader.knownByteCount))
        let buffer = IOBuffer(byteCount: 1 << 20)
        var offset = start
        while end - offset >= look {
            let count = Int(min(UInt64(buffer.byteCount), end - offset))
            try buffer.fill(count, from: file, at: offset)
            let bytes = buffer.bytes(0..<count)
            let places = count - FrameHeader.knownByteCount + 1
            for place in 0..<places {
                if let found = FrameHeader.index(lookingAt: bytes, place), found > index, found - index <= 1 << 32 {
                    return true
                }
            }
            offset += UInt64(places)
        }
        return false
    }
}
