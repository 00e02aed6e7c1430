import BlockIO
import ByteCodec
import DiskModel
import Glibc
import Synchronization

/// The files that a merge changes, open for writing under the writer's lock.
protocol MergeFiles: Sendable {
    /// Leaf first.
    var links: [any BlockFile] { get }
    /// What an interrupted merge left between the leaf and the target, which the leaf names already; the lowest last.
    var leftovers: [any BlockFile] { get }
    var target: any BlockFile { get }
    /// How the leaf is to name the target, which is at rest, when it becomes its child.
    /// - Parameter keepsTrace: whether its absolute path is to lead to the image that was its parent, by which the same
    ///   merge, run again, finds what is still to be removed. Readers find the target by its relative path.
    func reference(to target: any DiskLayer, keepsTrace: Bool) throws(DiskError) -> ParentReference
    /// Sees that the target still goes by its name: a name that leads to another file, or nowhere, would be all that is
    /// left.
    func checkTarget() throws(DiskError)
    /// Takes the name of a link or leftover away; durable when it returns.
    func remove(_ file: any BlockFile) throws(IOError)
}

/// Files of the host.
struct HostMergeFiles: MergeFiles {
    private let linkFiles: [OpenedFile]
    private let leftoverFiles: [OpenedFile]
    private let targetFile: OpenedFile
    var links: [any BlockFile] { linkFiles.map(\.contents) }
    var leftovers: [any BlockFile] { leftoverFiles.map(\.contents) }
    var target: any BlockFile { targetFile.contents }
    /// The names that were taken away, as the merge knows them.
    let removedNames = RemovedNames()

    /// Takes the locks.
    /// - Throws: `.busy` when somebody writes one of them.
    init(_ outline: MergeOutline, _ options: OpenOptions) throws(DiskError) {
        func locked(_ paths: [String]) throws(DiskError) -> [OpenedFile] {
            var files: [OpenedFile] = []
            for path in paths { files.append(try Self.locked(path, options)) }
            return files
        }
        linkFiles = try locked(outline.links)
        leftoverFiles = try locked(outline.leftovers)
        targetFile = try Self.locked(outline.target, options)
    }

    private static func locked(_ path: String, _ options: OpenOptions) throws(DiskError) -> OpenedFile {
        do throws(DiskError) { return try options.files.open(path, .write, doing: "opening for writing") } catch {
            var failure = error
            if error.ioError?.reason == .errno(EACCES) {
                failure.hint = "both sides of a merge are written: make the file writable"
            }
            throw failure
        }
    }

    /// In the order of `MergeOutline.identities`.
    var identities: [PosixFile.Identity] { (linkFiles + [targetFile] + leftoverFiles).map(\.identity) }

    func reference(to target: any DiskLayer, keepsTrace: Bool) throws(DiskError) -> ParentReference {
        var result = try ParentNaming().reference(for: linkFiles[0].path, to: target, in: targetFile.host)
        if keepsTrace, let former = (linkFiles.dropFirst() + leftoverFiles).first {
            result.absolutePath = try MergeTrace.text(for: former.path)
        }
        return result
    }

    func checkTarget() throws(DiskError) {
        guard (try? PosixFile(targetFile.path).identity) != targetFile.identity else { return }
        throw DiskError(
            .refused, path: targetFile.path,
            "it was removed, renamed or replaced during the merge: the merged data is in the file that had this name",
            hint: "no further image is removed; bring that file back, and run the merge again")
    }

    func remove(_ file: any BlockFile) throws(IOError) {
        // Another file of that name is not ours to remove.
        guard let own = file.storage, let there = try? PosixFile(own.path), there.identity == own.identity else {
            return
        }
        var paths = [own.path]
        // A link that led to it would lead nowhere.
        if let real = realPath(own.path), isSymbolicLink(own.path) { paths.append(real) }
        for path in paths {
            guard unsafe unlink(path) == 0 else { throw IOError("unlink", path: path, .errno(errno)) }
            if path == own.path { removedNames.add(path) }
            try syncFolder(of: path)
        }
    }

    /// Whether names can be removed in the folders where that will be done, as far as that can be told before.
    func checkFolders() throws(DiskError) {
        for file in linkFiles + leftoverFiles {
            let folder = splitPath(realPath(file.path) ?? file.path).folder
            guard unsafe access(folder, W_OK) != 0 else { continue }
            throw DiskError(
                IOError("unlink", path: file.path, .errno(errno)), doing: "looking at its folder before the merge")
        }
    }

    private func isSymbolicLink(_ path: String) -> Bool {
        var status = stat()
        return unsafe lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
    }
}

/// Names that are gone, in the order in which they went.
final class RemovedNames: Sendable {
    private let names = Mutex<[String]>([])
    var all: [String] { names.withLock { $0 } }
    func add(_ name: String) { names.withLock { $0.append(name) } }
}

/// The mark that a leaf bears while the images between it and the target are being removed: its parent is the target, by
/// its relative path, and its absolute path leads to the image that was its parent.
enum MergeTrace {
    static func text(for path: String) throws(DiskError) -> String? {
        ParentNaming.backslashed(try ParentNaming.realPath(path))
    }

    /// The image that a mark leads to and those it stands on, where these end without a parent: what is left after an image
    /// between was removed and the merge ended there. That they belong to it cannot be proven.
    static func strays(of leaf: ChainLink, above target: PosixFile.Identity, _ options: OpenOptions) -> [String] {
        for locator in leaf.layer.parentLink?.locators ?? [] where locator.kind == .absolute {
            guard let path = path(locator), let links = try? ImageChain.walk(path, options.quiet).links,
                links.last?.parentError != nil
            else { continue }
            let found = links.map { try? PosixFile($0.path).identity }
            guard let own = try? PosixFile(leaf.path).identity, !found.contains(own), !found.contains(target) else {
                continue
            }
            return links.map(\.path)
        }
        return []
    }

    private static func path(_ locator: ParentLocator) -> String? {
        guard locator.path.hasPrefix("\\"), !locator.path.hasPrefix("\\\\") else { return nil }
        return String(locator.path.map { $0 == "\\" ? "/" : $0 })
    }

    /// The images that a mark leads to: from the leaf's former parent down to the target, without it. Empty without a mark,
    /// and where the former parent does not stand on this very target or the two bear no sign of a merge: a path alone must
    /// not lead to the removal of a file.
    static func leftovers(of leaf: ChainLink, above target: PosixFile.Identity, _ options: OpenOptions) -> [String] {
        for locator in leaf.layer.parentLink?.locators ?? [] where locator.kind == .absolute {
            guard let path = path(locator), let first = try? PosixFile(path).identity, first != target,
                let links = try? ImageChain.walk(path, options.quiet).links,
                let end = links.firstIndex(where: { (try? PosixFile($0.path).identity) == target }), end > 0,
                let merge = links[end].layer.unfinishedMerge, leaf.layer.bears(merge: merge)
            else { continue }
            // A copy of the leaf is none of those between.
            guard !links.prefix(end).contains(where: { $0.layer.identity == leaf.layer.identity }) else { continue }
            let names = links.prefix(end).map(\.path)
            // The leaf itself is none of them.
            guard let own = try? PosixFile(leaf.path).identity,
                !names.contains(where: { (try? PosixFile($0).identity) == own })
            else { continue }
            return names
        }
        return []
    }
}
