import COpenSSL

/// The running hash of a message.
///
/// Hashing cannot fail short of memory; that, and an algorithm that is not available, stop the process.
@safe
public final class Digest {
    public let algorithm: DigestAlgorithm
    private let fetched: FetchedDigest
    private let context: OpaquePointer

    public init(_ algorithm: DigestAlgorithm) {
        guard let fetched = algorithm.fetched else {
            preconditionFailure("OpenSSL offers no \(algorithm.rawValue): check isAvailable first")
        }
        guard let context = unsafe EVP_MD_CTX_new() else { preconditionFailure("out of memory") }
        self.algorithm = algorithm
        self.fetched = fetched
        unsafe self.context = context
        start()
    }

    deinit {
        unsafe EVP_MD_CTX_free(context)
    }

    private func start() {
        let started = unsafe EVP_DigestInit_ex2(context, fetched.pointer, nil)
        precondition(started == 1, "EVP_DigestInit_ex2 failed")
    }

    /// Continues the message.
    public func update(_ bytes: RawSpan) {
        let updated = unsafe bytes.withUnsafeBytes { buffer in
            unsafe EVP_DigestUpdate(context, buffer.baseAddress, buffer.count)
        }
        precondition(updated == 1, "EVP_DigestUpdate failed")
    }

    /// Continues the message with zeros.
    public func updateZeros(count: UInt64) {
        forEachZeroPiece(count: count) { update($0) }
    }

    /// The digest of the message; the next update begins another message.
    public func finish() -> [UInt8] {
        let digest = unsafe [UInt8](unsafeUninitializedCapacity: algorithm.byteCount) { buffer, count in
            let finished = unsafe EVP_DigestFinal_ex(context, buffer.baseAddress, nil)
            precondition(finished == 1, "EVP_DigestFinal_ex failed")
            count = buffer.count
        }
        start()
        return digest
    }

    /// The digest of a message at hand.
    public static func hash(_ algorithm: DigestAlgorithm, _ bytes: RawSpan) -> [UInt8] {
        let digest = Digest(algorithm)
        digest.update(bytes)
        return digest.finish()
    }
}
