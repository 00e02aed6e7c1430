/// The running hashes of one message by several algorithms, in one pass.
public final class MultiDigest {
    /// Pieces fit the processor's cache, so that only the first algorithm waits for memory.
    private static let pieceByteCount = 1 << 16

    private let digests: [Digest]

    /// No algorithms are allowed: then updates cost nothing.
    public init(_ algorithms: [DigestAlgorithm]) {
        digests = algorithms.map(Digest.init)
    }

    /// Continues the message.
    public func update(_ bytes: RawSpan) {
        guard digests.count > 1 else {
            digests.first?.update(bytes)
            return
        }
        var start = 0
        while start < bytes.byteCount {
            let end = min(start + Self.pieceByteCount, bytes.byteCount)
            let piece = bytes.extracting(start..<end)
            for digest in digests { digest.update(piece) }
            start = end
        }
    }

    /// Continues the message with zeros.
    public func updateZeros(count: UInt64) {
        for digest in digests { digest.updateZeros(count: count) }
    }

    /// The digests of the message, in the order of the algorithms given; the next update begins another message.
    public func finish() -> [DigestValue] {
        digests.map { DigestValue(algorithm: $0.algorithm, bytes: $0.finish()) }
    }
}

/// A digest and what made it.
public struct DigestValue: Hashable, Sendable {
    public let algorithm: DigestAlgorithm
    public let bytes: [UInt8]

    public init(algorithm: DigestAlgorithm, bytes: [UInt8]) {
        self.algorithm = algorithm
        self.bytes = bytes
    }
}
