/// What resizing an image does, or did.
public struct ResizePlan: Sendable, Equatable {
    public var oldVirtualByteCount: UInt64
    public var newVirtualByteCount: UInt64
    public var oldFileByteCount: UInt64
    public var newFileByteCount: UInt64
    /// Whether the block table gets another place, because it has no room where it is.
    public var movesTable = false
    /// Blocks with data past the new end, which are given up.
    public var droppedBlockCount: UInt64 = 0

    public init(
        oldVirtualByteCount: UInt64, newVirtualByteCount: UInt64, oldFileByteCount: UInt64, newFileByteCount: UInt64
    ) {
        (self.oldVirtualByteCount, self.newVirtualByteCount) = (oldVirtualByteCount, newVirtualByteCount)
        (self.oldFileByteCount, self.newFileByteCount) = (oldFileByteCount, newFileByteCount)
    }
}

/// What compacting an image does, or did.
public struct CompactionPlan: Sendable, Equatable {
    public var oldFileByteCount: UInt64
    public var newFileByteCount: UInt64
    /// Blocks in the file before.
    public var blockCount: UInt64 = 0
    /// Blocks given up because they hold nothing but zeros (dynamic) or nothing at all (differencing).
    public var droppedBlockCount: UInt64 = 0
    /// Blocks, and bytes, that move down.
    public var movedBlockCount: UInt64 = 0
    public var movedByteCount: UInt64 = 0

    public init(oldFileByteCount: UInt64, newFileByteCount: UInt64) {
        (self.oldFileByteCount, self.newFileByteCount) = (oldFileByteCount, newFileByteCount)
    }
}

/// How far an edit in place is: bytes done of a total. Throwing stops the edit at a safe point; the image is whole.
public typealias EditProgress = (_ done: UInt64, _ total: UInt64) throws(DiskError) -> Void
