import BlockIO
import ByteCodec
import DiskModel
import FuzzSupport
import VHD

// A VHD from its structures: opening works or throws, what opens can be walked, and what can be written keeps what was
// written.

@_cdecl("LLVMFuzzerTestOneInput")
public func test(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let input = SparseInput([UInt8](UnsafeBufferPointer(start: start, count: count))) else { return 0 }
    let contents = vhdImage(input)
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
