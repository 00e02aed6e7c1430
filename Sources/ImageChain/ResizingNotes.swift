import BlockIO
import DiskModel

extension Resizing {
    /// What a guest, and images made from this one, come to notice.
    static func notes(_ chain: ImageChain, to new: UInt64) throws(DiskError) -> [EditNote] {
        let old = chain.geometry.virtualByteCount
        var result: [EditNote] = []
        switch try PartitionGlance(chain).table {
        case .gpt where new > old: result.append(EditNote(.gptBackup, movedBackup))
        case .gpt: result.append(EditNote(.gptBackup, cutBackup))
        case .mbr where new > 2 << 40:
            result.append(EditNote(.mbrLimit, "the disk has an MBR, whose partitions end at 2 TiB"))
        default: break
        }
        if new < old, chain.layers.count > 1, chain.layers[1].geometry.virtualByteCount > new {
            let parent = chain.layers[1]
            result.append(
                EditNote(
                    .largerParent,
                    "it gets smaller than its parent \(parent.file.path), which has \(parent.geometry.virtualByteCount) bytes: "
                        + "it cannot be made larger again"))
        }
        switch (chain.leaf.format, chain.leaf.type) {
        case (.vhdx, _): result.append(EditNote(.children, vhdxChildren))
        case (.vhd, .differencing): result.append(EditNote(.children, vhdChild))
        case (.vhd, _): result.append(EditNote(.children, vhdChildren))
        default: break
        }
        return result
    }

    private static let movedBackup =
        "the disk has a GPT, whose backup is not at the new end: in the guest, sgdisk -e DISK writes it there, in "
        + "Windows a rescan of the disks"
    /// Linux takes no table whose usable area ends past the disk.
    private static let cutBackup =
        "the disk has a GPT, whose backup is not at the new end: before the guest starts, run sgdisk -e on the disk, from "
        + "a rescue system; without, Linux may not find its partitions"
    private static let vhdxChildren =
        "differencing images made from this one, if there are any, no longer open: its DataWriteGuid is new"
    private static let vhdChild = "Windows opens no VHD child whose size is not its parent's"
    private static let vhdChildren =
        "differencing images made from this one, if there are any, keep their own size, and still name it as their "
        + "parent: Windows refuses such a pair, others show zeros where the parent has ended"
}
