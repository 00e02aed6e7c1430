public import BlockIO
public import ByteCodec
public import DiskModel
import Digest
import Glibc

/// What tells that an image was changed while nobody tracked it: a VHDX's DataWriteGuid, which every writer of visible data
/// must change; for other images the file's size, its time of modification and its last 512 bytes, where a VHD has its
/// footer. docs/formats/hrl-map.md, Fingerprint.
public enum ImageFingerprint: Equatable, Sendable {
    case dataWriteGUID(GUID)
    case file(FileFacts)

    public struct FileFacts: Equatable, Sendable {
        public var byteCount: UInt64
        /// Nanoseconds of Unix time.
        public var modificationTime: Int64
        /// SHA-256 of the last 512 bytes, or of the whole file where it is shorter; 32 bytes.
        public var tailDigest: [UInt8]

        public init(byteCount: UInt64, modificationTime: Int64, tailDigest: [UInt8]) {
            precondition(tailDigest.count == DigestAlgorithm.sha256.byteCount)
            (self.byteCount, self.modificationTime) = (byteCount, modificationTime)
            self.tailDigest = tailDigest
        }
    }

    /// Of an image as it stands. At a clean end it is taken after the image's last write and flush.
    /// - Throws: `.io` when the file cannot be read.
    public init(of layer: any DiskLayer) throws(DiskError) {
        guard layer.format == .vhdx else {
            self = try Self(of: layer.file)
            return
        }
        self = .dataWriteGUID(layer.identity.id)
    }

    /// Of a raw or VHD image's file. A file that is none of the host's counts as never modified.
    /// - Throws: `.io` when it cannot be read.
    public init(of file: any BlockFile) throws(DiskError) {
        do throws(IOError) {
            let byteCount = try file.byteCount()
            let tailCount = Int(min(512, byteCount))
            let tail = try file.bytes(at: byteCount - UInt64(tailCount), count: tailCount)
            let time = try file.hostFile?.status().st_mtim
            let nanoseconds = time.map { Int64($0.tv_sec) &* 1_000_000_000 &+ Int64($0.tv_nsec) }
            self = .file(
                FileFacts(
                    byteCount: byteCount, modificationTime: nanoseconds ?? 0,
                    tailDigest: Digest.hash(.sha256, tail.rawBytes)))
        } catch {
            throw DiskError(error, doing: "taking the image's fingerprint")
        }
    }

    /// What is otherwise in the image now, in words; nil when nothing is.
    /// - Parameter now: the same image's fingerprint, taken later.
    public func difference(to now: ImageFingerprint) -> String? {
        switch (self, now) {
        case (.dataWriteGUID(let old), .dataWriteGUID(let new)):
            return old == new ? nil : "its DataWriteGuid was \(old) and is \(new)"
        case (.file(let old), .file(let new)):
            if old.byteCount != new.byteCount { return "it had \(old.byteCount) bytes and has \(new.byteCount)" }
            if old.tailDigest != new.tailDigest { return "its last 512 bytes are others" }
            if old.modificationTime != new.modificationTime { return "it was modified since" }
            return nil
        default: return "it is of another format"
        }
    }
}
