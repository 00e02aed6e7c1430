import BlockIO
import ByteCodec
import Cipher
import DiskModel
import FaultInjection
import Testing

@testable import SealedFile

/// Adding to a stream: what was there stays, and no key serves twice.
@Suite struct StreamAppendTests {
    private let secrets = [StreamSamples.secret()]

    @Test func toEveryKindOfStream() throws {
        let (old, new) = (StreamSamples.text(70_000), StreamSamples.text(200_000, seed: 2))
        let complete = try StreamSamples.sealed(frames: [old])
        let frame = StreamSamples.Layout(complete).frames[0].range
        let unfinished = [UInt8](complete[..<(frame.upperBound - 1)])
        for (bytes, wasComplete, discarded, kept) in [
            (complete, true, 0, old), (Array(complete[..<frame.upperBound]), false, 0, old),
            (Array(complete[..<(frame.upperBound + 83)]), false, 83, old),
            (Array(complete[..<frame.upperBound]) + [UInt8].zeros(5000), false, 5000, old),
            (unfinished, false, unfinished.count - frame.lowerBound, []),
            (Array(complete[..<frame.lowerBound]), false, 0, []),
        ] as [([UInt8], Bool, Int, [UInt8])] {
            let file = MemoryFile(bytes)
            let appender = try SealedStreamAppender(on: file, secrets: secrets, discardsText: true)
            #expect(appender.tail.isComplete == wasComplete && appender.tail.discardedByteCount == UInt64(discarded))
            #expect(appender.textByteCount == UInt64(kept.count) && appender.addedByteCount == 0)
            try appender.write(new.rawBytes)
            #expect(appender.addedByteCount == UInt64(new.count))
            try appender.finish()
            let opened = StreamSamples.open(file.allBytes)
            #expect(opened.isComplete && StreamSamples.isSame(opened.text, kept + new))
        }
    }

    /// Nothing to add: the stream is closed.
    @Test func nothing() throws {
        let open = try StreamSamples.sealed(frames: [StreamSamples.text(10)], isFinished: false)
        #expect(!StreamSamples.open(open).isComplete)
        let file = MemoryFile(open)
        try SealedStreamAppender(on: file, secrets: secrets).finish()
        #expect(StreamSamples.open(file.allBytes).isComplete)
        #expect(file.byteCount() == UInt64(open.count + 84))
    }

    /// What a loss of power can leave behind the last frame, though it was not cut off.
    @Test func unfinishedFrames() throws {
        let frames = [StreamSamples.text(600), StreamSamples.text(60_000, seed: 2)]
        let open = try StreamSamples.sealed(frames: frames, isFinished: false)
        let last = StreamSamples.Layout(open).frames[1].range
        for place in [last.lowerBound, last.lowerBound + 48, last.lowerBound + 20_000, last.upperBound - 1] {
            var torn = open
            torn[place] ^= 1
            let file = MemoryFile(torn)
            let appender = try SealedStreamAppender(on: file, secrets: secrets)
            #expect(appender.tail.discardedByteCount == UInt64(last.count) && !appender.tail.isComplete)
            try appender.finish()
            let opened = StreamSamples.open(file.allBytes)
            #expect(opened.isComplete && opened.text == frames[0])
        }
    }

    /// Whole segments of a frame that was not finished are not lost by adding more: in a stream that came through a pipe and
    /// was cut they are all there is.
    @Test(arguments: [0, 1]) func authenticTextOfUnfinishedFrames(frame: Int) throws {
        let frames = [StreamSamples.text(600), StreamSamples.text(140_000, seed: 2)]
        let complete = try StreamSamples.sealed(frames: Array(frames[(1 - frame)...]))
        let last = StreamSamples.Layout(complete).frames[frame].range
        let kept = frame == 0 ? [] : frames[0]
        for (byteCount, flip, text) in [
            (last.lowerBound + 48 + 65_556, nil, 65_536), (last.lowerBound + 48 + 2 * 65_556 + 700, nil, 131_072),
            (last.upperBound, last.lowerBound + 100_000, 65_536), (last.upperBound - 1, nil, 131_072),
        ] as [(Int, Int?, UInt64)] {
            var bytes = Array(complete.prefix(byteCount))
            if let flip { bytes[flip] ^= 1 }
            let file = MemoryFile(bytes)
            let tail = try StreamTail(of: file, secrets: secrets)
            #expect(
                tail.unfinishedTextByteCount == text && tail.discardedByteCount == UInt64(byteCount - last.lowerBound))
            let error = #expect(throws: DiskError.self) { try SealedStreamAppender(on: file, secrets: secrets) }
            #expect(error?.kind == .refused && error?.explanation.contains("\(text) bytes of text") == true)
            #expect(StreamSamples.isSame(file.allBytes, bytes))
            try SealedStreamAppender(on: file, secrets: secrets, discardsText: true).finish()
            let opened = StreamSamples.open(file.allBytes)
            #expect(opened.isComplete && opened.text == kept)
        }
    }

    /// Frames that are followed by others were durable: nothing may be taken away for their sake.
    @Test func damage() throws {
        let frames = (0..<3).map { StreamSamples.text(3000, seed: UInt64($0)) }
        for isFinished in [true, false] {
            let sealed = try StreamSamples.sealed(frames: frames, isFinished: isFinished)
            let layout = StreamSamples.Layout(sealed)
            for (number, frame) in layout.frames.enumerated() where number < (isFinished ? 3 : 2) {
                for place in [frame.range.lowerBound, frame.range.lowerBound + 49, frame.range.lowerBound + 900] {
                    var damaged = sealed
                    damaged[place] ^= 4
                    let file = MemoryFile(damaged)
                    let error = #expect(throws: DiskError.self) { try SealedStreamAppender(on: file, secrets: secrets) }
                    #expect(error?.kind == .key || error?.formatError?.code == .sealedFrame)
                    #expect(StreamSamples.isSame(file.allBytes, damaged), "frame \(number) at \(place)")
                }
            }
        }
        let complete = try StreamSamples.sealed(frames: frames)
        for bytes in [complete + [0], Array(complete.dropFirst()), Array(complete.prefix(70))] {
            let file = MemoryFile(bytes)
            #expect(throws: DiskError.self) { try SealedStreamAppender(on: file, secrets: secrets) }
            #expect(StreamSamples.isSame(file.allBytes, bytes))
        }
        let file = MemoryFile(complete)
        let error = #expect(throws: DiskError.self) {
            try SealedStreamAppender(on: file, secrets: [StreamSamples.secret(9)])
        }
        #expect(error?.kind == .key && StreamSamples.isSame(file.allBytes, complete))
    }

    /// A later head is found wherever it stands, also far behind and across the parts that are read.
    @Test(arguments: [0, 1, 15, (1 << 20) - 16, (1 << 20) - 8, (1 << 20) - 1, 1 << 20, 3_000_001]) func laterHead(
        gap: Int
    ) throws {
        let open = try StreamSamples.sealed(frames: [StreamSamples.text(30)], isFinished: false)
        let head = FrameHeader(.data, index: 2, salt: [UInt8](repeating: 1, count: 32)).serialized()
        for (index, isDamage) in [(2, true), (1, false), (0, false)] as [(UInt8, Bool)] {
            var bytes = open + [UInt8](repeating: 9, count: gap) + head
            bytes[open.count + gap + 8] = index
            let file = MemoryFile(bytes)
            let made = Result { try SealedStreamAppender(on: file, secrets: secrets) }
            if case .success = made { #expect(!isDamage) } else { #expect(isDamage, "index \(index)") }
            #expect(file.byteCount() == UInt64(isDamage ? bytes.count : open.count))
        }
    }

    /// Every head that ever was in the file, also of frames that were taken away, has a salt of its own.
    @Test func saltsNeverRepeat() throws {
        var contents = MemoryFile.Contents(try StreamSamples.sealed(StreamSamples.text(100)))
        var salts: [[UInt8]] = [StreamSamples.Layout(contents.allBytes)].flatMap { layout in
            layout.frames.map { Array(contents.allBytes[$0.range.prefix(48).suffix(32)]) }
        }
        for round in 0..<20 {
            let file = RecordingFile(contents)
            let appender = try SealedStreamAppender(on: file, secrets: secrets)
            // The same text again and again.
            let text = StreamSamples.text(500)
            try appender.write(text.rawBytes)
            try appender.flush()
            if round % 2 == 0 { try appender.finish() }
            for case .write(_, let bytes) in file.recording.operations where bytes.starts(with: FrameHeader.signature) {
                salts.append(Array(bytes[16..<48]))
            }
            contents = file.contents
            // A kill in the midst of a frame.
            if round % 3 == 0 { contents.resize(to: contents.byteCount - 90) }
        }
        #expect(salts.count == 2 + 20 + 10)
        #expect(Set(salts).count == salts.count)
    }

    /// Appending to two copies of a stream: other keys, with the same text and all else the same.
    @Test func copiesDiverge() throws {
        let sealed = try StreamSamples.sealed(StreamSamples.text(100))
        let copies = try (0..<2).map { _ in
            let file = MemoryFile(sealed)
            let appender = try SealedStreamAppender(on: file, secrets: secrets)
            let text = StreamSamples.text(500)
            try appender.write(text.rawBytes)
            try appender.finish()
            return file.allBytes
        }
        let segments = copies.map { $0[StreamSamples.Layout($0).frames[1].segments[0]] }
        #expect(segments[0].count == segments[1].count)
        let same = zip(segments[0].dropFirst(4), segments[1].dropFirst(4)).count { $0 == $1 }
        #expect(same < 20, "the same keystream")
    }

    /// Every changing call that fails: said, nothing more is written, and what was flushed is there.
    @Test func failingCalls() throws {
        let sealed = try StreamSamples.sealed(frames: [StreamSamples.text(2000)])
        let parts = (1..<4).map { StreamSamples.text(3000, seed: UInt64($0)) }
        let first = parts[0]
        var isDone = false
        for limit in 0..<30 where !isDone {
            let memory = MemoryFile(sealed)
            let file = FailingFile(memory, after: limit)
            var flushed = StreamSamples.text(2000)
            do throws(DiskError) {
                let appender = try SealedStreamAppender(on: file, secrets: secrets)
                do throws(DiskError) {
                    for part in parts {
                        try appender.write(part.rawBytes)
                        try appender.flush()
                        flushed += part
                    }
                    try appender.finish()
                    isDone = true
                } catch {
                    let before = memory.allBytes
                    #expect(throws: DiskError.self) { try appender.write(first.rawBytes) }
                    #expect(throws: DiskError.self) { try appender.finish() }
                    #expect(memory.allBytes == before)
                    throw error
                }
            } catch {
                #expect(error.kind == .io)
                let again = MemoryFile(memory.allBytes)
                try SealedStreamAppender(on: again, secrets: secrets).finish()
                let opened = StreamSamples.open(again.allBytes)
                #expect(opened.isComplete && StreamSamples.isPrefix(flushed, of: opened.text), "after \(limit) calls")
            }
        }
        #expect(isDone)
    }
}
