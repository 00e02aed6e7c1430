import BlockIO
import Digest

/// Hashes of a whole file, in one pass; holes are not read.
struct FileHash {
    private let digest: MultiDigest
    private let buffer = IOBuffer(byteCount: 1 << 20)

    init(_ algorithms: [DigestAlgorithm]) { digest = MultiDigest(algorithms) }

    func run(_ file: PosixFile, _ byteCount: UInt64, progress: (UInt64) -> Void) throws(IOError)
        -> [(name: String, hex: String)]
    {
        var position: UInt64 = 0
        while position < byteCount {
            let data = try file.data(from: position)
            let start = min(byteCount, max(position, data?.lowerBound ?? byteCount))
            digest.updateZeros(count: start - position)
            position = start
            let end = min(byteCount, data?.upperBound ?? byteCount)
            while position < end {
                let count = Int(min(UInt64(buffer.byteCount), end - position))
                try buffer.fill(count, from: file, at: position)
                digest.update(buffer.bytes(0..<count))
                position += UInt64(count)
                progress(position)
            }
        }
        return digest.finish().map { ($0.algorithm.rawValue, $0.bytes.hexadecimal) }
    }
}
