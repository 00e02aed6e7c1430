import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing
import ToolTesting

@testable import SealedFile

/// The second reader gets the same text out of our streams, and sees what is wrong with them.
@Suite struct StreamSecondReaderTests {
    static let secret = EnvelopeVector.Secret(keyFile: String(repeating: "07", count: 32))

    private let scratch: Scratch
    init() throws { scratch = try Scratch() }

    /// - Returns: nil where the second reader is not there.
    private func unsealed(_ stream: [UInt8]) throws -> ProgramResult? {
        try Unsealed.run([Self.secret], on: scratch.write("stream", stream))
    }

    @Test func wholeStreams() throws {
        for count in [0, 1, 65_535, 65_536, 65_537, 1_500_000] {
            let text = StreamSamples.text(count, seed: UInt64(count))
            guard let result = try unsealed(StreamSamples.sealed(text)) else { return }
            #expect(result.exit == 0 && result.error.isEmpty, "\(count) bytes: \(result.error)")
            #expect(StreamSamples.isSame(result.outputBytes, text), "\(count) bytes")
        }
    }

    @Test func severalFrames() throws {
        let texts = [5, 65_536, 200_000].map { StreamSamples.text($0, seed: UInt64($0)) }
        let text = texts.flatMap { $0 }
        guard let whole = try unsealed(StreamSamples.sealed(frames: texts)) else { return }
        #expect(whole.exit == 0 && StreamSamples.isSame(whole.outputBytes, text))
        let open = try unsealed(StreamSamples.sealed(frames: texts, isFinished: false))
        #expect(open?.exit == 3 && StreamSamples.isSame(open?.outputBytes ?? [], text))
    }

    /// Both readers say the same of cut and changed streams, and give the same text before that.
    @Test func damagedStreams() throws {
        let texts = [300, 70_000].map { StreamSamples.text($0, seed: UInt64($0)) }
        let stream = try StreamSamples.sealed(frames: texts)
        let frames = StreamSamples.Layout(stream).frames
        #expect(frames.count == 3)
        var damaged = [
            frames[1].range.upperBound, frames[1].segments[1].lowerBound + 2, frames[2].range.lowerBound + 3,
        ]
        .map { Array(stream[..<$0]) }
        for place in [20, frames[0].range.lowerBound + 20, frames[1].segments[1].upperBound - 1, stream.count - 1] {
            var changed = stream
            changed[place] ^= 1
            damaged.append(changed)
        }
        damaged.append(stream + [0])
        for (number, bytes) in damaged.enumerated() {
            guard let theirs = try unsealed(bytes) else { return }
            let ours = StreamSamples.open(bytes)
            let exit: Int32 = ours.isComplete ? 0 : ours.error == nil ? 3 : ours.error?.kind == .key ? 4 : 1
            #expect(exit != 0 && theirs.exit == exit, "case \(number): \(theirs.error), ours \(ours)")
            // Ours gives a batch only when all of it is there.
            let isPrefix = StreamSamples.isSame(Array(theirs.outputBytes.prefix(ours.text.count)), ours.text)
            #expect(isPrefix, "case \(number)")
        }
    }
}
