import ByteCodec
import Foundation
import Testing
import ToolTesting

@testable import Cipher

/// Bech32 against BIP 173, and keys against those of `age-keygen`.
@Suite struct AgeKeyTests {
    /// BIP 173's valid strings, with the bytes whose groups of five bits they hold.
    static let valid: [(text: String, prefix: String, bytes: [UInt8])] = [
        ("A12UEL5L", "a", []),
        ("a12uel5l", "a", []),
        (
            "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
            "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio", []
        ),
        (
            "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", "abcdef",
            // The values 0 to 31, each in five bits.
            [
                0x00, 0x44, 0x32, 0x14, 0xC7, 0x42, 0x54, 0xB6, 0x35, 0xCF, 0x84, 0x65, 0x3A, 0x56, 0xD7, 0xC6, 0x75,
                0xBE, 0x77, 0xDF,
            ]
        ),
        (
            "11qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqc8247j", "1",
            .zeros(51)
        ),
        (
            "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w", "split",
            [
                0xC5, 0xF3, 0x8B, 0x70, 0x30, 0x5F, 0x51, 0x9B, 0xF6, 0x6D, 0x85, 0xFB, 0x6C, 0xF0, 0x30, 0x58, 0xF3,
                0xDD, 0xE4, 0x63, 0xEC, 0xD7, 0x91, 0x8F, 0x2D, 0xC7, 0x43, 0x91, 0x8F, 0x2D,
            ]
        ),
        ("?1ezyfcl", "?", []),
    ]

    /// BIP 173's invalid ones; not that of 91 characters, a limit that is not ours.
    static let invalid = [
        "\u{20}1nwldj5", "\u{7F}1axkwrx", "\u{80}1eym55h", "pzry9x0s0muk", "1pzry9x0s0muk", "x1b4n0q5v", "li1dgmt3",
        "de1lg7wt\u{FF}", "A1G7SGD8", "10a06t8", "1qzzfhee",
    ]

    @Test func bip173() throws {
        for (text, prefix, bytes) in Self.valid {
            let decoded = try #require(Bech32.decode(text), "\(text)")
            #expect(decoded.prefix == prefix && decoded.bytes == bytes, "\(text)")
            #expect(Bech32.encode(bytes, prefix: prefix) == text.lowercased())
        }
        for text in Self.invalid { #expect(Bech32.decode(text) == nil, "\(text.debugDescription)") }
    }

    /// Any one character changed, any two neighbours swapped, any one left out, and mixed cases are seen.
    @Test func mistypes() throws {
        let text = Recipient(publicKey: [UInt8](0..<32)).description
        #expect(Recipient(text)?.publicKey == [UInt8](0..<32))
        let characters = Array(text)
        let alphabet = Array("qpzry9x8gf2tvdw0s3jn54khce6mua7l1")
        for place in characters.indices {
            for other in alphabet where other != characters[place] {
                var changed = characters
                changed[place] = other
                #expect(Recipient(String(changed)) == nil)
            }
            var shorter = characters
            shorter.remove(at: place)
            #expect(Recipient(String(shorter)) == nil)
            if place > 0, characters[place] != characters[place - 1] {
                var swapped = characters
                swapped.swapAt(place, place - 1)
                #expect(Recipient(String(swapped)) == nil)
            }
            var mixed = characters
            mixed[place] = Character(mixed[place].uppercased())
            if mixed != characters { #expect(Recipient(String(mixed)) == nil) }
        }
        for other in ["", "age1", Bech32.encode(.zeros(31), prefix: "age"), Bech32.encode(.zeros(33), prefix: "age")] {
            #expect(Recipient(other) == nil)
        }
        #expect(Recipient(Bech32.encode(.zeros(32), prefix: "bge")) == nil)
        #expect(throws: CipherError.invalidKey) { try self.identity(text) }
    }

    private func secretText(_ identity: Identity) -> String {
        String(decoding: [UInt8](copying: identity.secretText().bytes), as: UTF8.self)
    }

    private func identity(_ text: String) throws(CipherError) -> Identity {
        let octets = Array(text.utf8)
        return try Identity(octets.rawBytes)
    }

    @Test func identities() throws {
        let identity = try Identity()
        let text = secretText(identity)
        #expect(text.hasPrefix("AGE-SECRET-KEY-1"))
        let again = try self.identity(text)
        #expect(again.privateKey == identity.privateKey && again.recipient == identity.recipient)
        // A length that is not that of a key, under a right checksum.
        for count in [0, 31, 33] {
            #expect(throws: CipherError.invalidKey) {
                try self.identity(Bech32.encode(.zeros(count), prefix: "age-secret-key-").uppercased())
            }
        }
        // The secret is in no description.
        #expect(!"\(identity)".contains(text) && !String(reflecting: identity).contains(text))
    }

    /// Keys that `age-keygen` made are ours, and ours are age's: it tells the recipient of our identity, and `age` itself
    /// opens with our identity what it sealed to our recipient.
    @Test func ageAgrees() throws {
        guard let keygen = Peer.find("age-keygen"), let age = Peer.find("age") else { return }
        let scratch = try Scratch()
        for _ in 0..<3 {
            let made = try runProgram(keygen, [])
            #expect(made.exit == 0)
            let lines = made.output.split(separator: "\n").map(String.init)
            let secret = try #require(lines.first { $0.hasPrefix("AGE-SECRET-KEY-1") })
            let recipient = try #require(lines.first { $0.hasPrefix("# public key: ") }?.dropFirst(14))
            let identity = try self.identity(secret)
            #expect(identity.recipient.description == recipient)
            #expect(secretText(identity) == secret)

            let own = try Identity()
            let path = try scratch.write("identity", Array((secretText(own) + "\n").utf8))
            let told = try runProgram(keygen, ["-y", path])
            #expect(told.exit == 0 && told.output == own.recipient.description + "\n")
            let text = Array("as it was".utf8)
            let sealed = try runProgram(age, ["-r", own.recipient.description], input: text)
            let opened = try runProgram(age, ["-d", "-i", path], input: sealed.outputBytes)
            #expect(opened.exit == 0 && opened.outputBytes == text)
        }
    }
}
