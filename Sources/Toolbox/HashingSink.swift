import ByteCodec
public import Digest
import DiskModel

/// Contents on their way to another sink, hashed by the way on a thread of its own; to no other sink where only the hashes are
/// wanted.
public final class HashingSink: ContentsSink {
    private let sink: (any ContentsSink)?
    private let hashing: HashingThread?
    /// Of all that came, when it is finished.
    public private(set) var hashes: [(name: String, hex: String)] = []

    public init(_ sink: (any ContentsSink)?, _ algorithms: [DigestAlgorithm]) {
        self.sink = sink
        hashing = algorithms.isEmpty ? nil : HashingThread(algorithms)
    }

    public func data(_ offset: UInt64, _ bytes: RawSpan) throws {
        hashing?.update(bytes)
        try sink?.data(offset, bytes)
    }

    public func zeros(_ offset: UInt64, _ byteCount: UInt64) throws {
        hashing?.updateZeros(count: byteCount)
        try sink?.zeros(offset, byteCount)
    }

    public func finish() throws {
        hashes = (hashing?.finish() ?? []).map { (name: $0.algorithm.rawValue, hex: $0.bytes.hexadecimal) }
        try sink?.finish()
    }

    /// Lines as of `sha256sum`, with the algorithm behind.
    public func lines(_ name: String) -> [String] {
        hashes.map { "\($0.hex)  \(printable(name))  (\($0.name))" }
    }

    /// The document's `hashes`.
    public var document: JSONValue { .object(hashes.map { .init($0.name, .string($0.hex)) }) }
}
