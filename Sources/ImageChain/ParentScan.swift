import BlockIO
import ByteCodec
import DiskModel

/// A look through the child's folder, and those named for parents, for a file with an id that the child names, whatever
/// its name is. Regular files only; their signatures are looked at before anything is opened.
public struct ParentScan: Sendable, Equatable {
    /// Files looked at, at most.
    static let fileLimit = 10_000

    /// The parent, if it is there.
    public private(set) var path: String?
    public private(set) var folders: [String]
    public private(set) var fileCount = 0
    /// Whether there were more files than are looked at.
    public private(set) var isCut = false

    init(for child: ChainLink, in chain: [ChainLink], _ options: OpenOptions) {
        folders = []
        for folder in [splitPath(child.path).folder] + options.parentFolders where !folders.contains(folder) {
            folders.append(folder)
        }
        search(for: child, Set(chain.compactMap { try? PosixFile($0.path).identity }), options)
    }

    private mutating func search(for child: ChainLink, _ own: Set<PosixFile.Identity>, _ options: OpenOptions) {
        for folder in folders {
            for path in FolderListing.regularFiles(in: folder) {
                guard fileCount < Self.fileLimit else { isCut = true; return }
                fileCount += 1
                guard isParent(path, child, own, options) else { continue }
                self.path = path
                return
            }
        }
    }

    /// Whether a file is an image the child names, and not part of its chain already.
    private func isParent(
        _ path: String, _ child: ChainLink, _ own: Set<PosixFile.Identity>, _ options: OpenOptions
    ) -> Bool {
        guard let link = child.layer.parentLink, let file = try? PosixFile(path), !own.contains(file.identity),
            (try? ImageOpener.recognise(file)) == child.layer.format
        else { return false }
        var options = options
        options.format = child.layer.format
        return (try? ImageOpener.layer(reading: file, options)).map { $0.isNamed(by: link) } ?? false
    }
}
