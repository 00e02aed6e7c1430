import Foundation
import ToolTesting

/// `Fixtures/sealed/published.json`: what standards and specifications print, each group with its source.
struct PublishedVectors: Decodable, Sendable {
    struct Group<Case: Decodable & Sendable>: Decodable, Sendable { var cases: [Case] }

    struct Seal: Decodable, Sendable { var key, nonce, text, additional, sealed: Hexadecimal }
    struct Wrap: Decodable, Sendable { var wrappingKey, key, wrapped: Hexadecimal }
    struct Derivation: Decodable, Sendable { var secret, salt, info, extracted, key: Hexadecimal }
    struct Scrypt: Decodable, Sendable {
        var passphrase, salt, key: Hexadecimal
        var log2N, r, p: Int
    }
    struct PBKDF2: Decodable, Sendable {
        var passphrase, salt, key: Hexadecimal
        var iterations: UInt32
    }
    struct Code: Decodable, Sendable { var key, message, code: Hexadecimal }
    struct Agreement: Decodable, Sendable {
        var `private`, `public`, shared: Hexadecimal
        /// The public key of `private`.
        var own: Hexadecimal?
    }
    struct PublicKeyMessages: Decodable, Sendable {
        struct Message: Decodable, Sendable {
            var sequence: UInt8
            var additional, sealed: Hexadecimal
        }
        var info, recipient, ephemeral, recipientPublic, encapsulated, text: Hexadecimal
        var messages: [Message]
    }

    var gcm: Group<Seal>
    var xaes: Group<Seal>
    var keyWrap: Group<Wrap>
    var hkdf: Group<Derivation>
    var scrypt: Group<Scrypt>
    var pbkdf2SHA512: Group<PBKDF2>
    var hmac: Group<Code>
    var x25519: Group<Agreement>
    var hpke: Group<PublicKeyMessages>

    static let all = try! JSONDecoder().decode(
        Self.self, from: Data(contentsOf: URL(fileURLWithPath: repositoryFolder + "/Fixtures/sealed/published.json")))
}

/// Bytes, in hexadecimal where they are text.
struct Hexadecimal: Decodable, Equatable, Sendable, CustomStringConvertible {
    var bytes: [UInt8]
    var description: String { bytes.map { String(format: "%02x", $0) }.joined() }

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    init(from decoder: any Decoder) throws {
        let digits = Array(try decoder.singleValueContainer().decode(String.self).utf8)
        bytes = try stride(from: 0, to: digits.count, by: 2).map { place in
            guard place + 1 < digits.count,
                let octet = UInt8(String(decoding: digits[place...place + 1], as: UTF8.self), radix: 16)
            else { throw CocoaError(.formatting) }
            return octet
        }
    }
}
