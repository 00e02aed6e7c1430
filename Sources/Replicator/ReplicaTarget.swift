public import BlockIO
public import ByteCodec
public import DiskModel
public import ImageChain
public import Replication

/// What a relationship is, to both sides.
public struct Specification: Sendable, Equatable {
    public var id: GUID
    /// The machine's name.
    public var name: String
    public var policy: Policy
    public var disks: [Disk]

    public struct Disk: Sendable, Equatable {
        public var identity: Replication.DiskIdentity
        public var format: ImageFormat
    }
}

/// The replica side as the primary's performer sees it: it does what the primary's actions need, and answers with
/// events. Behind it is a folder (`DirectoryTarget`), or one day a host.
///
/// Each call is durable when it returns, and may be repeated after a kill. What the replica says comes from `messages`.
public protocol ReplicaTarget: AnyObject {
    /// Where it is, for messages: every error of the target has a path that begins with it.
    var place: String { get }

    /// Begins, goes on with what was left undone, and tells what is durable. An administrator asked for it: what waits to be
    /// tried again is tried now.
    func wake() throws -> ReplicaReport
    /// Makes the replica side, unless it is there already for this relationship.
    /// - Throws: `.refused` when the place belongs to another.
    func create(_ specification: Specification) throws
    func beginPass(_ tips: [LogID?]) throws
    /// Makes an empty replica disk (`from` is 0), or opens the one in the making to go on at or below `from`.
    /// - Parameter willRenew: called before a disk that is there is removed.
    func beginCopy(disk: Int, _ blueprint: DiskBlueprint, from: UInt64, willRenew: () throws -> Void) throws
        -> any CopySink
    /// Reads a whole copy back, and compares it with the digests it was made with.
    func verifyCopy(disk: Int) throws -> CopyVerdict
    /// Compares a whole replica disk, at rest, with a source.
    /// - Returns: the first byte that differs; nil when none does.
    func firstDifference(disk: Int, from source: ImageChain) throws -> UInt64?
    /// What the files of a replica disk are like; changes when anybody writes to them. Nil when there are none.
    func fingerprint(disk: Int) -> String?
    /// The disk is whole.
    func completeCopy(disk: Int, digest: String) throws
    /// Stores a log durably, checks it there, and tells the replica.
    func store(_ log: OutgoingLog, from file: any BlockFile) throws
    func end(_ cycle: Cycle) throws
    func finalize(_ tips: [LogID?]) throws
    func stop(_ stops: [DiskStop]) throws
    /// What the replica has said since the last call. When it has said nothing, it does some of its own work and tells how
    /// that went; empty when there is nothing left to do.
    func messages() throws -> [Primary.Event]
    /// Removes the replica side; whole disks stay.
    /// - Returns: paths of the disks that stay; nil when there is no replica.
    func remove() throws -> [String]?
}

/// A copy in the making.
public protocol CopySink: AnyObject {
    /// Where the copy goes on; all below is there. A multiple of the chunk size, or the disk's size.
    var start: UInt64 { get }
    /// What tells the replica disk from any other file sealed for the same recipients; nil when it is not sealed.
    var keyCommitment: String? { get }
    /// Whole sectors.
    func write(_ bytes: RawSpan, at offset: UInt64) throws
    /// Makes everything written durable, with the digests of the chunks since the last mark; then all below `byte` is, and
    /// the replica knows it.
    func mark(_ digests: [ChunkDigest], durable byte: UInt64) throws
    /// Brings the image to rest.
    func finish() throws
}

public enum CopyVerdict: Equatable, Sendable {
    /// With the digest of the disk.
    case equal(String)
    /// From this byte on, or the size, something is not as it was read.
    case differs(at: UInt64, String)
}
