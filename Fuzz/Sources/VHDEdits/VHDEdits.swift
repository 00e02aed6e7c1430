import BlockIO
import DiskModel
import FuzzSupport
import VHD

// A VHD from its structures, checked, repaired, compacted and resized: nothing makes it worse.

@_cdecl("LLVMFuzzerTestOneInput")
public func test(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let input = SparseInput([UInt8](UnsafeBufferPointer(start: start, count: count))) else { return 0 }
    var options = CheckOptions()
    options.isDeep = true
    let quiet: EditProgress = { (_, _) throws(DiskError) in }
    tryEdits(
        vhdImage(input),
        Editor(
            open: {
                let layer = try VHDLayer(reading: $0)
                _ = try layer.census()
                return layer
            },
            openForWriting: { try VHDLayer(writing: $0) },
            check: { try VHDChecker.check($0, options, progress: quiet) },
            repair: { try VHDChecker.repair($0, $1, options, progress: quiet) },
            resize: { try VHDResizer.resize($0, to: $1, progress: quiet) },
            compact: { try VHDCompactor.compact($0, progress: quiet) }))
    return 0
}
