public import BlockIO
import ByteCodec
public import Cipher
public import DiskModel

extension Envelope {
    /// What is overwritten: both copies of an image's envelope, and of a stream the envelope with its first frame's start.
    private static let erasedAreas = ImageLayout.envelopeOffsets.reversed().map {
        $0..<$0 + ImageLayout.envelopeAreaByteCount
    }

    /// Destroys all ways to a container's key, and with them its contents. Needs no key. What copies of the file, snapshots, the
    /// journal of a file system or the spare blocks of a medium still have of the envelope stays.
    ///
    /// What stands there afterwards is the head of an envelope without slots (SEAL011), and random bytes: a file system or a
    /// medium that does not store zeros would keep the old bytes in place of zeros.
    ///
    /// Order of writes:
    /// 1. The area of the second copy, as far as the file goes; flush. A loss leaves an image that opens by its first copy;
    ///    of a stream, one that is not authentic behind its envelope.
    /// 2. The area of the first; flush. A loss leaves it old, erased or torn; whatever is left, the same call again does all
    ///    of it again.
    /// - Parameter file: open for writing.
    /// - Throws: `.format` SEAL001 to SEAL003 for what is no container; then nothing was written. `.io`.
    public static func erase(_ file: any BlockFile, random: RandomSource = .system) throws(DiskError) {
        let head = try erasedHead(of: file)
        do throws(IOError) {
            let end = try file.byteCount()
            for area in erasedAreas where area.lowerBound < end {
                let count = Int(min(area.upperBound, end) - area.lowerBound)
                let bytes = head + random.bytes(Int(ImageLayout.envelopeAreaByteCount) - head.count)
                try file.write(bytes.rawBytes.extracting(0..<count), at: area.lowerBound)
                try file.sync()
            }
        } catch { throw DiskError(error, doing: "erasing the envelope") }
    }

    /// Looks whether a file is a sealed container, with keys or erased, and writes nothing.
    /// - Throws: as `erase`.
    public static func requireContainer(_ file: any BlockFile) throws(DiskError) { _ = try erasedHead(of: file) }

    /// Of an envelope without slots, which says of the container what one of the copies said.
    private static func erasedHead(of file: any BlockFile) throws(DiskError) -> [UInt8] {
        var firstError: FormatError?
        for offset in ImageLayout.envelopeOffsets {
            let bytes = try head(of: file, at: offset)
            do throws(FormatError) {
                var header = try header(bytes.rawBytes, offset)
                guard offset == 0 || header.kind == SealedKind.image.rawValue else { continue }
                header.slotCount = 0
                header.envelopeLength = UInt32(EnvelopeHeader.byteCount + codeByteCount)
                return header.serialized()
            } catch { firstError = firstError ?? error }
        }
        throw DiskError(firstError ?? notSealed(0), path: file.path, doing: "reading the envelope")
    }

    /// Empty where the file ends before.
    private static func head(of file: any BlockFile, at offset: UInt64) throws(DiskError) -> [UInt8] {
        do throws(IOError) { return try file.bytes(at: offset, count: EnvelopeHeader.byteCount) } catch {
            guard case .endOfFile = error.reason else { throw DiskError(error, doing: "reading the envelope") }
            return []
        }
    }
}
