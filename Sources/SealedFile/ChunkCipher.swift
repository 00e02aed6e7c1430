import ByteCodec
import Cipher
import Synchronization

/// Enciphers and deciphers chunks of one container: XAES-256-GCM under the data key; authenticated besides are `C`, the
/// container's id, the chunk's number and its entry's word.
///
/// One owner at a time, hence unchecked: `ChunkCiphers` hands them out.
final class ChunkCipher: @unchecked Sendable {
    private let cipher: XAESGCM
    private var additional: [UInt8]

    init(_ keys: ContainerKeys, containerID: [UInt8]) {
        cipher = XAESGCM(key: keys.dataKey.bytes)
        additional = [0x43] + containerID + .zeros(16)
    }

    private func setAdditional(_ index: UInt64, _ word: UInt64) {
        additional.edit {
            $0.store(index, at: 17, .little)
            $0.store(word, at: 25, .little)
        }
    }

    /// Enciphers in place.
    /// - Parameter tag: 16 bytes, filled.
    func seal(
        _ chunk: inout MutableRawSpan, index: UInt64, word: UInt64, nonce: RawSpan, tag: inout MutableRawSpan
    ) {
        setAdditional(index, word)
        let additional = additional
        cipher.seal(inPlace: &chunk, nonce: nonce, additional: additional.rawBytes, tag: &tag)
    }

    /// Deciphers in place; zeros are left where it is not that chunk.
    func open(_ chunk: inout MutableRawSpan, index: UInt64, entry: ChunkEntry) throws(CipherError) {
        setAdditional(index, entry.word)
        let (additional, secret) = (additional, entry.nonceAndTag)
        let raw = unsafe secret.span.bytes
        try cipher.open(
            inPlace: &chunk, tag: raw.extracting(24..<40), nonce: raw.extracting(0..<24),
            additional: additional.rawBytes)
    }
}

/// Ciphers for as many threads as come, of which some are kept.
final class ChunkCiphers: Sendable {
    private static let keptCount = 8
    private let keys: ContainerKeys
    private let containerID: [UInt8]
    private let idle = Mutex<[ChunkCipher]>([])

    init(_ keys: ContainerKeys, containerID: [UInt8]) { (self.keys, self.containerID) = (keys, containerID) }

    func withOne<Failure: Error, Result>(_ body: (ChunkCipher) throws(Failure) -> Result) throws(Failure) -> Result {
        let cipher = idle.withLock { $0.popLast() } ?? ChunkCipher(keys, containerID: containerID)
        defer { idle.withLock { if $0.count < Self.keptCount { $0.append(cipher) } } }
        return try body(cipher)
    }
}
