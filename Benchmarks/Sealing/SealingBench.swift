import BlockIO
import Cipher
import DiskModel
import Glibc
import SealedFile

/// Measures how fast streams are sealed and opened, from memory to nowhere, or sealed images in a folder.
///
/// Usage: sealing-bench [MIB [ROUNDS]]
///        sealing-bench --small FOLDER [MIB [ROUNDS]]
///        sealing-bench --large FOLDER [MIB [ROUNDS]]
///
/// Seals a stream of MIB MiB (256) and opens it again, ROUNDS times (8). The sealed stream is in memory, from where opening
/// copies it, as it would from the system. Prints a line for each of `seal`, `unseal` and that `copy` alone: bytes of text a
/// second of wall-clock time, median, and of CPU time. With a folder, what `ImageBench` measures there.
@main struct SealingBench {
    static func main() throws {
        var arguments = Array(CommandLine.arguments.dropFirst())
        var images: (way: String, folder: String)?
        if arguments.count > 1, ["--small", "--large"].contains(arguments[0]) {
            images = (arguments[0], arguments[1])
            arguments.removeFirst(2)
        }
        let byteCount = (arguments.count > 0 ? Int(arguments[0]) ?? 256 : 256) << 20
        let rounds = max(1, arguments.count > 1 ? Int(arguments[1]) ?? 8 : 8)
        if let images {
            let bench = ImageBench(folder: images.folder, byteCount: UInt64(byteCount), rounds: rounds)
            return try images.way == "--small" ? bench.small() : bench.large()
        }
        let bench = Bench(byteCount: byteCount)
        try bench.fill()
        try measure("seal", byteCount, rounds) { try bench.seal { _ in } }
        try measure("unseal", byteCount, rounds) { try bench.unseal() }
        try measure("copy", byteCount, rounds) { bench.copy() }
    }

    static func measure(_ name: String, _ byteCount: Int, _ rounds: Int, _ body: () throws -> Void) throws {
        var rate = Rate(name)
        for _ in 0..<rounds { try rate.measure(byteCount, body) }
        rate.report()
    }
}

private final class Bench {
    private let byteCount: Int
    private let secret: SlotKey
    private let piece = IOBuffer(byteCount: 64 << 10)
    private let sealed: IOBuffer
    private var sealedByteCount = 0

    init(byteCount: Int) {
        self.byteCount = byteCount
        secret = .keyFile(SecretBytes(byteCount: 32, from: .system))
        // Heads, words and tags are far less than a hundredth.
        sealed = IOBuffer(byteCount: byteCount + byteCount / 100 + 4096)
    }

    /// Makes what will be opened.
    func fill() throws {
        var end = 0
        let sealed = sealed
        try seal { bytes in
            sealed.withMutableBytes(end..<end + bytes.byteCount) { part in
                unsafe part.withUnsafeMutableBytes { to in
                    unsafe bytes.withUnsafeBytes { unsafe to.copyMemory(from: $0) }
                }
            }
            end += bytes.byteCount
        }
        sealedByteCount = end
    }

    func seal(_ sink: @escaping (RawSpan) -> Void) throws {
        let piece = piece
        let writer = try SealedStreamWriter(for: [secret]) { (bytes) throws(IOError) in sink(bytes) }
        for _ in 0..<byteCount / piece.byteCount { try writer.write(piece.bytes(0..<piece.byteCount)) }
        try writer.finish()
    }

    /// Reads what `unseal` reads.
    func copy() {
        var offset = 0
        while offset < sealedByteCount { offset += piece.withMutableBytes(0..<piece.byteCount) { give(&$0, offset) } }
    }

    private func give(_ bytes: inout MutableRawSpan, _ offset: Int) -> Int {
        let sealed = sealed
        let part = sealed.bytes(offset..<min(sealedByteCount, offset + bytes.byteCount))
        unsafe bytes.withUnsafeMutableBytes { to in unsafe part.withUnsafeBytes { unsafe to.copyMemory(from: $0) } }
        return part.byteCount
    }

    func unseal() throws {
        var offset = 0
        let reader = try SealedStreamReader(secrets: [secret], path: "(memory)") { (bytes) throws(IOError) in
            let count = self.give(&bytes, offset)
            offset += count
            return count
        }
        var text = 0
        try reader.forEachPiece { (bytes) throws(DiskError) in text += bytes.byteCount }
        precondition(reader.isComplete && text == byteCount, "the stream came back whole")
    }
}
