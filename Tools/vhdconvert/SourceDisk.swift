import BlockIO
import DiskModel
import ImageChain
import Toolbox

/// The disk that is converted: an image with all its parents.
struct SourceDisk {
    let chain: ImageChain

    init(_ path: String, _ options: OpenOptions, _ run: ToolRun) throws {
        chain = try ImageChain.open(path, options)
        run.addInput(path, byteCount: try PosixFile(path).byteCount())
        run.warn(path, chain.findings)
        for layer in chain.layers {
            run.warn(layer.file.path, layer.findings)
            if layer.hasReplayedLog { run.noteReplayedLog(layer.file.path) }
        }
    }

    /// The source's block size where the new image can have it: what stood together stays together.
    func blockByteCount(for plan: NewImage) -> UInt64? {
        guard plan.usedBlockByteCount != nil, let size = chain.geometry.blockByteCount,
            NewImage.blockByteCounts(plan.format).contains(size)
        else { return nil }
        return size
    }
}
