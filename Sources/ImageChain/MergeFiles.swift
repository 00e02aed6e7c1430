import BlockIO
import ByteCodec
import DiskModel
import Glibc

/// The files that a merge changes, open for writing under the writer's lock.
protocol MergeFiles: Sendable {
    /// Leaf first.
    var links: [any BlockFile] { get }
    var target: any BlockFile { get }
    /// How the leaf is to name the target, which is at rest, when it becomes its child.
    func reference(to target: any DiskLayer) throws(DiskError) -> ParentReference
    /// Takes a link's name away; durable when it returns.
    func remove(_ link: Int) throws(IOError)
}

/// Files of the host.
struct HostMergeFiles: MergeFiles {
    let paths: [String]
    let targetPath: String
    private let files: [PosixFile]
    private let targetFile: PosixFile
    var links: [any BlockFile] { files }
    var target: any BlockFile { targetFile }

    /// Takes the locks.
    /// - Throws: `.busy` when somebody writes one of them.
    init(links paths: [String], target: String) throws(DiskError) {
        func locked(_ path: String) throws(DiskError) -> PosixFile {
            do throws(IOError) { return try PosixFile(path, .write) } catch {
                var failure = DiskError(error, doing: "opening for writing")
                if error.reason == .errno(EACCES) {
                    failure.hint = "both sides of a merge are written: make the file writable"
                }
                throw failure
            }
        }
        (self.paths, targetPath) = (paths, target)
        var files: [PosixFile] = []
        for path in paths { files.append(try locked(path)) }
        self.files = files
        targetFile = try locked(target)
    }

    var identities: [PosixFile.Identity] { (files + [targetFile]).map(\.identity) }

    func reference(to target: any DiskLayer) throws(DiskError) -> ParentReference {
        try ParentNaming().reference(for: paths[0], to: target, in: targetFile)
    }

    func remove(_ link: Int) throws(IOError) {
        // Another file of that name is not ours to remove.
        guard let there = try? PosixFile(paths[link]), there.identity == files[link].identity else { return }
        guard unsafe unlink(paths[link]) == 0 else { throw IOError("unlink", path: paths[link], .errno(errno)) }
        try syncFolder(of: paths[link])
    }
}
