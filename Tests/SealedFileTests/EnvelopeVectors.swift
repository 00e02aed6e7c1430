import ByteCodec
import Cipher
import Foundation
import Synchronization
import Testing
import ToolTesting

@testable import SealedFile

/// Envelopes made with fixed randomness, in `Fixtures/sealed/envelopes.json`: what other readers of the format can be tested
/// with.
///
/// With `VHDTOOLS_WRITE_VECTORS` set, the test writes the file anew instead of comparing with it.
struct EnvelopeVector: Codable, Equatable {
    /// A secret as a person would give it: a passphrase as text, a key file in hexadecimal, an identity in age's form.
    struct Secret: Codable, Equatable {
        var passphrase, keyFile, identity: String?
        var log2N: UInt8?
        var iterations: UInt32?

        func slotKey() throws -> SlotKey {
            if let passphrase {
                let bytes = Array(passphrase.utf8)
                let secret = SecretBytes(copying: bytes.rawBytes)
                if let log2N { return .passphrase(secret, .scrypt(log2N: log2N)) }
                return .passphrase(secret, .pbkdf2(iterations: try #require(iterations)))
            }
            if let keyFile {
                let bytes = octets(keyFile)
                return .keyFile(SecretBytes(copying: bytes.rawBytes))
            }
            let text = Array(try #require(identity).utf8)
            return .identity(try Identity(text.rawBytes))
        }
    }

    var name: String
    /// 1 for a stream, 2 for an image.
    var kind: UInt16
    var chunkSize: Int
    var creationTime: UInt64
    var secrets: [Secret]
    /// Everything that was drawn: container id, master key, then for each slot 32 bytes of salt, and for a recipient's slot
    /// 32 bytes of ephemeral key behind them, its salt being of no use.
    var random: String
    var envelope = ""
    var headerKey = ""
    var pageKey = ""
    var journalKey = ""
    var streamKey = ""
    var dataKey = ""

    static let path = repositoryFolder + "/Fixtures/sealed/envelopes.json"

    static func stored() throws -> [Self] {
        try JSONDecoder().decode([Self].self, from: Data(contentsOf: URL(fileURLWithPath: path)))
    }

    /// The envelope of this vector's inputs, with its keys.
    func made() throws -> (envelope: Envelope, keys: ContainerKeys) {
        let random = EnvelopeRandomness(octets(self.random))
        let made = try Envelope.create(
            SealedKind(rawValue: kind) ?? .stream, chunkByteCount: chunkSize, for: secrets.map { try $0.slotKey() },
            creationTime: creationTime, random: random.source)
        #expect(random.isExhausted)
        return made
    }

    /// With what comes of the inputs.
    func filled() throws -> Self {
        let (envelope, keys) = try made()
        var result = self
        result.envelope = hexadecimal(envelope.bytes(keys))
        result.headerKey = hexadecimal(keys.headerKey)
        result.pageKey = hexadecimal(keys.pageKey)
        result.journalKey = hexadecimal(keys.journalKey)
        result.streamKey = hexadecimal(keys.streamKey)
        result.dataKey = hexadecimal(keys.dataKey)
        return result
    }
}

extension EnvelopeVector {
    private static let passphrase = Secret(passphrase: "correct horse battery staple", log2N: 14)
    private static let unicode = Secret(passphrase: "pässwörd ✓", iterations: 210_000)
    private static let keyFile = Secret(keyFile: String(repeating: "6b6579", count: 16))
    private static let identity = Secret(
        identity: "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX")

    /// The inputs; the last two are of several slots.
    static let inputs: [Self] = [
        of("scrypt", 1, 65_536, [passphrase]), of("pbkdf2", 1, 65_536, [unicode]),
        of("key file", 1, 65_536, [keyFile]), of("recipient", 1, 65_536, [identity]),
        of("image", 2, 16_384, [keyFile, identity]),
        of("all of an image", 2, 4096, [identity, keyFile, passphrase, unicode, keyFile]),
    ]

    private static func of(_ name: String, _ kind: UInt16, _ chunkSize: Int, _ secrets: [Secret]) -> Self {
        let count = 48 + secrets.map { $0.identity == nil ? 32 : 64 }.reduce(0, +)
        let seed = UInt8(truncatingIfNeeded: name.utf8.reduce(0) { $0 &* 31 &+ UInt($1) })
        let random = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 73) ^ seed }
        return Self(
            name: name, kind: kind, chunkSize: chunkSize, creationTime: 1_767_225_600, secrets: secrets,
            random: hexadecimal(random))
    }
}

/// Gives out recorded bytes, each once.
final class EnvelopeRandomness: Sendable {
    private let bytes: [UInt8]
    private let place = Mutex(0)

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isExhausted: Bool { place.withLock { $0 == bytes.count } }
    var source: RandomSource {
        RandomSource { target in
            let count = target.byteCount
            let start = self.place.withLock { place in
                place += count
                return place - count
            }
            let part = Array(self.bytes[start..<start + count])
            target.copy(part.rawBytes, at: 0)
        }
    }
}

func octets(_ hexadecimal: String) -> [UInt8] {
    let digits = Array(hexadecimal.utf8)
    return stride(from: 0, to: digits.count, by: 2).map {
        UInt8(String(decoding: digits[$0...$0 + 1], as: UTF8.self), radix: 16)!
    }
}

func hexadecimal(_ bytes: [UInt8]) -> String { bytes.map { String(format: "%02x", $0) }.joined() }
func hexadecimal(_ secret: SecretBytes) -> String { hexadecimal([UInt8](copying: secret.bytes)) }
