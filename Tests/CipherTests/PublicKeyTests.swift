import ByteCodec
import Testing

@testable import Cipher

/// X25519 and HPKE against what is published.
@Suite struct PublicKeyTests {
    static let published = PublishedVectors.all

    private func bytes(_ secret: SecretBytes) -> Hexadecimal { Hexadecimal([UInt8](copying: secret.bytes)) }

    @Test func agreement() throws {
        #expect(Self.published.x25519.cases.count == 4)
        for vector in Self.published.x25519.cases {
            let (own, other) = (vector.private.bytes, vector.public.bytes)
            #expect(bytes(try X25519.sharedSecret(own.rawBytes, other.rawBytes)) == vector.shared)
            if let ownPublic = vector.own {
                #expect(Hexadecimal(try X25519.publicKey(of: own.rawBytes)) == ownPublic)
            }
        }
    }

    /// RFC 7748, section 5.2: the result is the next scalar, and the scalar the next point.
    @Test func iterated() throws {
        var scalar: [UInt8] = [9] + .zeros(31)
        var point = scalar
        for count in 1...1000 {
            let shared = try X25519.sharedSecret(scalar.rawBytes, point.rawBytes)
            (scalar, point) = ([UInt8](copying: shared.bytes), scalar)
            if count == 1 {
                let expected = "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
                #expect(Hexadecimal(scalar).description == expected)
            }
        }
        let expected = "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"
        #expect(Hexadecimal(scalar).description == expected)
    }

    /// Points of small order, with which everybody would share the same secret; keys of other lengths.
    @Test func badKeys() throws {
        let own = Self.published.x25519.cases[2].private.bytes
        var order8: [[UInt8]] = [.zeros(32), [1] + .zeros(31)]
        // p, p - 1 and p + 1, for p = 2^255 - 19.
        for last: UInt8 in [0xED, 0xEC, 0xEE] { order8.append([last] + [UInt8](repeating: 0xFF, count: 30) + [0x7F]) }
        for point in order8 {
            #expect(throws: CipherError.invalidKey) { try X25519.sharedSecret(own.rawBytes, point.rawBytes) }
        }
        for count in [0, 31, 33] {
            let wrong = [UInt8](repeating: 9, count: count)
            #expect(throws: CipherError.invalidKey) { try X25519.publicKey(of: wrong.rawBytes) }
            #expect(throws: CipherError.invalidKey) { try X25519.sharedSecret(own.rawBytes, wrong.rawBytes) }
        }
    }

    @Test func hpkeSeals() throws {
        #expect(Self.published.hpke.cases.count == 1)
        for vector in Self.published.hpke.cases {
            let message = try #require(vector.messages.first)
            let (text, info) = (vector.text.bytes, vector.info.bytes)
            let (recipient, additional) = (vector.recipientPublic.bytes, message.additional.bytes)
            #expect(try X25519.publicKey(of: vector.recipient.bytes.rawBytes) == recipient)
            let sealed = try HPKE.seal(
                text.rawBytes, to: recipient.rawBytes, info: info.rawBytes, additional: additional.rawBytes,
                ephemeral: SecretBytes(copying: vector.ephemeral.bytes.rawBytes))
            #expect(Hexadecimal(sealed.encapsulated) == vector.encapsulated)
            #expect(Hexadecimal(sealed.text) == message.sealed)
            let opened = try HPKE.open(
                sealed, with: SecretBytes(copying: vector.recipient.bytes.rawBytes), info: info.rawBytes,
                additional: additional.rawBytes)
            #expect(bytes(opened) == vector.text)
        }
    }

    /// The key schedule by more than one message: RFC 9180, section 5.2, mixes the number of a message into the nonce.
    @Test func hpkeKeySchedule() throws {
        for vector in Self.published.hpke.cases {
            let shared = try X25519.sharedSecret(vector.recipient.bytes.rawBytes, vector.encapsulated.bytes.rawBytes)
            let context = HPKE.Context(
                shared, vector.encapsulated.bytes, vector.recipientPublic.bytes.rawBytes, vector.info.bytes.rawBytes)
            #expect(vector.messages.count == 4)
            for message in vector.messages {
                var nonce = [UInt8](copying: context.nonce.bytes)
                nonce[11] ^= message.sequence
                let sealed = SealingTests.sealGCM(
                    vector.text.bytes, key: [UInt8](copying: context.key.bytes), nonce: nonce,
                    additional: message.additional.bytes)
                #expect(Hexadecimal(sealed) == message.sealed)
            }
        }
    }

    @Test func hpkeRefuses() throws {
        let vector = Self.published.hpke.cases[0]
        let (info, additional) = (vector.info.bytes, vector.messages[0].additional.bytes)
        let good = HPKE.Sealed(encapsulated: vector.encapsulated.bytes, text: vector.messages[0].sealed.bytes)
        let identity = SecretBytes(copying: vector.recipient.bytes.rawBytes)
        func refuse(_ sealed: HPKE.Sealed, _ identity: SecretBytes, _ info: [UInt8], _ additional: [UInt8]) {
            #expect(throws: CipherError.notAuthentic) {
                try HPKE.open(sealed, with: identity, info: info.rawBytes, additional: additional.rawBytes)
            }
        }
        for place in good.text.indices {
            var changed = good
            changed.text[place] ^= 0x40
            refuse(changed, identity, info, additional)
        }
        for place in good.encapsulated.indices {
            var changed = good
            changed.encapsulated[place] ^= 0x10
            refuse(changed, identity, info, additional)
        }
        refuse(good, identity, info + [0], additional)
        refuse(good, identity, info, additional + [0])
        refuse(good, SecretBytes(byteCount: 32, from: .system), info, additional)
        refuse(HPKE.Sealed(encapsulated: good.encapsulated, text: Array(good.text[..<15])), identity, info, additional)
        #expect(throws: CipherError.invalidKey) {
            try HPKE.open(
                HPKE.Sealed(encapsulated: .zeros(32), text: good.text), with: identity, info: info.rawBytes,
                additional: additional.rawBytes)
        }
    }
}
