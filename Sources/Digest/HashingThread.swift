import Dispatch

/// Hashes on a thread of its own, so that reading and hashing overlap; at most a few buffers wait.
///
/// `@unchecked`: the digests are touched by the serial queue only, and by `finish` after the queue has drained.
public final class HashingThread: @unchecked Sendable {
    private let digests: MultiDigest
    private let queue = DispatchQueue(label: "hashing")
    private let room = DispatchSemaphore(value: 8)

    public init(_ algorithms: [DigestAlgorithm]) { digests = MultiDigest(algorithms) }

    /// Continues the message; copies the bytes.
    public func update(_ bytes: RawSpan) {
        let copy = unsafe bytes.withUnsafeBytes { unsafe [UInt8]($0) }
        enqueue { unsafe $0.update(copy.span.bytes) }
    }

    /// Continues the message with zeros.
    public func updateZeros(count: UInt64) { enqueue { $0.updateZeros(count: count) } }

    private func enqueue(_ work: @escaping @Sendable (MultiDigest) -> Void) {
        room.wait()
        queue.async {
            work(self.digests)
            self.room.signal()
        }
    }

    /// The digests, in the order asked for.
    public func finish() -> [DigestValue] { queue.sync { digests.finish() } }
}
