import BlockIO
import ByteCodec
import DiskModel
import FuzzSupport
import VHD

// A VHD from its structures: opening works or throws, what opens can be walked, and what can be written keeps what was
// written. Flags: 1 corrects the footers' checksums, 2 the header's, 4 lets the footer at the end be the copy at 0.

private let footerByteCount = 512

private func image(_ input: SparseInput) -> MemoryFile.Contents {
    let byteCount = 4096 + input.lengthStep * 512
    let end = byteCount - UInt64(footerByteCount)
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

@_cdecl("LLVMFuzzerTestOneInput")
public func test(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let input = SparseInput([UInt8](UnsafeBufferPointer(start: start, count: count))) else { return 0 }
    let contents = image(input)
    if let layer = try? VHDLayer(reading: MemoryFile(contents)) {
        try? walk(layer)
        _ = try? layer.report()
        _ = try? layer.census()
    }
    write(contents)
    return 0
}

private func write(_ contents: MemoryFile.Contents) {
    let file = MemoryFile(contents)
    guard let layer = try? VHDLayer(writing: file) else { return }
    let last = layer.geometry.virtualByteCount - 512
    // Big blocks would make each run slow, and teach nothing new.
    guard layer.geometry.blockByteCount ?? 512 <= 2 << 20 else { return }
    let bytes = [UInt8](repeating: 0xa7, count: 512)
    do {
        try layer.write(bytes.rawBytes, at: last)
        try layer.flush()
        try layer.close()
    } catch { return }
    do {
        let reader = try VHDLayer(reading: MemoryFile(file.contents))
        let found = try sector(reader, at: last)
        precondition(found == bytes, "what was written and closed does not read back")
    } catch { preconditionFailure("what was written and closed does not open: \(error)") }
}
