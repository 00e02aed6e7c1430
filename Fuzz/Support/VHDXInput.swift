public import BlockIO
import ByteCodec

private let windows: [SparseInput.Window] = [
    .init(0, 64), .init(64 << 10, 96), .init(128 << 10, 96), .init(192 << 10, 144), .init(256 << 10, 144),
    .init(2 << 20, 512), .init((2 << 20) + (64 << 10), 512), .init(3 << 20, 512), .init((3 << 20) + (64 << 10), 512),
]

/// A VHDX from the structures in an input, with a log. Flags: 1 corrects the headers' checksums, 2 the region tables', 4 the
/// log entries'.
public func vhdxImage(_ input: SparseInput) -> MemoryFile.Contents {
    let log: UInt64 = 1 << 20
    var contents = input.contents(windows, tail: log, byteCount: (4 + input.lengthStep & 63) << 20)
    func correct(_ offset: UInt64, _ count: Int) {
        var bytes = contents.bytes(offset..<offset + UInt64(count))
        let crc = crc32c(bytes.rawBytes, skippingField: 4)
        bytes.replaceSubrange(4..<8, with: (0..<4).map { UInt8(truncatingIfNeeded: crc >> (8 * $0)) })
        contents.write(bytes.rawBytes, at: offset)
    }
    if input.flags & 1 != 0 { for offset: UInt64 in [64 << 10, 128 << 10] { correct(offset, 4096) } }
    if input.flags & 2 != 0 { for offset: UInt64 in [192 << 10, 256 << 10] { correct(offset, 65536) } }
    if input.flags & 4 != 0 {
        for page in 0..<UInt64(16) {
            let head = contents.bytes(log + page * 4096..<log + page * 4096 + 12)
            guard head[0..<4].elementsEqual("loge".utf8) else { continue }
            let length = Int(head.rawBytes.integer(at: 8, as: UInt32.self, .little))
            if length >= 4096, length <= 65536, length % 4096 == 0 { correct(log + page * 4096, length) }
        }
    }
    return contents
}
