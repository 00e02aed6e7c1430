import CPlatform
import Testing

@Suite struct BytesTests {
    private func sum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        unsafe bytes.withUnsafeBytes { unsafe vt_byte_sum($0.baseAddress, $0.count) }
    }

    private func portableSum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        unsafe bytes.withUnsafeBytes { unsafe vt_byte_sum_portable($0.baseAddress, $0.count) }
    }

    @Test func byteSum() {
        let bytes = (0..<10_000).map { UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761) >> 11) }
        for count in [0, 1, 7, 8, 31, 32, 127, 128, 129, 1023, 1024, 1025, 9000] {
            for start in [0, 1, 5, 32] {
                let piece = bytes[start..<start + count]
                let expected = piece.reduce(0 as UInt32) { $0 + UInt32($1) }
                #expect(sum(piece) == expected)
                #expect(portableSum(piece) == expected)
            }
        }
    }

    @Test("A sum beyond 32 bits wraps, and no lane overflows before that") func byteSumWraps() {
        let count = 18 << 20
        let bytes = ArraySlice<UInt8>(repeating: 0xFF, count: count)
        let expected = UInt32(truncatingIfNeeded: 255 * count)
        #expect(sum(bytes) == expected)
        #expect(portableSum(bytes) == expected)
    }

    @Test("One byte that is not zero is seen wherever it stands, and none outside") func isZero() {
        for count in [0, 1, 63, 64, 65, 127, 128, 200] {
            var bytes = [UInt8](repeating: 0, count: count + 2)
            bytes[0] = 1
            bytes[count + 1] = 1
            func isZero() -> Bool {
                unsafe bytes[1..<count + 1].withUnsafeBytes { unsafe vt_is_zero($0.baseAddress, $0.count) }
            }
            #expect(isZero())
            for at in 1..<count + 1 {
                bytes[at] = 0x80
                #expect(!isZero(), "\(at) of \(count)")
                bytes[at] = 0
            }
        }
    }
}
