import ByteCodec
import Testing

@testable import Cipher

/// AES-256-GCM and XAES-256-GCM against what is published, and what must not open.
@Suite struct SealingTests {
    typealias Vector = PublishedVectors.Seal

    static func sealGCM(_ text: [UInt8], key: [UInt8], nonce: [UInt8], additional: [UInt8]) -> [UInt8] {
        var output = [UInt8].zeros(text.count + AESGCM.tagByteCount)
        var room = output.mutableRawBytes
        AESGCM(key: key.rawBytes).seal(
            text.rawBytes, nonce: nonce.rawBytes, additional: additional.rawBytes, into: &room)
        return output
    }

    static func sealXAES(_ text: [UInt8], key: [UInt8], nonce: [UInt8], additional: [UInt8]) -> [UInt8] {
        var output = [UInt8].zeros(text.count + XAESGCM.tagByteCount)
        var room = output.mutableRawBytes
        XAESGCM(key: key.rawBytes).seal(
            text.rawBytes, nonce: nonce.rawBytes, additional: additional.rawBytes, into: &room)
        return output
    }

    /// What an attempt to open leaves in the output, and whether it succeeded.
    private static func open(_ vector: Vector, _ sealed: [UInt8]) -> (text: [UInt8], isAuthentic: Bool) {
        var output = [UInt8](repeating: 0xEE, count: sealed.count - AESGCM.tagByteCount)
        var room = output.mutableRawBytes
        do throws(CipherError) {
            if vector.nonce.bytes.count == AESGCM.nonceByteCount {
                try AESGCM(key: vector.key.bytes.rawBytes).open(
                    sealed.rawBytes, nonce: vector.nonce.bytes.rawBytes, additional: vector.additional.bytes.rawBytes,
                    into: &room)
            } else {
                try XAESGCM(key: vector.key.bytes.rawBytes).open(
                    sealed.rawBytes, nonce: vector.nonce.bytes.rawBytes, additional: vector.additional.bytes.rawBytes,
                    into: &room)
            }
        } catch {
            #expect(error == .notAuthentic)
            return (output, false)
        }
        return (output, true)
    }

    static let vectors = PublishedVectors.all.gcm.cases + PublishedVectors.all.xaes.cases

    @Test func published() {
        let all = PublishedVectors.all
        #expect(all.gcm.cases.count == 4 && all.xaes.cases.count == 2)
        for vector in all.gcm.cases {
            let sealed = Self.sealGCM(
                vector.text.bytes, key: vector.key.bytes, nonce: vector.nonce.bytes, additional: vector.additional.bytes
            )
            #expect(Hexadecimal(sealed) == vector.sealed)
        }
        for vector in all.xaes.cases {
            let sealed = Self.sealXAES(
                vector.text.bytes, key: vector.key.bytes, nonce: vector.nonce.bytes, additional: vector.additional.bytes
            )
            #expect(Hexadecimal(sealed) == vector.sealed)
        }
    }

    @Test func opens() {
        for vector in Self.vectors {
            let opened = Self.open(vector, vector.sealed.bytes)
            #expect(opened.isAuthentic && opened.text == vector.text.bytes)
        }
    }

    /// Every bit of the sealed text, of the nonce, of the key and of what is covered besides counts; nothing comes out.
    @Test func everyBitCounts() {
        func refused(_ vector: Vector, _ what: String) {
            let opened = Self.open(vector, vector.sealed.bytes)
            let isEmpty = opened.text.allSatisfy { $0 == 0 }
            #expect(!opened.isAuthentic && isEmpty, "\(what)")
        }
        let fields: [WritableKeyPath<Vector, Hexadecimal>] = [\.sealed, \.nonce, \.key, \.additional]
        for vector in Self.vectors {
            for field in fields {
                for bit in 0..<8 * vector[keyPath: field].bytes.count {
                    var changed = vector
                    changed[keyPath: field].bytes[bit / 8] ^= 1 << UInt8(bit % 8)
                    refused(changed, "bit \(bit)")
                }
            }
            var longer = vector
            longer.additional.bytes.append(0)
            refused(longer, "additional bytes")
        }
    }

    /// One object for many messages and keys: nothing of one stays for the next.
    @Test func objectsServeAgain() throws {
        let first = Self.vectors[3]
        let second = Self.vectors[2]
        let cipher = AESGCM(key: first.key.bytes.rawBytes)
        for vector in [first, second, first] {
            cipher.setKey(vector.key.bytes.rawBytes)
            var broken = vector.sealed.bytes
            broken[0] ^= 1
            var text = [UInt8].zeros(vector.text.bytes.count)
            var room = text.mutableRawBytes
            #expect(throws: CipherError.notAuthentic) {
                var room = text.mutableRawBytes
                try cipher.open(
                    broken.rawBytes, nonce: vector.nonce.bytes.rawBytes, additional: vector.additional.bytes.rawBytes,
                    into: &room)
            }
            room = text.mutableRawBytes
            try cipher.open(
                vector.sealed.bytes.rawBytes, nonce: vector.nonce.bytes.rawBytes,
                additional: vector.additional.bytes.rawBytes, into: &room)
            #expect(text == vector.text.bytes)
            var again = [UInt8].zeros(text.count + AESGCM.tagByteCount)
            var sealedRoom = again.mutableRawBytes
            cipher.seal(
                text.rawBytes, nonce: vector.nonce.bytes.rawBytes, additional: vector.additional.bytes.rawBytes,
                into: &sealedRoom)
            #expect(again == vector.sealed.bytes)
        }
    }
}
