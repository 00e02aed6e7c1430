import BlockIO
public import ByteCodec
public import DiskModel
import VHD
import VHDX

/// The size an image is to get.
public enum ResizeTarget: Sendable, Equatable {
    case exactly(UInt64)
    case larger(by: UInt64)
    case smaller(by: UInt64)
}

/// Something to know about an edit that is no fault.
public struct EditNote: Sendable, Equatable {
    public enum Code: String, Sendable {
        /// The GPT's backup is not at the end of the disk any more, or gone.
        case gptBackup = "gpt_backup"
        /// A boot record addresses no more than 2 TiB.
        case mbrLimit = "mbr_limit"
        /// What becomes of differencing images made from this one.
        case children
        /// The disk gets smaller than its parent, and so cannot be made larger again.
        case largerParent = "larger_parent"
        /// An image that has a child may not be written any more.
        case parentFrozen = "parent_frozen"
        /// The parent stands where readers do not look by themselves.
        case parentPlace = "parent_place"
        /// The parent's file was changed since the child noted its time.
        case parentModified = "parent_modified"
        /// The parent has another size than the child.
        case parentSize = "parent_size"
        /// Nothing shows that the parent holds what the child was made from.
        case contentsUnproven = "contents_unproven"
        /// What the child shows changes.
        case contentsChange = "contents_change"
        /// A merge of the child into the parent it had was interrupted.
        case unfinishedMerge = "unfinished_merge"
    }
    public var code: Code
    public var message: String
    public init(_ code: Code, _ message: String) { (self.code, self.message) = (code, message) }
}

/// An image that is to get another size. Making it looks at everything and changes nothing; `perform` changes the file.
///
/// Raw disks are cut or lengthened, then flushed; a power cut before leaves the old length or the new one. The order of
/// writes in the other formats is told at `VHDResizer` and `VHDXResizer`.
public struct Resizing {
    public let format: ImageFormat
    public let type: ImageType
    public let plan: ResizePlan
    /// What is cut off; nil when nothing is.
    public let tail: TailUse?
    public let notes: [EditNote]
    /// What was noticed while opening the image and its parents, with the file's path.
    public let findings: [(path: String, finding: Finding)]
    /// Whether the image's own log was pending: `perform` replays it into the file first.
    public let hasPendingLog: Bool
    private let file: any BlockFile

    public var changesSize: Bool { plan.oldVirtualByteCount != plan.newVirtualByteCount }

    /// - Parameters:
    ///   - file: the image; open for writing if `perform` is to follow, so that nobody changes it in between.
    ///   - progress: of looking for data in what is cut off.
    /// - Throws: `.refused` for sizes that cannot be, and for a child that would show bytes of its parent; what
    ///   opening and reading throw.
    public init(_ file: OpenedFile, to target: ResizeTarget, _ options: OpenOptions = .init(), progress: EditProgress)
        throws(DiskError)
    {
        let chain = try ImageChain.open(file, options)
        let new = try Self.byteCount(target, chain)
        self.file = file.contents
        (format, type, hasPendingLog) = (chain.leaf.format, chain.leaf.type, chain.leaf.hasReplayedLog)
        findings =
            chain.findings.map { (file.path, $0) }
            + chain.layers.flatMap { layer in layer.findings.map { (layer.file.path, $0) } }
        let old = chain.geometry.virtualByteCount
        if new > old { try Self.refuseShowingParent(chain, to: new) }
        plan = try Self.plan(file.contents, chain.leaf.format, from: old, to: new)
        tail = new < old ? try TailUse(of: chain, from: new, progress: progress) : nil
        notes = new == old ? [] : try Self.notes(chain, to: new)
    }

    /// Changes the size; where the disk has it already, brings to its end what was cut off before. What stands in the
    /// tail is the caller's to judge.
    /// - Throws: as the formats' resizers, or what `progress` throws.
    public func perform(progress: EditProgress) throws(DiskError) -> ResizePlan {
        let size = plan.newVirtualByteCount
        switch format {
        case .vhd: return try VHDResizer.resize(file, to: size, progress: progress)
        case .vhdx: return try VHDXResizer.resize(file, to: size, progress: progress)
        case .raw where !changesSize: return plan
        case .raw:
            do {
                try file.resize(to: size)
                try file.sync()
            } catch { throw DiskError(error, doing: "resizing") }
            return plan
        }
    }

    private static func byteCount(_ target: ResizeTarget, _ chain: ImageChain) throws(DiskError) -> UInt64 {
        func refused(_ text: String, _ hint: String? = nil) -> DiskError {
            DiskError(.refused, path: chain.path, text, hint: hint)
        }
        let old = chain.geometry.virtualByteCount
        let sector = UInt64(chain.geometry.logicalSectorByteCount)
        let new: UInt64
        switch target {
        case .exactly(let size): new = size
        case .larger(let difference):
            guard let sum = old.adding(difference) else { throw refused("a disk cannot get that large") }
            new = sum
        case .smaller(let difference):
            guard difference < old else { throw refused("the disk has \(old) bytes: nothing would be left of it") }
            new = old - difference
        }
        guard new > 0 else { throw refused("a disk of 0 bytes cannot be") }
        guard new % sector == 0 else {
            let below = new.roundedDown(to: sector)
            throw refused(
                "a disk of \(new) bytes is no whole number of \(sector)-byte sectors",
                "the nearest sizes are \(below > 0 ? "\(below) and " : "")\(below.adding(sector) ?? below)")
        }
        return new
    }

    /// Past a child's end its parent may go on: a larger child would show what its guest never saw.
    static func refuseShowingParent(_ chain: ImageChain, to new: UInt64) throws(DiskError) {
        guard chain.layers.count > 1 else { return }
        let (old, parent) = (chain.geometry.virtualByteCount, chain.layers[1])
        guard parent.geometry.virtualByteCount > old else { return }
        throw DiskError(
            .refused, path: chain.path,
            "its parent \(parent.file.path) has \(parent.geometry.virtualByteCount) bytes and the child \(old): a larger child would show the parent's bytes where its disk had ended",
            hint: "make an image of its own from it first")
    }

    private static func plan(_ file: any BlockFile, _ format: ImageFormat, from old: UInt64, to new: UInt64)
        throws(DiskError) -> ResizePlan
    {
        switch format {
        case .vhd: return try VHDResizer.plan(file, to: new)
        case .vhdx: return try VHDXResizer.plan(file, to: new)
        case .raw:
            return ResizePlan(
                oldVirtualByteCount: old, newVirtualByteCount: new, oldFileByteCount: old, newFileByteCount: new)
        }
    }
}
