import BlockIO
import ByteCodec
import Cipher
import SealedFile

/// An image at some moments of its making, with keys that are known.
enum SealedSample {
    struct State {
        var contents: MemoryFile.Contents
        var disk: [UInt8]
    }

    static let key: SlotKey = {
        let bytes = [UInt8](repeating: 0x5a, count: 32)
        return .keyFile(SecretBytes(copying: bytes.rawBytes))
    }()
    static let longestDisk: UInt64 = 1 << 20
    private static let chunk: UInt64 = 4096
    private static let dataOffset: UInt64 = 393_216 + 262_144
    private static let containerID = [UInt8](repeating: 0x77, count: 16)

    /// The same byte for everything: container, master key, nonces.
    private static let random = RandomSource { bytes in
        for index in 0..<bytes.byteCount { bytes.storeBytes(of: UInt8(0x77), toByteOffset: index, as: UInt8.self) }
    }

    /// Made, written with and without a checkpoint, closed.
    static let states: [State] = {
        let file = MemoryFile()
        var states: [State] = []
        do {
            let image = try SealedImage.create(
                on: file, for: [key], chunkByteCount: Int(chunk), journalByteCount: 262_144, creationTime: 0,
                random: random)
            func note() throws {
                states.append(
                    State(contents: file.contents, disk: try image.bytes(at: 0, count: Int(image.byteCount()))))
            }
            try note()
            for round in UInt8(1)...5 {
                try image.write([UInt8](repeating: round, count: 9000), at: UInt64(round) * 3000)
                try image.write([UInt8](repeating: round, count: 4096), at: 90 * chunk)
                if round > 2 { try image.zero(2 * chunk..<4 * chunk) }
                try image.sync()
                try note()
            }
            try image.close()
            try note()
            let again = try SealedImage(writing: file, secrets: [key], random: random)
            try again.write([UInt8](repeating: 99, count: 4096), at: 0)
            try again.sync()
            states.append(State(contents: file.contents, disk: try again.bytes(at: 0, count: Int(again.byteCount()))))
        } catch { preconditionFailure("\(error)") }
        return states
    }()
    static var disks: [[UInt8]] { states.map(\.disk) }

    /// Where structures and chunks stand.
    static let windows: [Range<UInt64>] =
        [
            0..<200, 65_536..<65_736, 131_072..<131_232, 262_144..<262_304, 131_072..<393_216, 393_216..<dataOffset,
            dataOffset..<dataOffset + 12_288, dataOffset + 12_288..<dataOffset + 24_576,
            dataOffset + 12_288 + 84 * chunk..<dataOffset + 16_384 + 92 * chunk,
        ] + (0..<12).map { 393_216 + $0 * 4096..<393_216 + $0 * 4096 + 512 }

    private static func secret(_ label: String) -> SecretBytes {
        let masterKey = [UInt8](repeating: 0x77, count: 32)
        let info = Array("vhdseal/1/".utf8) + Array(label.utf8) + [0, 1, 0, 2, 0] + containerID
        return HKDFSHA256.expand(masterKey.rawBytes, info: info.rawBytes)
    }
    private static let pageKey = secret("page")
    private static let journalKey = secret("journal")

    /// Makes codes fit again. Digests are left: they show what else a key holder would have to do.
    static func correct(_ contents: inout MemoryFile.Contents, _ flags: UInt8) {
        if flags & 1 != 0 {
            for offset: UInt64 in [131_072, 262_144] {
                correct(&contents, offset, pageKey) { min(4092, integer($0, 88, 2)) * 32 + 128 }
            }
        }
        if flags & 2 != 0 {
            for offset in stride(from: UInt64(393_216), to: dataOffset, by: 4096) {
                guard contents.bytes(offset + 32..<offset + 40) == Array("SEALJRNL".utf8) else { continue }
                correct(&contents, offset, journalKey) {
                    192 + integer($0, 52, 2) * (integer($0, 48, 1) == 1 ? 64 : 16)
                }
            }
        }
        guard flags & 4 != 0 else { return }
        for (level, offset) in [(2, dataOffset), (1, dataOffset + 4096), (0, dataOffset + 8192)] {
            guard offset + 4096 <= contents.byteCount else { continue }
            let place = containerID + [UInt8(level)] + [UInt8](repeating: 0, count: 15)
            let covered = contents.bytes(offset + 32..<offset + 4096) + place
            let code = HMACSHA256.code(covered.rawBytes, key: pageKey.bytes)
            contents.write(code.rawBytes, at: offset)
        }
    }

    private static func correct(
        _ contents: inout MemoryFile.Contents, _ offset: UInt64, _ key: SecretBytes, _ length: ([UInt8]) -> Int
    ) {
        let head = contents.bytes(offset..<offset + 192)
        let end = min(contents.byteCount, offset + UInt64(length(head)))
        guard end > offset + 32 else { return }
        let covered = contents.bytes(offset + 32..<end)
        let code = HMACSHA256.code(covered.rawBytes, key: key.bytes)
        contents.write(code.rawBytes, at: offset)
    }

    private static func integer(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> Int {
        (0..<count).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }
    }
}
