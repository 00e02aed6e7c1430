import ByteCodec
import Glibc

/// Where keys, salts and nonces come from: the system, or in tests and for vectors a fixed sequence.
public struct RandomSource: Sendable {
    /// `getentropy` gives no more at once.
    private static let longestCall = 256
    private let body: @Sendable (inout MutableRawSpan) -> Void

    /// - Parameter body: fills what it gets.
    public init(_ body: @escaping @Sendable (inout MutableRawSpan) -> Void) { self.body = body }

    public func fill(_ bytes: inout MutableRawSpan) { body(&bytes) }

    /// An array of random bytes: for what is no secret, such as salts and nonces.
    public func bytes(_ byteCount: Int) -> [UInt8] {
        var result = [UInt8].zeros(byteCount)
        var raw = result.mutableRawBytes
        body(&raw)
        return result
    }

    /// The kernel's generator. That it cannot give anything stops the process: nothing may be encrypted then.
    public static let system = RandomSource { bytes in
        let byteCount = bytes.byteCount
        let isDone = unsafe bytes.withOctets { octets in
            stride(from: 0, to: byteCount, by: Self.longestCall).allSatisfy { start in
                unsafe getentropy(octets + start, min(Self.longestCall, byteCount - start)) == 0
            }
        }
        precondition(isDone, "the system gives no random bytes")
    }
}
