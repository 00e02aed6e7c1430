import ByteCodec
import Glibc
import Testing

@testable import Cipher

@Suite struct SecretBytesTests {
    @Test func holdsWhatItGot() {
        for count in [0, 1, 16, 4095, 4096, 4097, 10_000] {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 + 1) }
            let secret = SecretBytes(copying: bytes.rawBytes)
            #expect(secret.byteCount == count && [UInt8](copying: secret.bytes) == bytes)
            #expect(secret == SecretBytes(copying: bytes.rawBytes))
            guard count > 0 else { continue }
            var other = bytes
            other[count - 1] ^= 1
            #expect(!(secret == SecretBytes(copying: other.rawBytes)))
            other.removeLast()
            #expect(!(secret == SecretBytes(copying: other.rawBytes)))
        }
    }

    @Test func comparesInFull() {
        func isEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool { equalInConstantTime(left.rawBytes, right.rawBytes) }
        let bytes = [UInt8](0..<64)
        #expect(isEqual(bytes, bytes) && isEqual([], []) && !isEqual(bytes, []))
        for bit in 0..<512 {
            var other = bytes
            other[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(!isEqual(bytes, other))
        }
    }

    @Test func systemRandomness() {
        // Longer than the kernel gives at once; that 32 bytes repeat or stay zero does not happen.
        let first = RandomSource.system.bytes(1000)
        let second = RandomSource.system.bytes(1000)
        for start in stride(from: 0, through: 968, by: 8) {
            #expect(Array(first[start..<start + 32]) != Array(second[start..<start + 32]))
            #expect(Array(first[start..<start + 32]) != .zeros(32))
        }
    }

    /// With the first secret, however it came.
    @Test func noCoreDumps() {
        let secret = SecretBytes(byteCount: 1, from: .system)
        var limit = rlimit()
        #expect(unsafe getrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit) == 0)
        #expect(limit.rlim_cur == 1 && limit.rlim_max == 1 && secret.byteCount == 1)
    }

    @Test func cleansing() {
        var bytes: [UInt8] = [1, 2, 3]
        cleanse(&bytes)
        #expect(bytes.isEmpty)
    }
}
