import BlockIO
import DiskModel
import FuzzSupport
import VHDX

// A VHDX from its structures, checked, repaired, compacted and resized: nothing makes it worse.

@_cdecl("LLVMFuzzerTestOneInput")
public func test(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let input = SparseInput([UInt8](UnsafeBufferPointer(start: start, count: count))) else { return 0 }
    var options = CheckOptions()
    options.isDeep = true
    let quiet: EditProgress = { (_, _) throws(DiskError) in }
    tryEdits(
        vhdxImage(input),
        Editor(
            open: {
                let layer = try VHDXLayer(reading: $0)
                _ = try layer.census()
                return layer
            },
            openForWriting: { try VHDXLayer(writing: $0) },
            check: { try VHDXChecker.check($0, options, progress: quiet) },
            repair: { try VHDXChecker.repair($0, $1, options, progress: quiet) },
            resize: { try VHDXResizer.resize($0, to: $1, progress: quiet) },
            compact: { try VHDXCompactor.compact($0, progress: quiet) }))
    return 0
}
