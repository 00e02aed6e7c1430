import ByteCodec
public import DiskModel

/// What a merge does, or did.
public struct MergePlan: Sendable {
    public var format: ImageFormat
    /// The images that are merged, leaf first.
    public var links: [String]
    /// The image that takes their data.
    public var target: String
    /// Bytes of the disk that are copied, and that become zeros.
    public var dataByteCount: UInt64 = 0
    public var zeroByteCount: UInt64 = 0
    /// The target's disk size before and after: it takes the leaf's.
    public var oldVirtualByteCount: UInt64
    public var newVirtualByteCount: UInt64
    /// What new blocks add to the target's file at most.
    public var newBlockByteCount: UInt64 = 0
    /// Whether the leaf first gets zeros where a target that grows would show its own parent.
    public var pinsZeros = false
    /// A merge of these images was begun before and interrupted.
    public var resumes = false
    /// Images between that it had merged, and had still to remove.
    public var leftovers: [String] = []
    /// Images between that seem to be left of an interrupted merge: the child's mark leads to them, and their parent is gone.
    /// They are not removed, since nothing proves it.
    public var strays: [String] = []
    /// Images that will not read right any more: children of the target and of the links, other than the links.
    public var invalidated: [ChildImage] = []
    /// Children of images that go, which lose their parent unless these are kept.
    public var orphaned: [ChildImage] = []
    /// Sealed files in their folders that no key opened: any of them may be another child.
    public var locked: [String] = []
    /// Sealed images whose data a target that is not sealed would take.
    public var unsealed: [String] = []
    /// Images whose pending log is replayed into the file first.
    public var pendingLogs: [String] = []

    /// Whether the target already shows what the leaf shows, so that its bytes and its id stay.
    public var changesNothing: Bool {
        dataByteCount == 0 && zeroByteCount == 0 && oldVirtualByteCount == newVirtualByteCount
    }
}
