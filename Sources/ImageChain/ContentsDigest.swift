import BlockIO
import ByteCodec
import Digest
public import DiskModel

/// One SHA-256 for all bytes of a disk, however it is stored, that costs nothing for zeros: of every 64 KiB unit that holds
/// anything else, its number (8 bytes, little-endian) and its bytes. For comparing; it is not the sum that `sha256sum` gives.
public final class ContentsDigest {
    private static let unitByteCount = 64 << 10
    private let digest = Digest(.sha256)
    private let unit = IOBuffer(byteCount: ContentsDigest.unitByteCount)
    private var index: UInt64 = 0
    /// Whether anything was put into the unit since it was cleared.
    private var isTouched = false

    public init() {}

    /// Continues with bytes of the disk; offsets ascend, and what is left out is zeros.
    public func update(_ offset: UInt64, _ bytes: RawSpan) {
        let unit = self.unit
        let size = UInt64(Self.unitByteCount)
        var done = 0
        while done < bytes.byteCount {
            let position = offset + UInt64(done)
            if position / size != index { endUnit(next: position / size) }
            let inside = Int(position % size)
            let count = min(bytes.byteCount - done, Self.unitByteCount - inside)
            unit.withMutableBytes(inside..<inside + count) { $0.copy(bytes.extracting(done..<done + count), at: 0) }
            isTouched = true
            done += count
        }
    }

    private func endUnit(next: UInt64) {
        let unit = self.unit
        if isTouched, !isZero(unit.bytes(0..<Self.unitByteCount)) {
            var number = [UInt8].zeros(8)
            var raw = number.mutableRawBytes
            raw.store(index, at: 0, .little)
            digest.update(number.rawBytes)
            digest.update(unit.bytes(0..<Self.unitByteCount))
            unit.withMutableBytes(0..<Self.unitByteCount) { $0.zero(0..<$0.byteCount) }
        }
        (index, isTouched) = (next, false)
    }

    public func finish() -> [UInt8] {
        endUnit(next: 0)
        return digest.finish()
    }

    /// Of a whole disk.
    public static func of(_ disk: any VirtualDisk, progress: (UInt64) -> Void = { _ in }) throws -> [UInt8] {
        let digest = ContentsDigest()
        try DiskStream(disk).run(disk.wholeRange) { offset, bytes in
            digest.update(offset, bytes)
            progress(offset)
        } zeros: { _, _ in
        }
        return digest.finish()
    }
}
