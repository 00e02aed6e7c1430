import BlockIO
import ByteCodec
public import DiskModel
public import ImageChain
import Glibc

/// A disk at the source, open for reading with all its parents.
public struct SourceDisk {
    public let path: String
    public let chain: ImageChain
    public let blueprint: DiskBlueprint
    /// Taken before anything was read.
    let fingerprint: Fingerprint

    /// - Throws: `DiskError`; raw disks are refused.
    public init(_ path: String, parentFolders: [String], files: FileOpener = .plain) throws(DiskError) {
        self.path = path
        let before = Fingerprint.times(path)
        do { chain = try ImageChain.open(path, OpenOptions(parentFolders: parentFolders, files: files)) } catch {
            guard error.kind == .unrecognised else { throw error }
            var error = error
            error.hint = "only VHD and VHDX disks are replicated; make one of a raw disk first"
            throw error
        }
        blueprint = try DiskBlueprint(chain)
        fingerprint = Fingerprint(chain, leafTimes: before)
    }

    /// Bytes that its files occupy, and so at most about what a copy needs.
    func occupiedBytes() throws(DiskError) -> UInt64 {
        var sum: UInt64 = 0
        for layer in chain.layers { sum = sum.adding(try Folders.occupiedBytes(layer.file.path)) ?? .max }
        return min(sum, blueprint.virtualByteCount)
    }

    /// Which file the leaf is, whatever its name.
    func identity() throws(DiskError) -> PosixFile.Identity {
        do { return try PosixFile(path).identity } catch { throw DiskError(error) }
    }
}

/// What shows that a disk's files were changed: size, time and identities of all layers.
struct Fingerprint: Hashable, Codable {
    struct Times: Hashable, Codable {
        var inode: UInt64 = 0
        var size: Int64 = 0
        /// Nanoseconds since 1970.
        var modified: Int64 = 0
    }
    struct Layer: Hashable, Codable {
        var path: String
        var times: Times
        /// What children name: DataWriteGuid (VHDX) or Unique ID (VHD).
        var identity: String
    }
    var layers: [Layer]

    init(_ chain: ImageChain, leafTimes: Times) {
        layers = chain.layers.enumerated().map { index, layer in
            Layer(
                path: layer.file.path, times: index == 0 ? leafTimes : Self.times(layer.file.path),
                identity: layer.identity.description)
        }
    }

    static func times(_ path: String) -> Times {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return Times() }
        return Times(
            inode: UInt64(status.st_ino), size: Int64(status.st_size),
            modified: Int64(status.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(status.st_mtim.tv_nsec))
    }

    /// In words, what is different now; nil when nothing is.
    func change(to now: Fingerprint) -> String? {
        guard self != now else { return nil }
        guard layers.map(\.path) == now.layers.map(\.path) else { return "its chain of images is another" }
        for (old, new) in zip(layers, now.layers) where old != new {
            let name = splitPath(new.path).name
            if old.times.size != new.times.size {
                return "\(name) has \(new.times.size) bytes, and had \(old.times.size)"
            }
            if old.identity != new.identity { return "\(name) has the id \(new.identity), and had \(old.identity)" }
            if old.times.modified != new.times.modified {
                return "\(name) was modified at \(rfc3339(unixSeconds: new.times.modified / 1_000_000_000))"
            }
            return "\(name) is another file"
        }
        return nil
    }
}
