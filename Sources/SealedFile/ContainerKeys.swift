import ByteCodec
import Cipher

/// The keys of one container, all from its master key.
public struct ContainerKeys: Sendable {
    let masterKey: SecretBytes
    /// Of the envelope's code.
    let headerKey: SecretBytes
    /// Of an image's root blocks and pages.
    let pageKey: SecretBytes
    /// Of an image's commit records.
    let journalKey: SecretBytes
    /// Of a stream's frames.
    let streamKey: SecretBytes
    /// Of an image's chunks.
    let dataKey: SecretBytes

    init(masterKey: SecretBytes, kind: SealedKind, containerID: [UInt8]) {
        self.masterKey = masterKey
        func key(_ label: String) -> SecretBytes {
            let (suite, kind) = (EnvelopeHeader.knownSuite, kind.rawValue)
            let info =
                Array("vhdseal/1/".utf8) + Array(label.utf8) + [0] + Self.octets(suite) + Self.octets(kind)
                + containerID
            return HKDFSHA256.expand(masterKey.bytes, info: info.rawBytes)
        }
        headerKey = key("header")
        pageKey = key("page")
        journalKey = key("journal")
        streamKey = key("stream")
        dataKey = key("data")
    }

    private static func octets(_ value: UInt16) -> [UInt8] { [UInt8(value & 0xff), UInt8(value >> 8)] }
}
