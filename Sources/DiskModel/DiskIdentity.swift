public import ByteCodec

/// What a child names to say which parent it was made from: the footer's Unique ID of a VHD, the current DataWriteGuid of
/// a VHDX.
public struct DiskIdentity: Hashable, Sendable, CustomStringConvertible {
    public var format: ImageFormat
    public var id: GUID
    public init(format: ImageFormat, id: GUID) { (self.format, self.id) = (format, id) }
    public var description: String { id.description }
}

/// One place where a child says that its parent may be.
public struct ParentLocator: Sendable, Equatable {
    public enum Kind: String, Sendable {
        /// Relative to the child's folder.
        case relative
        /// An absolute path of the machine that made the child.
        case absolute
        /// A path that begins with a volume's GUID.
        case volume
        /// A file URL.
        case url
        /// A bare file name.
        case name
    }
    public var kind: Kind
    /// The key or platform code in the file: `relative_path`, `W2ku`, …
    public var key: String
    /// The path as it stands in the file, with the slashes of its maker.
    public var path: String
    public init(kind: Kind, key: String, path: String) { (self.kind, self.key, self.path) = (kind, key, path) }
}

/// How a differencing layer names its parent.
public struct ParentLink: Sendable {
    /// Identities the parent may have; any of them will do.
    public var identities: [DiskIdentity]
    /// In the order in which they are to be tried.
    public var locators: [ParentLocator]
    public init(identities: [DiskIdentity], locators: [ParentLocator]) {
        (self.identities, self.locators) = (identities, locators)
    }
}
