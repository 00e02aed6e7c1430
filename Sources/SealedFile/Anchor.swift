import ByteCodec
import Digest
import DiskModel

/// What commits to a sealed image's contents at one moment. Kept elsewhere, it tells later whether somebody put an older or
/// another state in the file's place, which nothing in the file itself can.
///
/// It is no secret.
public struct Anchor: Hashable, Sendable, CustomStringConvertible {
    private static let prefix = "sealed1"
    /// 16 bytes.
    public let containerID: [UInt8]
    /// Counts commits.
    public let generation: UInt64
    /// 32 bytes.
    public let rootDigest: [UInt8]

    public init(containerID: [UInt8], generation: UInt64, rootDigest: [UInt8]) {
        precondition(containerID.count == 16 && rootDigest.count == 32, "16 and 32 bytes")
        (self.containerID, self.generation, self.rootDigest) = (containerID, generation, rootDigest)
    }

    /// From its text; nil for any other text.
    public init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == Self.prefix, let generation = UInt64(parts[2]),
            generation < ChunkEntry.generationLimit, let container = Self.octets(parts[1], 16),
            let digest = Self.octets(parts[3], 32)
        else { return nil }
        self.init(containerID: container, generation: generation, rootDigest: digest)
    }

    /// `sealed1:`, the container's id, the generation and the root digest.
    public var description: String {
        "\(Self.prefix):\(containerID.hexadecimal):\(generation):\(rootDigest.hexadecimal)"
    }

    /// Compares it with a file's state.
    /// - Parameters:
    ///   - containerID: of the file.
    ///   - generation: of its last commit.
    ///   - rootDigest: of its commit of the anchor's generation; nil where that is not known any more.
    ///   - path: of the file.
    /// - Throws: `.key` where the file is older, or another.
    func check(containerID: [UInt8], generation: UInt64, rootDigest: [UInt8]?, path: String) throws(DiskError) {
        let problem: String
        if self.containerID != containerID {
            problem = "it is another container's"
        } else if self.generation > generation {
            problem = "the contents are older: generation \(generation), not \(self.generation)"
        } else if let rootDigest, rootDigest != self.rootDigest {
            problem = "the contents of generation \(self.generation) are not those of the anchor"
        } else {
            return
        }
        throw DiskError(
            .key, path: path, doing: "comparing with the anchor", cause: .message(problem),
            hint: "somebody put another state in the file's place, or the anchor is another file's")
    }

    private static func octets(_ text: Substring, _ count: Int) -> [UInt8]? {
        guard text.utf8.count == 2 * count, text.utf8.allSatisfy({ $0 != 0x2b && $0 != 0x2d }) else { return nil }
        var result: [UInt8] = []
        var rest = text
        while !rest.isEmpty {
            guard let octet = UInt8(rest.prefix(2), radix: 16) else { return nil }
            result.append(octet)
            rest = rest.dropFirst(2)
        }
        return result
    }
}
