import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing

@testable import SealedFile

/// Whatever is done to a stream in a file: opening it or reading the place is refused, and other bytes never come.
///
/// What is done in the tests of `SealedStreamReader` is tried here too: `StreamSamples.open` compares both readers.
@Suite struct StreamFileTamperTests {
    private func expectRefused(_ bytes: [UInt8], _ text: [UInt8], _ what: @autoclosure () -> String) {
        let found = StreamFileAgreement(bytes)
        #expect(!found.isReadable && found.isRight(text), "\(what()): \(String(describing: found.error))")
    }

    @Test(arguments: [[0], [1], [300], [20, 0, 5], [16, 16, 16]]) func everyByte(sizes: [Int]) throws {
        let frames = sizes.enumerated().map { StreamSamples.text($1, seed: UInt64($0)) }
        let sealed = try StreamSamples.sealed(frames: frames)
        let text = frames.flatMap { $0 }
        #expect(StreamFileAgreement(sealed).isReadable)
        for place in sealed.indices {
            for change in [1, 0x80] as [UInt8] {
                var changed = sealed
                changed[place] ^= change
                expectRefused(changed, text, "byte \(place) ^ \(change)")
            }
        }
    }

    /// A changed word or byte inside of a long frame is seen when its segment is read, and only that one is lost.
    @Test func insideOfLongFrames() throws {
        let texts = [StreamSamples.text(4 * 65_536 + 100), StreamSamples.text(3 * 65_536, seed: 2)]
        let sealed = try StreamSamples.sealed(frames: texts)
        let text = texts.flatMap { $0 }
        for frame in StreamSamples.Layout(sealed).frames {
            for (number, segment) in frame.segments.enumerated() {
                let offsets = [0, 1, 2, 3, 4, segment.count / 2, segment.count - 17, segment.count - 1]
                for place in offsets where segment.count > place {
                    for change in [1, 0x80] as [UInt8] {
                        var changed = sealed
                        changed[segment.lowerBound + place] ^= change
                        expectRefused(changed, text, "byte \(place) of segment \(number)")
                        guard place > 3, number < frame.segments.count - 1 else { continue }
                        #expect(StreamFileAgreement(changed).error == nil, "lost for one segment")
                    }
                }
            }
        }
    }

    @Test func everyTruncation() throws {
        let frames = [StreamSamples.text(50), StreamSamples.text(300, seed: 2), StreamSamples.text(7, seed: 3)]
        let sealed = try StreamSamples.sealed(frames: frames)
        let envelope = StreamSamples.Layout(sealed).envelope
        for end in sealed.indices {
            let found = StreamFileAgreement(Array(sealed[..<end]))
            #expect(found.error?.kind == .format, "cut at \(end)")
            #expect(end < envelope.count || found.error?.formatError?.code == .sealedOpen, "cut at \(end)")
        }
        let open = try #require(StreamFileAgreement(Array(sealed.dropLast())).error)
        #expect(open.hint?.contains("unseal --allow-open") == true)
        #expect(StreamFileAgreement(sealed + [0]).error?.formatError?.code == .sealedTail)
    }

    /// A file that becomes another version of the same stream after it was opened gives the text of the first, or none.
    @Test func otherVersions() throws {
        let common = try StreamSamples.sealed(frames: [StreamSamples.text(20)])
        let versions = try (0..<2).map { number in
            let file = MemoryFile(common)
            let appender = try SealedStreamAppender(on: file, secrets: [StreamSamples.secret()])
            let text = StreamSamples.text(10, seed: UInt64(10 + number))
            try appender.write(text.rawBytes)
            try appender.finish()
            return file.allBytes
        }
        let below = MemoryFile(versions[0])
        let file = try SealedStreamFile(reading: below, secrets: [StreamSamples.secret()])
        try below.write(versions[1], at: 0)
        #expect(try file.bytes(at: 0, count: 20) == StreamSamples.text(20))
        let error = #expect(throws: IOError.self) { try file.bytes(at: 20, count: 10) }
        #expect(error?.reason == .notAuthentic && error?.offset == 20)
        #expect(StreamFileAgreement(versions[1]).isReadable)
    }
}
