public import BlockIO
import ByteCodec

/// A VHD from the structures in an input. Flags: 1 corrects the footers' checksums, 2 the header's, 4 lets the footer at the
/// end be the copy at 0.
public func vhdImage(_ input: SparseInput) -> MemoryFile.Contents {
    let byteCount = 4096 + input.lengthStep * 512
    let end = byteCount - 512
    var contents = input.contents(
        [.init(0, 512), .init(512, 1024), .init(1536, 2048), .init(end, 512)], tail: 3584, byteCount: byteCount)
    func correct(_ offset: UInt64, _ count: Int, _ field: Int) {
        var bytes = contents.bytes(offset..<offset + UInt64(count))
        let sum = complementedByteSum(bytes.rawBytes, skippingField: field)
        bytes.replaceSubrange(field..<field + 4, with: (0..<4).map { UInt8(truncatingIfNeeded: sum >> (24 - 8 * $0)) })
        contents.write(bytes.rawBytes, at: offset)
    }
    if input.flags & 1 != 0 { correct(0, 512, 64) }
    if input.flags & 2 != 0 { correct(512, 1024, 36) }
    if input.flags & 4 != 0 {
        contents.write(contents.bytes(0..<512).rawBytes, at: end)
    } else if input.flags & 1 != 0 {
        correct(end, 512, 64)
    }
    return contents
}
