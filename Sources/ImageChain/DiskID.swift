public import ByteCodec
import DiskModel
import VHD
import VHDX

extension ImageChain {
    /// What tells this disk from others whatever it holds: Virtual Disk ID of a VHDX, Unique ID of a VHD, both of the leaf;
    /// zero for a raw disk, which has none.
    public var diskID: GUID {
        switch leaf {
        case let leaf as VHDLayer: leaf.footer.uniqueID
        case let leaf as VHDXLayer: leaf.virtualDiskID
        default: .zero
        }
    }
}
