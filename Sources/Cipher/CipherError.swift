/// Why bytes were not deciphered, or a key not made.
public enum CipherError: Error, Equatable, Sendable {
    /// The tag, or the check of a wrapped key, does not fit: another key, or changed bytes.
    case notAuthentic
    /// A public or private key that is none.
    case invalidKey
    /// A key derivation that the library refuses: its cost is above what memory allows.
    case derivationFailed
}
