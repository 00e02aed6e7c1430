import ByteCodec
import Cipher
import Digest

/// A page in memory: 84 entries of chunks (level 0), or the digests of 126 pages of the level below. A digest of zeros: there
/// is no such page, and nothing below it was ever written.
///
/// Used under the image's lock only.
final class ImagePage {
    static let headByteCount = 64
    static let digestByteCount = 32
    static let noDigest = [UInt8].zeros(digestByteCount)

    let id: PageID
    /// All 4096: the head has the code, the number, the generation of the last change, and the level.
    private(set) var bytes: [UInt8]
    /// As the root block in the file leads to it; zeros where it leads to none.
    var rootDigest: [UInt8]
    /// As its parent has it.
    var digest: [UInt8]
    /// Whether it differs from what the root block in the file leads to.
    var isDirty = false
    /// Whether its own code, and its digest in its parent, are behind.
    var isStale = false

    /// An empty one.
    init(_ id: PageID) {
        self.id = id
        bytes = .zeros(ImageLayout.pageByteCount)
        (rootDigest, digest) = (Self.noDigest, Self.noDigest)
        bytes.edit {
            $0.store(id.number, at: 32, .little)
            $0.store(UInt32(id.level), at: 48, .little)
        }
    }

    /// One from the file, with the digest that its parent has of it.
    init(_ id: PageID, bytes: [UInt8], digest: [UInt8]) {
        (self.id, self.bytes, self.digest, rootDigest) = (id, bytes, digest, digest)
    }

    func entry(_ slot: Int) -> ChunkEntry {
        let bytes = bytes
        return ChunkEntry(parsing: bytes.rawBytes, at: Self.headByteCount + slot * ChunkEntry.byteCount)
    }

    func setEntry(_ entry: ChunkEntry, _ slot: Int) {
        bytes.edit { entry.store(into: &$0, at: Self.headByteCount + slot * ChunkEntry.byteCount) }
    }

    /// Of a page below.
    func childDigest(_ slot: Int) -> [UInt8] {
        let start = Self.headByteCount + slot * Self.digestByteCount
        return Array(bytes[start..<start + Self.digestByteCount])
    }

    func setChildDigest(_ digest: [UInt8], _ slot: Int) {
        bytes.edit { $0.copy(digest.rawBytes, at: Self.headByteCount + slot * Self.digestByteCount) }
    }

    func setGeneration(_ generation: UInt64, code: (RawSpan) -> [UInt8]) {
        bytes.edit {
            $0.store(generation, at: 40, .little)
            let code = code($0.bytes.extracting(HMACSHA256.byteCount..<ImageLayout.pageByteCount))
            $0.copy(code.rawBytes, at: 0)
        }
    }
}

extension [UInt8] {
    /// Changes the bytes in place, of an array that an object holds too.
    mutating func edit(_ body: (inout MutableRawSpan) -> Void) {
        var raw = mutableRawBytes
        body(&raw)
    }
}

/// Makes and checks the codes and digests of pages. Used under the image's lock only, hence unchecked.
final class PageCodes: @unchecked Sendable {
    private let code: HMACSHA256
    private let sha = Digest(.sha256)
    private let containerID: [UInt8]

    init(_ keys: ContainerKeys, containerID: [UInt8]) {
        code = HMACSHA256(key: keys.pageKey.bytes)
        self.containerID = containerID
    }

    /// Brings a page's generation and code up to date.
    /// - Returns: its digest.
    func finish(_ page: ImagePage, generation: UInt64) -> [UInt8] {
        page.setGeneration(generation) { code($0, page.id) }
        return digest(page.bytes)
    }

    func digest(_ bytes: [UInt8]) -> [UInt8] {
        sha.update(bytes.rawBytes)
        return sha.finish()
    }

    /// Whether bytes are the page with this digest, and made with our key.
    func isPage(_ bytes: [UInt8], _ id: PageID, digest: [UInt8]) -> Bool {
        guard self.digest(bytes) == digest else { return false }
        let expected = code(bytes.rawBytes.extracting(HMACSHA256.byteCount..<bytes.count), id)
        return equalInConstantTime(expected.rawBytes, bytes.rawBytes.extracting(0..<HMACSHA256.byteCount))
    }

    /// HMAC-SHA-256 over what follows the code, the container's id, the level and the number.
    private func code(_ rest: RawSpan, _ id: PageID) -> [UInt8] {
        code.update(rest)
        var place = containerID + .zeros(16)
        var raw = place.mutableRawBytes
        raw.store(UInt64(id.level), at: 16, .little)
        raw.store(id.number, at: 24, .little)
        code.update(place.rawBytes)
        return code.finish()
    }

    /// SHA-256 of length, generation and the digests of level 2: what commits to all contents.
    func rootDigest(byteCount: UInt64, generation: UInt64, digests: [UInt8]) -> [UInt8] {
        var head = [UInt8].zeros(16)
        var raw = head.mutableRawBytes
        raw.store(byteCount, at: 0, .little)
        raw.store(generation, at: 8, .little)
        sha.update(head.rawBytes)
        if !digests.isEmpty { sha.update(digests.rawBytes) }
        return sha.finish()
    }
}
