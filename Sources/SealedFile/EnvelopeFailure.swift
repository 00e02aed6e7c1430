import ByteCodec
import Cipher
public import DiskModel

/// Failures of opening and making envelopes, as people read them: alike for streams and images.
public enum EnvelopeFailure {
    /// None of the keys at hand is the right one, which cannot be told from an envelope that was changed.
    public static func notOpened(path: String) -> DiskError {
        DiskError(
            .key, path: path, doing: "opening the envelope",
            cause: .message("none of the secrets opens it, or it was changed"),
            hint: "give the passphrase, key file or identity that it was sealed for")
    }

    /// A key that could not be had.
    static func key(_ error: CipherError, path: String) -> DiskError {
        switch error {
        case .notAuthentic: notOpened(path: path)
        case .invalidKey: DiskError(.key, path: path, "a key given is none", hint: "check the recipient's key")
        case .derivationFailed:
            DiskError(
                .refused, path: path, "the passphrase's key cannot be derived: there is too little memory for its cost",
                hint: "free memory, or use another of its keys")
        }
    }
}
