import BlockIO
import ByteCodec
import DiskModel
import FuzzSupport
import VHD

// A VHD from its structures: opening works or throws, what opens can be walked, and what can be written, children too, keeps
// what was written and everything else.

@_cdecl("LLVMFuzzerTestOneInput")
public func test(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let input = SparseInput([UInt8](UnsafeBufferPointer(start: start, count: count))) else { return 0 }
    let contents = vhdImage(input)
    if let layer = try? VHDLayer(reading: MemoryFile(contents)) {
        try? walk(layer)
        _ = try? layer.report()
        _ = try? layer.census()
    }
    tryWriting(
        contents, open: { try VHDLayer(reading: $0) }, openForWriting: { try VHDLayer(writing: $0) })
    return 0
}
