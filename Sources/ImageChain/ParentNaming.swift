import BlockIO
import DiskModel
import Glibc

/// How a child is to name its parent: by the way from its folder, and by paths that other machines see.
public struct ParentNaming: Sendable, Equatable {
    /// The parent's path as Windows will see it: `C:\images\base.vhdx` or `\\server\images\base.vhdx`. Nil: this machine's
    /// path, between backslashes.
    public var windowsPath: String?
    /// The parent's path from a volume's GUID on, `\\?\Volume{…}\images\base.vhdx`; VHDX only.
    public var volumePath: String?

    public init(windowsPath: String? = nil, volumePath: String? = nil) {
        (self.windowsPath, self.volumePath) = (windowsPath, volumePath)
    }

    /// More components than readers follow.
    private static let longestWay = 63

    /// What a child is to say about a parent.
    /// - Parameters:
    ///   - childPath: where the child stands, or will stand: its folder must be there.
    ///   - parent: an open image.
    ///   - file: its file, which names its place and the time of its last change.
    /// - Throws: `.refused` for paths and names that cannot be written into an image; `.io`.
    func reference(
        for childPath: String, to parent: any DiskLayer, in file: PosixFile
    ) throws(DiskError) -> ParentReference {
        try check(parent.format, path: childPath)
        let home = try Self.realPath(splitPath(childPath).folder)
        let place = try Self.realPath(file.path)
        let way = Self.way(from: home, to: place)
        guard way.count <= Self.longestWay else {
            throw Self.refused(file.path, "it is \(way.count) steps away from the child: readers follow no such path")
        }
        for name in way {
            guard let problem = Self.problem(name) else { continue }
            throw DiskError(
                .refused, path: file.path, "the way from the child leads by \"\(name)\", \(problem)",
                hint: "give it another name, or put the parent beside the child")
        }
        let changed: Int64
        do { changed = Int64(try file.status().st_mtim.tv_sec) } catch { throw DiskError(error, doing: "") }
        return ParentReference(
            identity: parent.identity, modified: changed, relativePath: way.joined(separator: "/"),
            absolutePath: windowsPath ?? Self.backslashed(place), volumePath: volumePath)
    }

    /// Whether readers look for a parent at the end of this way without being told its folder: in the child's own folder,
    /// below it, or one level up.
    static func isInReach(_ relativePath: String) -> Bool {
        relativePath.split(separator: "/").prefix { $0 == ".." }.count <= 1
    }

    /// The way from a folder to a file, both by their real paths: its components, with `..` for each level up.
    static func way(from folder: String, to file: String) -> [String] {
        let (start, end) = (folder.split(separator: "/"), file.split(separator: "/"))
        // The file itself is never a folder on the way.
        let shared = zip(start, end.dropLast()).prefix { $0 == $1 }.count
        return start.dropFirst(shared).map { _ in ".." } + end.dropFirst(shared).map(String.init)
    }

    // MARK: Checks

    private func check(_ format: ImageFormat, path: String) throws(DiskError) {
        if let windowsPath {
            let bytes = Array(windowsPath.utf8)
            let hasDrive = bytes.count > 3 && bytes[1] == UInt8(ascii: ":") && bytes[2] == UInt8(ascii: "\\")
            guard hasDrive || windowsPath.hasPrefix("\\\\"), Self.hasName(windowsPath) else {
                throw Self.refused(
                    path, "\"\(windowsPath)\" is no path of Windows to a file",
                    "such are C:\\images\\base.vhdx and \\\\server\\images\\base.vhdx")
            }
        }
        guard let volumePath else { return }
        guard format == .vhdx else { throw Self.refused(path, "only a VHDX names its parent by a volume's GUID") }
        guard volumePath.lowercased().hasPrefix("\\\\?\\volume{"), Self.hasName(volumePath) else {
            throw Self.refused(
                path, "\"\(volumePath)\" is no path from a volume's GUID to a file",
                "such a path is \\\\?\\Volume{11111111-2222-3333-4444-555555555555}\\images\\base.vhdx")
        }
    }

    private static func hasName(_ path: String) -> Bool {
        !path.hasSuffix("\\") && !path.unicodeScalars.contains(where: isControl)
    }

    private static func problem(_ name: String) -> String? {
        if name.unicodeScalars.contains(where: isControl) { return "which holds a control character" }
        // Everybody else takes it for two names.
        return name.contains("\\") ? "which holds a backslash" : nil
    }

    /// Readers refuse such text.
    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
    }

    /// This machine's path between backslashes; nil for one that would lead elsewhere so.
    static func backslashed(_ path: String) -> String? {
        guard problem(path) == nil else { return nil }
        return path.split(separator: "/").map { "\\" + $0 }.joined()
    }

    /// The path with all links followed.
    static func realPath(_ path: String) throws(DiskError) -> String {
        guard let found = unsafe realpath(path, nil) else {
            throw DiskError(IOError("realpath", path: path, .errno(errno)), doing: "")
        }
        defer { unsafe free(found) }
        guard let text = unsafe String(validatingCString: found) else {
            throw refused(path, "its path is no valid UTF-8, which images cannot name", "give it another name")
        }
        return text
    }

    private static func refused(_ path: String, _ text: String, _ hint: String? = nil) -> DiskError {
        DiskError(.refused, path: path, text, hint: hint)
    }
}
