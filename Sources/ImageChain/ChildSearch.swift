import BlockIO
import ByteCodec
import DiskModel
import Glibc

/// An image that names another one as its parent.
public struct ChildImage: Sendable, Equatable {
    public var path: String
    /// The parent's path.
    public var parent: String
    public init(path: String, parent: String) { (self.path, self.parent) = (path, parent) }
}

/// Looks through folders for images made from certain others. What lies elsewhere is not found.
struct ChildSearch {
    /// Files looked at in one folder; an end keeps a hostile folder from taking long.
    static let fileLimit = 10_000

    /// By identity, the path of the image that has it.
    let parents: [DiskIdentity: String]
    /// Files that are not looked at.
    let excluded: Set<PosixFile.Identity>

    /// The children in these folders, each once, in the order of their paths.
    func run(_ folders: [String]) -> [ChildImage] {
        var seen = excluded
        var result: [ChildImage] = []
        for folder in folders {
            for name in Self.names(in: folder).sorted().prefix(Self.fileLimit) {
                let path = folder == "." ? name : folder == "/" ? "/\(name)" : "\(folder)/\(name)"
                guard Self.isRegular(path), let file = try? PosixFile(path), seen.insert(file.identity).inserted,
                    let parent = parent(of: file)
                else { continue }
                result.append(ChildImage(path: path, parent: parent))
            }
        }
        return result
    }

    private func parent(of file: PosixFile) -> String? {
        guard let format = try? ImageOpener.recognise(file), format != .raw,
            let layer = try? ImageOpener.layer(reading: file), let link = layer.parentLink
        else { return nil }
        return link.identities.compactMap { parents[$0] }.first
    }

    private static func isRegular(_ path: String) -> Bool {
        var status = stat()
        return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG && status.st_size >= 1536
    }

    /// Names in a folder; none where it cannot be read.
    static func names(in folder: String) -> [String] {
        guard let stream = unsafe opendir(folder) else { return [] }
        defer { unsafe closedir(stream) }
        var result: [String] = []
        while result.count < 100_000, let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
            }
            result.append(name)
        }
        return result
    }
}
