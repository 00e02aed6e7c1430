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
    let options: OpenOptions

    /// The children in these folders, each once, in the order of their paths; and sealed files that cannot be looked into.
    func run(_ folders: [String]) -> (children: [ChildImage], locked: [String]) {
        var seen = excluded
        var result: [ChildImage] = []
        var locked: [String] = []
        for folder in folders {
            for path in FolderListing.regularFiles(in: folder).prefix(Self.fileLimit) {
                do throws(DiskError) {
                    let file = try options.files.quiet.open(path)
                    guard seen.insert(file.identity).inserted, let parent = parent(of: file.contents) else { continue }
                    result.append(ChildImage(path: path, parent: parent))
                } catch {
                    if !Self.isNoneOfOurs(error) { locked.append(path) }
                }
            }
        }
        return (result, locked)
    }

    /// Whether a file could not even be opened, or is gone.
    private static func isNoneOfOurs(_ error: DiskError) -> Bool {
        guard error.kind == .io else { return false }
        if case .errno(let code)? = error.ioError?.reason { return code != EIO }
        return error.ioError?.reason == .notRegular
    }

    private func parent(of file: any BlockFile) -> String? {
        guard let format = try? ImageOpener.recognise(file), format != .raw,
            let layer = try? ImageOpener.layer(reading: file), let link = layer.parentLink
        else { return nil }
        return link.identities.compactMap { parents[$0] }.first
    }
}
