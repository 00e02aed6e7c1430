public import BlockIO
import ByteCodec
import Cipher

extension Envelope {
    /// Whether a file has the marks of a sealed one behind its start: a root block of an image, or the end frame of a whole
    /// stream. Where it does not begin as one its start was damaged, and it must not pass for a raw disk. Other files have such
    /// marks once in 2^64.
    public static func hasTraces(_ file: any BlockFile) throws(IOError) -> Bool {
        let byteCount = try file.byteCount()
        let signature = RootHead.knownSignature
        for offset in ImageLayout.rootOffsets.map({ $0 + RootHead.signatureOffset }) {
            guard byteCount >= offset + UInt64(signature.count) else { break }
            if try file.bytes(at: offset, count: signature.count) == signature { return true }
        }
        let end = UInt64(EndRecord.frameByteCount)
        guard byteCount > end else { return false }
        let head = try file.bytes(at: byteCount - end, count: FrameHeader.knownByteCount)
        return FrameHeader.index(lookingAt: head.rawBytes, 0) != nil
    }
}
