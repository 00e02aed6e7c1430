import Digest
import Testing

@Suite struct DigestTests {
    @Test(
        "Known digests of abc",
        arguments: [
            (DigestAlgorithm.md5, "900150983cd24fb0d6963f7d28e17f72"),
            (.sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                .sha512,
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                    + "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
            ),
        ])
    func knownValue(algorithm: DigestAlgorithm, expected: String) {
        let message = Array("abc".utf8)
        let digest = Digest.hash(algorithm, unsafe message.span.bytes)
        #expect(digest.hexadecimal == expected)
        #expect(digest.count == algorithm.byteCount)
    }

    @Test func emptyMessage() {
        let empty: [UInt8] = []
        let expected = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        #expect(Digest.hash(.sha256, unsafe empty.span.bytes).hexadecimal == expected)
        #expect(Digest(.sha256).finish().hexadecimal == expected)
    }

    @Test("Pieces, zeros and several algorithms at once give what the whole message gives, again after finish")
    func severalInPieces() {
        let data = (0..<200_003).map { UInt8(truncatingIfNeeded: $0 &* 7 ^ $0 >> 5) }
        let whole = data + [UInt8](repeating: 0, count: 100_001)
        let expected = DigestAlgorithm.allCases.map {
            DigestValue(algorithm: $0, bytes: Digest.hash($0, unsafe whole.span.bytes))
        }
        let digests = MultiDigest(DigestAlgorithm.allCases)
        for cut in [0, 1, 65536, 200_003] {
            let bytes = unsafe data.span.bytes
            digests.update(bytes.extracting(0..<cut))
            digests.update(bytes.extracting(cut..<data.count))
            digests.updateZeros(count: 100_000)
            digests.updateZeros(count: 0)
            digests.updateZeros(count: 1)
            #expect(digests.finish() == expected)
        }
    }

    @Test func hexadecimal() {
        let bytes: [UInt8] = [0, 0x0F, 0x9A, 0xFF]
        #expect(bytes.hexadecimal == "000f9aff")
        #expect(openSSLVersionText.hasPrefix("OpenSSL 3"))
    }
}
