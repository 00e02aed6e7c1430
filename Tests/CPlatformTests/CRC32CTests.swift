import CPlatform
import Testing

/// All implementations that this processor can run, not only the one that is chosen.
@Suite struct CRC32CTests {
    static let methods = Array((0..<16).prefix { unsafe vt_crc32c_method($0) != nil })

    private func crc(_ method: Int, _ bytes: ArraySlice<UInt8>, after crc: UInt32 = 0) -> UInt32 {
        unsafe bytes.withUnsafeBytes { unsafe vt_crc32c_with(method, crc, $0.baseAddress, $0.count) }
    }

    /// Bit by bit, from the definition.
    private func reference(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        var remainder = UInt32.max
        for byte in bytes {
            remainder ^= UInt32(byte)
            for _ in 0..<8 { remainder = remainder >> 1 ^ (remainder & 1 == 1 ? 0x82F6_3B78 : 0) }
        }
        return ~remainder
    }

    @Test(arguments: methods) func knownValues(method: Int) {
        #expect(crc(method, []) == 0)
        #expect(crc(method, ArraySlice("123456789".utf8)) == 0xE306_9283)
        #expect(crc(method, ArraySlice(repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(crc(method, ArraySlice(repeating: 0xFF, count: 32)) == 0x62A8_AB43)
        #expect(crc(method, ArraySlice(repeating: 0, count: 65536)) == 0x72C0_C4A4)
    }

    @Test("Lengths around every loop's stride, unaligned and split", arguments: methods)
    func againstReference(method: Int) {
        let bytes = (0..<8192).map { UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761) >> 11) }
        var generator = SystemRandomNumberGenerator()
        let counts = [0, 1, 7, 8, 9, 63, 64, 127, 383, 384, 385, 511, 512, 513, 767, 768, 1023, 3071, 3072, 3500, 7000]
        for count in counts {
            for start in [0, 1, 13, 64] {
                let piece = bytes[start..<start + count]
                let expected = reference(piece)
                #expect(crc(method, piece) == expected)
                let cut = start + Int.random(in: 0...count, using: &generator)
                #expect(crc(method, piece[cut...], after: crc(method, piece[..<cut])) == expected, "cut at \(cut)")
            }
        }
    }

    @Test func chosenIsLast() throws {
        let last = try #require(Self.methods.last)
        let bytes = ArraySlice("any".utf8)
        let chosen = unsafe bytes.withUnsafeBytes { unsafe vt_crc32c(0, $0.baseAddress, $0.count) }
        #expect(chosen == crc(last, bytes))
    }
}
