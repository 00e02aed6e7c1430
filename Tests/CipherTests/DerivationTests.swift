import ByteCodec
import Testing

@testable import Cipher

/// Key wrap, key derivation and codes against what is published.
@Suite struct DerivationTests {
    static let published = PublishedVectors.all

    private func bytes(_ secret: SecretBytes) -> Hexadecimal { Hexadecimal([UInt8](copying: secret.bytes)) }

    @Test func keyWrap() throws {
        #expect(Self.published.keyWrap.cases.count == 1)
        for vector in Self.published.keyWrap.cases {
            let (key, wrapping) = (vector.key.bytes, vector.wrappingKey.bytes)
            #expect(Hexadecimal(KeyWrap.wrap(key.rawBytes, with: wrapping.rawBytes)) == vector.wrapped)
            #expect(bytes(try KeyWrap.unwrap(vector.wrapped.bytes.rawBytes, with: wrapping.rawBytes)) == vector.key)
            for bit in 0..<8 * vector.wrapped.bytes.count {
                var changed = vector.wrapped.bytes
                changed[bit / 8] ^= 1 << UInt8(bit % 8)
                #expect(throws: CipherError.notAuthentic) {
                    try KeyWrap.unwrap(changed.rawBytes, with: wrapping.rawBytes)
                }
            }
            for bit in 0..<8 * wrapping.count {
                var changed = wrapping
                changed[bit / 8] ^= 1 << UInt8(bit % 8)
                #expect(throws: CipherError.notAuthentic) {
                    try KeyWrap.unwrap(vector.wrapped.bytes.rawBytes, with: changed.rawBytes)
                }
            }
        }
    }

    @Test func hkdf() {
        #expect(Self.published.hkdf.cases.count == 3)
        for vector in Self.published.hkdf.cases {
            let (secret, salt, info) = (vector.secret.bytes, vector.salt.bytes, vector.info.bytes)
            let extracted = HKDFSHA256.extract(secret.rawBytes, salt: salt.rawBytes)
            #expect(bytes(extracted) == vector.extracted)
            let byteCount = vector.key.bytes.count
            let expanded = HKDFSHA256.expand(extracted.bytes, info: info.rawBytes, byteCount: byteCount)
            #expect(bytes(expanded) == vector.key)
            let both = HKDFSHA256.key(secret.rawBytes, salt: salt.rawBytes, info: info.rawBytes, byteCount: byteCount)
            #expect(bytes(both) == vector.key)
        }
    }

    @Test func scrypt() throws {
        #expect(Self.published.scrypt.cases.count == 4)
        for vector in Self.published.scrypt.cases where vector.log2N < 20 || LongTests.areWanted {
            let (passphrase, salt) = (vector.passphrase.bytes, vector.salt.bytes)
            let key = try PasswordKeys.scrypt(
                passphrase.rawBytes, salt: salt.rawBytes, log2N: vector.log2N, r: vector.r, p: vector.p,
                byteCount: vector.key.bytes.count)
            #expect(bytes(key) == vector.key)
        }
    }

    @Test func pbkdf2() throws {
        #expect(Self.published.pbkdf2SHA512.cases.count == 4)
        for vector in Self.published.pbkdf2SHA512.cases {
            let (passphrase, salt) = (vector.passphrase.bytes, vector.salt.bytes)
            let key = try PasswordKeys.pbkdf2SHA512(
                passphrase.rawBytes, salt: salt.rawBytes, iterations: vector.iterations,
                byteCount: vector.key.bytes.count)
            #expect(bytes(key) == vector.key)
        }
    }

    /// What the library cannot do is an error, not a key.
    @Test func impossibleCosts() {
        let some: [UInt8] = [1, 2, 3]
        for iterations in [0, UInt32(Int32.max) + 1, .max] {
            #expect(throws: CipherError.derivationFailed) {
                try PasswordKeys.pbkdf2SHA512(some.rawBytes, salt: some.rawBytes, iterations: iterations)
            }
        }
        // 4 PiB, and a cost that scrypt excludes for r = 1.
        for (log2N, r) in [(31, 1 << 14), (16, 1)] {
            #expect(throws: CipherError.derivationFailed) {
                try PasswordKeys.scrypt(some.rawBytes, salt: some.rawBytes, log2N: log2N, r: r, p: 1)
            }
        }
    }

    @Test func hmac() {
        #expect(Self.published.hmac.cases.count == 6)
        for vector in Self.published.hmac.cases {
            let (key, message) = (vector.key.bytes, vector.message.bytes)
            #expect(Hexadecimal(HMACSHA256.code(message.rawBytes, key: key.rawBytes)) == vector.code)
            // In pieces, and twice with one object.
            let code = HMACSHA256(key: key.rawBytes)
            for _ in 0..<2 {
                for octet in message {
                    let one = [octet]
                    code.update(one.rawBytes)
                }
                let none = [UInt8]()
                code.update(none.rawBytes)
                #expect(Hexadecimal(code.finish()) == vector.code)
            }
        }
    }
}
