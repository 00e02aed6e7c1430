import BlockIO
import ByteCodec
import DiskModel
import FuzzSupport
import VHDX

// A VHDX from its structures, with a log: opening (with replay) works or throws, what opens can be walked, reading leaves
// the file as it is, and what can be written keeps what was written.

@_cdecl("LLVMFuzzerTestOneInput")
public func test(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let input = SparseInput([UInt8](UnsafeBufferPointer(start: start, count: count))) else { return 0 }
    let contents = vhdxImage(input)
    if let layer = try? VHDXLayer(reading: MemoryFile(contents)) {
        try? walk(layer)
        _ = try? layer.report()
        _ = try? layer.census()
    }
    write(contents)
    return 0
}

private func write(_ contents: MemoryFile.Contents) {
    let file = MemoryFile(contents)
    guard let layer = try? VHDXLayer(writing: file) else { return }
    let count = layer.geometry.logicalSectorByteCount
    let last = layer.geometry.virtualByteCount - UInt64(count)
    guard layer.geometry.blockByteCount ?? 0 <= 2 << 20 else { return }
    let bytes = [UInt8](repeating: 0xa7, count: count)
    do {
        try layer.write(bytes.rawBytes, at: last)
        try layer.flush()
        try layer.close()
    } catch { return }
    do {
        let reader = try VHDXLayer(reading: MemoryFile(file.contents))
        precondition(!reader.hasReplayedLog, "a closed image has a pending log")
        let found = try sector(reader, at: last)
        precondition(found == bytes, "what was written and closed does not read back")
    } catch { preconditionFailure("what was written and closed does not open: \(error)") }
}
