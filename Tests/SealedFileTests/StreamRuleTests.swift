import BlockIO
import ByteCodec
import Cipher
import Digest
import DiskModel
import FaultInjection
import Testing

@testable import SealedFile

/// Streams that somebody who has the keys made against the rules: authentic, and refused. They are built here by hand,
/// and first of all a right one, which shows that the building is not what is refused.
@Suite struct StreamRuleTests {
    struct Segment {
        var text: [UInt8]
        var isLast = true
        /// Instead of the word that fits.
        var word: UInt32?
        var counter: UInt64?
    }

    /// Builds streams.
    struct Builder {
        var bytes: [UInt8]
        private let containerID: [UInt8]
        private let streamKey: SecretBytes
        private var digest: [UInt8]
        private var index: UInt64 = 0

        init() throws {
            let (envelope, keys) = try Envelope.create(
                .stream, chunkByteCount: 65_536, for: [StreamSamples.secret()], creationTime: 0, random: .system)
            let start = envelope.bytes(keys)
            (bytes, digest) = (start, Digest.hash(.sha256, start.rawBytes))
            (containerID, streamKey) = (envelope.containerID, keys.streamKey)
        }

        private static func octets(_ value: UInt64, _ count: Int) -> [UInt8] {
            (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
        }

        mutating func add(kind: UInt8 = 1, index given: UInt64? = nil, reserved: UInt8 = 0, _ segments: [Segment]) {
            let index = given ?? index
            let salt = RandomSource.system.bytes(32)
            let head = Array("FRM1".utf8) + [kind, 0, reserved, 0] + Self.octets(index, 8) + salt
            let info = containerID + [kind] + Self.octets(index, 8) + digest
            let cipher = AESGCM(key: HKDFSHA256.key(streamKey.bytes, salt: salt.rawBytes, info: info.rawBytes).bytes)
            bytes += head
            var tag: [UInt8] = []
            for (number, segment) in segments.enumerated() {
                let counter = segment.counter ?? UInt64(number)
                let nonce = [0, 0, 0] + Self.octets(counter, 8).reversed() + [segment.isLast ? 1 : 0]
                var sealed = [UInt8].zeros(segment.text.count + 16)
                var raw = sealed.mutableRawBytes
                cipher.seal(segment.text.rawBytes, nonce: nonce.rawBytes, additional: RawSpan(), into: &raw)
                let word = segment.word ?? UInt32(segment.text.count) | (segment.isLast ? 1 << 31 : 0)
                bytes += Self.octets(UInt64(word), 4) + sealed
                tag = Array(sealed.suffix(16))
            }
            let all = digest + head + tag
            digest = Digest.hash(.sha256, all.rawBytes)
            self.index += 1
        }

        mutating func end(_ frameCount: UInt64, _ byteCount: UInt64, isLast: Bool = true) {
            let record = Self.octets(frameCount, 8) + Self.octets(byteCount, 8)
            add(kind: 2, [Segment(text: record, isLast: isLast)])
        }
    }

    private let full = [UInt8](repeating: 3, count: 65_536)

    private func opened(_ change: (inout Builder) -> Void) throws -> StreamSamples.Opened {
        var builder = try Builder()
        change(&builder)
        return StreamSamples.open(builder.bytes)
    }

    @Test func rightOnes() throws {
        let opened = try opened {
            $0.add([Segment(text: full, isLast: false), Segment(text: full)])
            $0.add([Segment(text: [])])
            $0.add([Segment(text: full, isLast: false), Segment(text: [1])])
            $0.end(3, 3 * 65_536 + 1)
        }
        #expect(opened.isComplete && opened.error == nil && opened.text.count == 3 * 65_536 + 1)
        #expect(try self.opened { $0.end(0, 0) }.isComplete)
    }

    @Test func segments() throws {
        // Not full, and not the last.
        try expectFrameFault { $0.add([Segment(text: [1, 2], isLast: false), Segment(text: [3])]) }
        // Empty in a frame that is not.
        try expectFrameFault { $0.add([Segment(text: full, isLast: false), Segment(text: [])]) }
        // Longer than a segment.
        try expectFrameFault { $0.add([Segment(text: full + [1])]) }
        for bit in 17..<31 { try expectFrameFault { $0.add([Segment(text: [1], word: 1 | 1 << 31 | 1 << bit)]) } }
        // A gap in the numbers.
        let gap = try opened { $0.add([Segment(text: full, isLast: false), Segment(text: [1], counter: 2)]) }
        #expect(gap.error?.kind == .key && gap.text.count == 65_536)
    }

    @Test func heads() throws {
        try expectFrameFault { $0.add(kind: 0, [Segment(text: [1])]) }
        try expectFrameFault { $0.add(kind: 3, [Segment(text: [1])]) }
        try expectFrameFault { $0.add(reserved: 1, [Segment(text: [1])]) }
        try expectFrameFault { $0.add(index: 1, [Segment(text: [1])]) }
        try expectFrameFault { $0.add(index: .max, [Segment(text: [1])]) }
    }

    @Test func ends() throws {
        func ended(_ body: @escaping (inout Builder) -> Void) throws {
            try expectFrameFault(text: 5) {
                $0.add([Segment(text: [1, 2, 3, 4, 5])])
                body(&$0)
            }
        }
        for (frames, bytes) in [(0, 5), (2, 5), (1, 4), (1, 6), (1, 0), (.max, .max)] as [(UInt64, UInt64)] {
            try ended { $0.end(frames, bytes) }
        }
        try ended { $0.end(1, 5, isLast: false) }
        try ended { $0.add(kind: 2, [Segment(text: [UInt8].zeros(15))]) }
        try ended { $0.add(kind: 2, [Segment(text: [UInt8].zeros(17))]) }
        try ended { $0.add(kind: 2, [Segment(text: [])]) }
        let after = try opened {
            $0.end(0, 0)
            $0.add([Segment(text: [1])])
        }
        #expect(after.error?.formatError?.code == .sealedTail && after.text.isEmpty && !after.isComplete)
    }

    private func expectFrameFault(text: Int = 0, _ change: (inout Builder) -> Void) throws {
        let opened = try opened(change)
        #expect(opened.error?.formatError?.code == .sealedFrame, "\(String(describing: opened.error))")
        #expect(!opened.isComplete && opened.text.count % 65_536 == text)
    }

    /// The structures say their sizes themselves.
    @Test func structures() {
        #expect(FrameHeader().serialized().count == FrameHeader.byteCount)
        #expect(EndRecord().serialized().count == EndRecord.byteCount)
        for kind in [FrameKind.data, .end] {
            let head = FrameHeader(kind, index: 5, salt: .zeros(32)).serialized()
            #expect(FrameHeader.index(lookingAt: head.rawBytes, 0) == 5)
            for place in 0..<8 {
                var other = head
                other[place] ^= 0x40
                #expect(FrameHeader.index(lookingAt: other.rawBytes, 0) == nil)
            }
        }
    }
}
