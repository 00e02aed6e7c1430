import BlockIO
import Cipher
import DiskModel
import Glibc
import SealedFile

/// Measures sealed images beside plain files in one folder, in turn: small writes at random places, and large ones and reading
/// from start to end.
///
/// Prints a line for each: what, bytes a second of wall-clock time, median, and of CPU time.
struct ImageBench {
    private let folder: String
    private let byteCount: UInt64
    private let rounds: Int
    private let secret = SlotKey.keyFile(SecretBytes(byteCount: 32, from: .system))

    /// Pieces as `vhdconvert` writes and `vhdcat` reads them.
    private static let writtenByteCount = 256 << 10
    private static let readByteCount = 512 << 10
    private static let chunkByteCounts = [4096, 16_384, 65_536]
    private static let smallByteCount = 4096
    private static let smallCount = 8192
    /// Small writes from one flush to the next.
    private static let flushedCount = 32

    init(folder: String, byteCount: UInt64, rounds: Int) {
        (self.folder, self.byteCount, self.rounds) = (folder, byteCount, rounds)
    }

    /// From start to end, for some sizes of chunks.
    func large() throws { for chunk in Self.chunkByteCounts { try large(chunk) } }

    private func path(_ name: String) -> String { "\(folder)/sealing-bench.\(getpid()).\(name)" }

    private func withFile(_ name: String, _ body: (PosixFile) throws -> Void) throws {
        let path = path(name)
        let file = try PosixFile(path, .create)
        defer { _ = unsafe unlink(path) }
        try body(file)
    }

    private func sealed(_ file: PosixFile, chunk: Int) throws -> SealedImage {
        try SealedImage.create(on: file, for: [secret], chunkByteCount: chunk, creationTime: 0)
    }

    /// Bytes that no compression or zero page makes cheaper.
    private let text: IOBuffer = {
        let buffer = IOBuffer(byteCount: readByteCount)
        buffer.withMutableBytes(0..<readByteCount) { bytes in
            var state: UInt64 = 1
            for place in stride(from: 0, to: readByteCount, by: 8) {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                bytes.storeBytes(of: state, toByteOffset: place, as: UInt64.self)
            }
        }
        return buffer
    }()

    private func fill(_ file: any BlockFile) throws {
        let text = text
        for offset in stride(from: 0, to: byteCount, by: Self.writtenByteCount) {
            try file.write(text.bytes(0..<Self.writtenByteCount), at: offset)
        }
        try file.sync()
    }

    /// 4 KiB at random places of what is written already, a flush after each 32.
    func small() throws {
        try withFile("plain") { plain in
            try withFile("sealed") { file in
                let image = try sealed(file, chunk: Self.smallByteCount)
                try fill(plain)
                try fill(image)
                var (plainRate, sealedRate) = (Rate("plain, 4 KiB at random"), Rate("sealed, 4 KiB at random"))
                for round in 0..<rounds {
                    try plainRate.measure(Self.smallCount * Self.smallByteCount) { try writeSmall(plain, round) }
                    try sealedRate.measure(Self.smallCount * Self.smallByteCount) { try writeSmall(image, round) }
                }
                plainRate.report()
                sealedRate.report()
                try image.close()
            }
        }
    }

    private func writeSmall(_ file: any BlockFile, _ seed: Int) throws {
        let text = text
        var random = UInt64(seed + 1)
        let places = byteCount / UInt64(Self.smallByteCount)
        for number in 1...Self.smallCount {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let place = (random >> 33) % places
            let start = number * 64 % (Self.writtenByteCount - Self.smallByteCount)
            try file.write(
                text.bytes(start..<start + Self.smallByteCount), at: place * UInt64(Self.smallByteCount))
            if number % Self.flushedCount == 0 { try file.sync() }
        }
    }

    /// From start to end: a new file is written with a flush at the end, and read.
    private func large(_ chunk: Int) throws {
        var plainWrite = Rate("plain, writing")
        var sealedWrite = Rate("sealed, writing, chunks of \(chunk)")
        var plainRead = Rate("plain, reading")
        var sealedRead = Rate("sealed, reading, chunks of \(chunk)")
        for _ in 0..<rounds {
            try withFile("plain") { file in
                try plainWrite.measure(Int(byteCount)) { try fill(file) }
                try plainRead.measure(Int(byteCount)) { try read(file) }
            }
            try withFile("sealed") { file in
                try sealedWrite.measure(Int(byteCount)) {
                    let image = try sealed(file, chunk: chunk)
                    try fill(image)
                    try image.close()
                }
                let image = try SealedImage(reading: file, secrets: [secret])
                try sealedRead.measure(Int(byteCount)) { try read(image) }
            }
        }
        for rate in [plainWrite, sealedWrite, plainRead, sealedRead] { rate.report() }
    }

    private func read(_ file: any BlockFile) throws {
        let buffer = IOBuffer(byteCount: Self.readByteCount)
        for offset in stride(from: 0, to: byteCount, by: Self.readByteCount) {
            try buffer.fill(Self.readByteCount, from: file, at: offset)
        }
    }
}
