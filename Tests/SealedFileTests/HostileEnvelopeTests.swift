import BlockIO
import ByteCodec
import Cipher
import DiskModel
import FaultInjection
import Glibc
import Synchronization
import Testing

@testable import SealedFile

/// What a hostile file can make a reader do before any key is found: little, whatever it says.
@Suite struct HostileEnvelopeTests {
    /// Counts what is read.
    private final class CountingFile: BlockFile {
        private let base: MemoryFile
        let read = Mutex((total: 0, largest: 0))

        init(_ contents: MemoryFile.Contents) { base = MemoryFile(contents) }
        var path: String { base.path }
        func byteCount() -> UInt64 { base.byteCount() }
        func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
            let count = buffer.byteCount
            read.withLock { $0 = ($0.total + count, max($0.largest, count)) }
            try base.read(into: &buffer, at: offset)
        }
        func write(_ bytes: RawSpan, at offset: UInt64) { Issue.record("a reader writes") }
        func resize(to byteCount: UInt64) { Issue.record("a reader resizes") }
        func zero(_ range: Range<UInt64>) { Issue.record("a reader makes zeros") }
        func sync() { Issue.record("a reader flushes") }
        func data(from offset: UInt64) -> Range<UInt64>? { base.data(from: offset) }
    }

    private static let passphrase = SlotKey.passphrase(EnvelopeTests.secret(Array("guess".utf8)), .standard)

    private static func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
        (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> T(8 * $0)) }
    }

    /// - Parameter length: nil for the right one.
    private static func envelope(
        kind: UInt16, slotCount: UInt16 = 1, length: UInt32? = nil, chunk: UInt32? = nil, slots: [UInt8]
    ) -> [UInt8] {
        let size = length ?? UInt32(64 + slots.count + 32)
        return EnvelopeHeader.signature + little(UInt16(1)) + little(UInt16(1)) + little(kind) + little(slotCount)
            + little(size) + .zeros(8) + little(chunk ?? (kind == 1 ? 65_536 : 16_384)) + .zeros(32) + slots
            + .zeros(32)
    }

    private static func slot(_ type: UInt16, _ body: [UInt8], length: UInt16? = nil) -> [UInt8] {
        little(type) + little(length ?? UInt16(body.count)) + body
    }

    private static func scrypt(_ log2N: UInt8, _ r: UInt8 = 8, _ p: UInt8 = 1) -> [UInt8] {
        slot(1, [log2N, r, p, 0] + .zeros(72))
    }

    private static func hostile(kind: UInt16) -> [(name: String, bytes: [UInt8])] {
        var list: [(String, [UInt8])] = []
        for log2N in [UInt8(0), 13, 21, 30, 31, 63, 64, 255] {
            list.append(("scrypt 2^\(log2N)", envelope(kind: kind, slots: scrypt(log2N))))
        }
        list += [
            ("scrypt r", envelope(kind: kind, slots: scrypt(14, 255))),
            ("scrypt p", envelope(kind: kind, slots: scrypt(14, 8, 255))),
            ("PBKDF2", envelope(kind: kind, slots: slot(2, little(UInt32.max) + .zeros(72)))),
            // Behind one that costs what is accepted: nothing is computed before all are looked at.
            ("the last of two", envelope(kind: kind, slotCount: 2, slots: scrypt(20) + scrypt(30))),
            (
                "33 slots",
                envelope(kind: kind, slotCount: 33, slots: [[UInt8]](repeating: scrypt(14), count: 33).flatMap { $0 })
            ),
            ("65535 slots", envelope(kind: kind, slotCount: .max, slots: scrypt(14))),
            ("no slot", envelope(kind: kind, slotCount: 0, slots: [])),
            ("chunks of 2^32 - 1", envelope(kind: kind, chunk: .max, slots: scrypt(14))),
        ]
        for length in [UInt32(0), 63, 64, 95, 65_537, 1 << 31, .max] {
            list.append(("length \(length)", envelope(kind: kind, length: length, slots: scrypt(14))))
        }
        for type in [UInt16(1), 2, 3, 4, 5, .max] {
            for length in [UInt16(77), 0x7fff, .max] {
                let slots = slot(type, .zeros(76), length: length)
                list.append(("type \(type), slot of \(length)", envelope(kind: kind, slots: slots)))
            }
        }
        return list
    }

    /// Of this thread, in seconds.
    static func processorTime() -> Double {
        var time = timespec()
        _ = unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    @Test func imagesCostNothing() throws {
        for (name, bytes) in Self.hostile(kind: 2) {
            var contents = MemoryFile.Contents()
            for offset in ImageLayout.envelopeOffsets { contents.write(bytes.rawBytes, at: offset) }
            contents.resize(to: 1 << 44)
            let file = CountingFile(contents)
            let started = Self.processorTime()
            let error = #expect(throws: DiskError.self, "\(name)") {
                try SealedImage(reading: file, secrets: [Self.passphrase])
            }
            #expect(error?.kind == .format, "\(name): \(String(describing: error))")
            #expect(Self.processorTime() - started < 1, "\(name)")
            let read = file.read.withLock { $0 }
            #expect(read.largest <= 65_536 && read.total <= 2 * (64 + 65_536), "\(name): \(read)")
        }
    }

    @Test func streamsCostNothing() throws {
        for (name, bytes) in Self.hostile(kind: 1) {
            let given = Mutex(0)
            let started = Self.processorTime()
            let error = #expect(throws: DiskError.self, "\(name)") {
                // Zeros without end follow.
                try SealedStreamReader(secrets: [Self.passphrase], path: "hostile") { (buffer) throws(IOError) in
                    let count = buffer.byteCount
                    let start = given.withLock { given in
                        given += count
                        return given - count
                    }
                    buffer.zero(0..<count)
                    if start < bytes.count {
                        let part = Array(bytes[start..<min(bytes.count, start + count)])
                        buffer.copy(part.rawBytes, at: 0)
                    }
                    return count
                }
            }
            #expect(error?.kind == .format, "\(name): \(String(describing: error))")
            #expect(Self.processorTime() - started < 1, "\(name)")
            #expect(given.withLock { $0 } <= 65_536, "\(name)")
        }
    }

    /// Root blocks and records without a right code, that say they are as long as can be.
    @Test func lengthsBehindTheEnvelopeAreBounded() throws {
        let file = MemoryFile()
        let image = try makeImage(on: file)
        try image.write([UInt8](repeating: 1, count: 100_000), at: 0)
        try image.close()
        let disk = try image.everything()
        for count in [UInt64(4092), 4093, 1 << 32, 1 << 59, .max] {
            var contents = file.contents
            var head = RootHead()
            (head.sequence, head.digestCount, head.journalByteCount) = (.max, count, 1 << 30)
            contents.write(head.serialized().rawBytes, at: 131_072)
            let counting = CountingFile(contents)
            let reader = try SealedImage(reading: counting, secrets: [keyFile()])
            #expect(counting.read.withLock { $0.largest } <= 131_072)
            #expect(try reader.everything() == disk)
        }
        let position = image.state.withLock { $0.head }
        for (entries, payload) in [
            (UInt32.max, UInt64(0)), (65_536, 0), (65_537, 0), (1, UInt64.max - 4095), (4000, 1 << 40),
        ] {
            for kind in [UInt32(1), 2] {
                var contents = file.contents
                var head = RecordHead()
                (head.position, head.kind, head.entryCount) = (position, kind, entries)
                (head.payloadByteCount, head.generation) = (payload, image.anchor.generation + 1)
                head.previousRootDigest = image.anchor.rootDigest
                contents.write(head.serialized().rawBytes, at: ImageLayout.journalOffset + position % 262_144)
                let counting = CountingFile(contents)
                let reader = try SealedImage(reading: counting, secrets: [keyFile()])
                #expect(counting.read.withLock { $0.largest } <= 262_144)
                #expect(try reader.everything() == disk)
            }
        }
    }
}

/// That a key does not open a container is told in one way, and takes the same work, whatever is the reason: who tries keys
/// learns nothing from it.
@Suite struct WrongKeyTests {
    private static func passphrase(_ text: String) -> SlotKey {
        .passphrase(EnvelopeTests.secret(Array(text.utf8)), .pbkdf2(iterations: 210_000))
    }

    /// Two slots; each change with the secret that is tried.
    private static func changes() throws -> [(name: String, bytes: [UInt8], secret: SlotKey)] {
        let secrets = (0..<2).map { passphrase("secret \($0)") }
        let (envelope, keys) = try Envelope.create(
            .image, chunkByteCount: 4096, for: secrets, creationTime: 0, random: fixedRandom(1))
        let right = envelope.bytes(keys)
        func changed(_ place: Int) -> [UInt8] {
            var bytes = right
            bytes[place] ^= 0x10
            return bytes
        }
        let slotByteCount = 80
        return [
            ("another secret", right, passphrase("other")),
            ("the code of the first slot's", changed(right.count - 1), secrets[0]),
            ("the code of the last slot's", changed(right.count - 1), secrets[1]),
            ("the first slot's salt", changed(64 + 4 + 10), secrets[0]),
            ("the last slot's wrapped key", changed(64 + slotByteCount + 4 + 36 + 5), secrets[1]),
            ("the container's id", changed(40), secrets[1]),
        ]
    }

    /// A lower bound of the processor's time, which no other work on the machine makes less: with one of the two derivations
    /// left out it would be half.
    @Test func theWorkIsTheSame() throws {
        let changes = try Self.changes()
        var least = [Double](repeating: .infinity, count: changes.count)
        for _ in 0..<2 {
            for (number, change) in changes.enumerated() {
                let started = HostileEnvelopeTests.processorTime()
                let envelope = try Envelope(change.bytes.rawBytes)
                #expect(throws: CipherError.notAuthentic, "\(change.name)") {
                    try envelope.keys([change.secret], confirming: change.bytes.rawBytes)
                }
                least[number] = min(least[number], HostileEnvelopeTests.processorTime() - started)
            }
        }
        let usual = least[0]
        #expect(usual > 0.01, "\(usual)")
        for (number, change) in changes.enumerated() {
            #expect(least[number] > 0.7 * usual, "\(change.name): \(least[number]) of \(usual) s")
        }
    }

    @Test func theAnswerIsTheSame() throws {
        var answers: Set<String> = []
        var streamAnswers: Set<String> = []
        for (_, bytes, secret) in try Self.changes() {
            let file = MemoryFile()
            for offset in ImageLayout.envelopeOffsets { try file.write(bytes, at: offset) }
            let error = #expect(throws: DiskError.self) { try SealedImage(reading: file, secrets: [secret]) }
            #expect(error?.kind == .key)
            answers.insert("\(String(describing: error))")
        }
        let sealed = try StreamSamples.sealed([1, 2, 3])
        for (place, octet) in [(nil, UInt8(8)), (80, 7), (110, 7), (64 + 76 + 3, 7), (40, 7)] as [(Int?, UInt8)] {
            var bytes = sealed
            if let place { bytes[place] ^= 1 }
            let error = StreamSamples.open(bytes, secret: StreamSamples.secret(octet)).error
            #expect(error?.kind == .key)
            streamAnswers.insert("\(String(describing: error))")
        }
        #expect(answers.count == 1 && streamAnswers.count == 1, "\(answers) \(streamAnswers)")
    }
}
