/// How a differencing image is to name its parent: what is written into a new child, and into one that gets another
/// parent.
public struct ParentReference: Sendable, Equatable {
    /// Identity of the parent, in the child's own format.
    public var identity: DiskIdentity
    /// When the parent's file was last changed, in seconds since 1970; a VHD keeps it.
    public var modified: Int64
    /// The way from the child's folder to the parent's file, between slashes: `base.vhd`, `../images/base.vhd`. Each
    /// format writes it as Windows wants it.
    public var relativePath: String
    /// Where a machine finds the parent from its root, as it is to stand in the file: `C:\images\base.vhd`.
    public var absolutePath: String?
    /// A path that begins with a volume's GUID, as it is to stand in the file; VHDX only.
    public var volumePath: String?

    public init(
        identity: DiskIdentity, modified: Int64, relativePath: String, absolutePath: String? = nil,
        volumePath: String? = nil
    ) {
        (self.identity, self.modified, self.relativePath) = (identity, modified, relativePath)
        (self.absolutePath, self.volumePath) = (absolutePath, volumePath)
    }

    /// The relative path as Windows writes it: between backslashes, from `.\` or `..\` on.
    public var windowsRelativePath: String {
        let path = relativePath.split(separator: "/", omittingEmptySubsequences: true).joined(separator: "\\")
        return path.hasPrefix("..\\") || path.hasPrefix(".\\") ? path : ".\\" + path
    }

    /// The parent's file name.
    public var name: String { relativePath.split(separator: "/").last.map(String.init) ?? relativePath }
}
