public import BlockIO

/// A file that was opened by its name: what it holds, and the file of the host that holds it. These are the same unless the
/// contents are sealed.
public struct OpenedFile: Sendable {
    public let host: PosixFile
    public let contents: any BlockFile

    public init(_ host: PosixFile, holding contents: any BlockFile) { (self.host, self.contents) = (host, contents) }

    /// A file whose bytes are the contents.
    public init(_ host: PosixFile) { self.init(host, holding: host) }

    public var path: String { host.path }
    public var identity: PosixFile.Identity { host.identity }
    public var isSealed: Bool { contents.hostFile !== host }
}

/// Opens files by their names, and what is sealed in them where there is a key.
public struct FileOpener: Sendable {
    private let contents: @Sendable (PosixFile, _ asksForKeys: Bool) throws(DiskError) -> any BlockFile
    private let letWritersIn: @Sendable (String) -> Void
    private var asksForKeys = true

    /// - Parameters:
    ///   - contents: gives what a file holds, for reading or writing as the file was opened: the file itself where nothing
    ///     is sealed. May ask a person for a key only where it is told so.
    ///   - letWritersIn: is told of a path before it is opened for writing, to give up what keeps writers away from it.
    public init(
        contents: @escaping @Sendable (PosixFile, _ asksForKeys: Bool) throws(DiskError) -> any BlockFile,
        letWritersIn: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        (self.contents, self.letWritersIn) = (contents, letWritersIn)
    }

    /// Knows no keys: every file is taken as it is.
    public static let plain = FileOpener { (host, _) throws(DiskError) in host }

    /// The same, for files that nobody named: a person is asked for no key.
    public var quiet: FileOpener {
        var result = self
        result.asksForKeys = false
        return result
    }

    /// - Throws: `.key` for what no key opens; `.format` for a sealed file that is damaged; `.io`, `.busy`.
    public func open(
        _ path: String, _ access: PosixFile.Access = .read, doing: String = ""
    ) throws(DiskError) -> OpenedFile {
        if access == .write { letWritersIn(path) }
        let host: PosixFile
        do throws(IOError) { host = try PosixFile(path, access) } catch { throw DiskError(error, doing: doing) }
        return try open(host)
    }

    /// A file of the host that is open already.
    /// - Throws: as for a path.
    public func open(_ host: PosixFile) throws(DiskError) -> OpenedFile {
        OpenedFile(host, holding: try contents(host, asksForKeys))
    }
}
