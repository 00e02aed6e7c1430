public import ByteCodec
public import DiskModel

/// How images are opened.
public struct OpenOptions: Sendable {
    /// Nil: by contents, and never raw. `.raw`: inputs without a signature are raw. Others: insist.
    public var format: ImageFormat?
    /// Folders, beside the places the locators name, in which a parent may be found.
    public var parentFolders: [String] = []
    /// Rules whose breaking is noted and does not stop the reading.
    public var accepted: Set<FormatError.Code> = []
    /// Dynamic VHD: take stored bytes under clear bitmap bits, as some readers do.
    public var ignoresBitmaps = false
    /// How files are opened: with what keys.
    public var files = FileOpener.plain

    /// Whether every layer's table is looked through for blocks that share space.
    public var checksSharedSpace = true

    public init(
        format: ImageFormat? = nil, parentFolders: [String] = [], accepted: Set<FormatError.Code> = [],
        files: FileOpener = .plain
    ) {
        (self.format, self.parentFolders, self.accepted, self.files) = (format, parentFolders, accepted, files)
    }

    /// The same for images that nobody named: no person is asked for their keys.
    var quiet: OpenOptions {
        var result = self
        result.files = files.quiet
        return result
    }
}

extension FormatError.Code {
    /// A parent was found and is not the one the child names. Accepting it reads on with that parent: wrong bytes are
    /// likely.
    public static let parentIdentity = Self("CHAIN001")
    /// A merge into an image of the chain was interrupted, and that image holds a mixture. A warning where the image with
    /// which the merge was begun hides it. Accepting it reads the mixture.
    public static let unfinishedMerge = Self("CHAIN002")
}
