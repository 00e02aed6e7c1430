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
    /// Whether a merge into it is not complete.
    private(set) var hasUnfinishedMerge = false
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
                guard let layer = parent(path, child, own, options) else { continue }
                (self.path, hasUnfinishedMerge) = (path, layer.unfinishedMerge != nil)
                return
            }
        }
    }

    /// A file's image, if the child names it and it is not part of its chain already.
    private func parent(
        _ path: String, _ child: ChainLink, _ own: Set<PosixFile.Identity>, _ options: OpenOptions
    ) -> (any DiskLayer)? {
        guard let link = child.layer.parentLink, let file = try? options.files.quiet.open(path),
            !own.contains(file.identity), (try? ImageOpener.recognise(file.contents)) == child.layer.format
        else { return nil }
        var options = options
        options.format = child.layer.format
        guard let layer = try? ImageOpener.layer(reading: file.contents, options), layer.isNamed(by: link) else {
            return nil
        }
        return layer
    }
}
