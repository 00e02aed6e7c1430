import BlockIO
import ByteCodec
import DiskModel
import Glibc
import VHD
import VHDX

/// Something in which a parent is not as its child has it.
public struct LinkDifference: Sendable, Equatable {
    public enum What: String, Sendable {
        case virtualSize = "virtual_size"
        case logicalSectorSize = "logical_sector_size"
        /// VHD: when the parent's file was last changed, as the child noted it when it was made.
        case modified
        /// VHDX: the id that all images of one disk share.
        case diskID = "disk_id"
    }
    public var what: What
    /// What the child has, or says of its parent; sizes in bytes.
    public var child: String
    public var parent: String
    /// What it means.
    public var meaning: String

    static func all(_ child: any DiskLayer, _ parent: any DiskLayer) -> [LinkDifference] {
        var result: [LinkDifference] = []
        func add<Value: Equatable & CustomStringConvertible>(_ what: What, _ a: Value, _ b: Value, _ meaning: String) {
            guard a != b else { return }
            result.append(
                LinkDifference(what: what, child: a.description, parent: b.description, meaning: meaning))
        }
        let (own, other) = (child.geometry, parent.geometry)
        add(
            .virtualSize, own.virtualByteCount, other.virtualByteCount,
            own.virtualByteCount > other.virtualByteCount
                ? "zeros follow the parent's end" : "the parent's end is not seen")
        add(
            .logicalSectorSize, own.logicalSectorByteCount, other.logicalSectorByteCount,
            "such a pair cannot be read together")
        if let child = child as? VHDXLayer, let parent = parent as? VHDXLayer {
            add(.diskID, child.virtualDiskID, parent.virtualDiskID, "these may be two different disks")
        }
        if let child = child as? VHDLayer, let recorded = child.header?.parentTimestamp, recorded != 0,
            let status = try? PosixFile(parent.file.path).status()
        {
            add(
                .modified, DiskTimestamp(rawValue: recorded), DiskTimestamp(unixSeconds: Int64(status.st_mtim.tv_sec)),
                "the parent was copied since, or written, which would make the child wrong")
        }
        return result
    }
}
