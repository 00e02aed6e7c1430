import COpenSSL

/// A hash function. The raw value is its name in options and JSON.
public enum DigestAlgorithm: String, CaseIterable, Sendable {
    case md5, sha1, sha256, sha512

    /// Length of the digest.
    public var byteCount: Int {
        switch self {
        case .md5: 16
        case .sha1: 20
        case .sha256: 32
        case .sha512: 64
        }
    }

    /// Whether this system's OpenSSL offers it; one in FIPS mode lacks MD5. Everything else here requires it.
    public var isAvailable: Bool { fetched != nil }

    /// Fetched on first use and kept: fetching costs more than hashing a small block.
    var fetched: FetchedDigest? {
        switch self {
        case .md5: FetchedDigest.md5
        case .sha1: FetchedDigest.sha1
        case .sha256: FetchedDigest.sha256
        case .sha512: FetchedDigest.sha512
        }
    }

    fileprivate var nameForOpenSSL: String {
        switch self {
        case .md5: "MD5"
        case .sha1: "SHA1"
        case .sha256: "SHA2-256"
        case .sha512: "SHA2-512"
        }
    }
}

/// Owns an `EVP_MD`, which OpenSSL lets any number of threads share.
@safe
final class FetchedDigest: @unchecked Sendable {
    static let md5 = FetchedDigest(.md5)
    static let sha1 = FetchedDigest(.sha1)
    static let sha256 = FetchedDigest(.sha256)
    static let sha512 = FetchedDigest(.sha512)

    let pointer: OpaquePointer

    private init?(_ algorithm: DigestAlgorithm) {
        guard let pointer = unsafe EVP_MD_fetch(nil, algorithm.nameForOpenSSL, nil) else {
            ERR_clear_error()
            return nil
        }
        unsafe self.pointer = pointer
    }

    deinit {
        unsafe EVP_MD_free(pointer)
    }
}
