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

/// A sector, and zeros over the disk's start, its second block, and part of what the sector is in. Over a parent these make
/// blocks partially present, and hide it.
private func write(_ contents: MemoryFile.Contents) {
    let file = MemoryFile(contents)
    guard let layer = try? VHDXLayer(writing: file) else { return }
    let count = UInt64(layer.geometry.logicalSectorByteCount)
    let size = layer.geometry.virtualByteCount
    guard let block = layer.geometry.blockByteCount, block <= 2 << 20 else { return }
    let bytes = [UInt8](repeating: 0xa7, count: Int(count))
    let zeros = [0..<min(size, block / 2), min(size, block)..<min(size, 2 * block), size - min(size, 3 * count)..<size]
    do {
        for range in zeros { try layer.writeZeroes(range) }
        try layer.write(bytes.rawBytes, at: size - count)
        let found = try sector(layer, at: size - count)
        precondition(found == bytes, "what was written does not read back")
        try layer.flush()
        try layer.close()
    } catch { return }
    do {
        let reader = try VHDXLayer(reading: MemoryFile(file.contents))
        precondition(!reader.hasReplayedLog, "a closed image has a pending log")
        let found = try sector(reader, at: size - count)
        precondition(found == bytes, "what was written and closed does not read back")
        for range in zeros where range.lowerBound < min(range.upperBound, size - count) {
            for at in [range.lowerBound, min(range.upperBound, size - count) - count] {
                let found = try sector(reader, at: at)
                precondition(found?.contains { $0 != 0 } == false, "zeros that were written do not read back")
            }
        }
        _ = try reader.census()
    } catch { preconditionFailure("what was written and closed does not open: \(error)") }
}
