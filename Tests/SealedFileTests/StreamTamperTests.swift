import BlockIO
import ByteCodec
import Cipher
import DiskModel
import FaultInjection
import Testing

@testable import SealedFile

/// Whatever is done to a stream: refused, or open with a prefix of its text.
@Suite struct StreamTamperTests {
    private func expectRefused(_ bytes: [UInt8], _ text: [UInt8], _ what: String) {
        let opened = StreamSamples.open(bytes)
        let kind = opened.error?.kind
        #expect(kind == .key || kind == .format, "\(what): \(String(describing: opened.error))")
        #expect(!opened.isComplete && StreamSamples.isPrefix(opened.text, of: text), "\(what)")
    }

    @Test(arguments: [[0], [1], [16], [300], [20, 0, 5], [16, 16, 16]]) func everyByte(sizes: [Int]) throws {
        let frames = sizes.enumerated().map { StreamSamples.text($1, seed: UInt64($0)) }
        let sealed = try StreamSamples.sealed(frames: frames)
        for place in sealed.indices {
            for change in [1, 0x80, UInt8(truncatingIfNeeded: place &* 37) | 2] as [UInt8] {
                var changed = sealed
                changed[place] ^= change
                expectRefused(changed, frames.flatMap { $0 }, "byte \(place) ^ \(change)")
            }
        }
    }

    /// An open stream with a changed byte may seem cut off earlier; more than that it never does.
    @Test func everyByteOfAnOpenStream() throws {
        let frames = [StreamSamples.text(40), StreamSamples.text(9, seed: 2)]
        let sealed = try StreamSamples.sealed(frames: frames, isFinished: false)
        let all = frames.flatMap { $0 }
        for place in sealed.indices {
            var changed = sealed
            changed[place] ^= 0x11
            let opened = StreamSamples.open(changed)
            #expect(!opened.isComplete && opened.text.count < all.count && StreamSamples.isPrefix(opened.text, of: all))
        }
    }

    @Test func bytesOfFullSegments() throws {
        let text = StreamSamples.text(3 * 65_536 + 100)
        let sealed = try StreamSamples.sealed(text)
        var places: [Int] = []
        for segment in StreamSamples.Layout(sealed).frames[0].segments {
            places += Array(segment.prefix(6)) + [segment.lowerBound + 33_000] + Array(segment.suffix(17))
        }
        for place in places where place < sealed.count {
            for change in [1, 0x80] as [UInt8] {
                var changed = sealed
                changed[place] ^= change
                expectRefused(changed, text, "byte \(place)")
            }
        }
    }

    @Test func everyTruncation() throws {
        let frames = [StreamSamples.text(50), StreamSamples.text(300, seed: 2), StreamSamples.text(7, seed: 3)]
        let sealed = try StreamSamples.sealed(frames: frames)
        let all = frames.flatMap { $0 }
        let layout = StreamSamples.Layout(sealed)
        for end in sealed.indices {
            let opened = StreamSamples.open(Array(sealed[..<end]))
            #expect(!opened.isComplete)
            guard end >= layout.envelope.count else {
                #expect(opened.error?.kind == .format && opened.text.isEmpty)
                continue
            }
            // Exactly the frames that are whole.
            let count = layout.frames.dropLast().count { $0.range.upperBound <= end }
            #expect(opened.error == nil && opened.text == frames[..<count].flatMap { $0 }, "cut at \(end)")
            #expect(StreamSamples.isPrefix(opened.text, of: all))
        }
    }

    @Test func truncationOfLongStreams() throws {
        let text = StreamSamples.text(17 * 65_536 + 5)
        let sealed = try StreamSamples.sealed(text)
        let segments = StreamSamples.Layout(sealed).frames[0].segments
        for segment in segments {
            for end in [segment.lowerBound, segment.lowerBound + 3, segment.lowerBound + 4, segment.upperBound - 1] {
                let opened = StreamSamples.open(Array(sealed[..<end]))
                let whole = segments.count { $0.upperBound <= end }
                #expect(opened.error == nil && !opened.isComplete)
                #expect(opened.text.count == whole * 65_536 && StreamSamples.isPrefix(opened.text, of: text))
            }
        }
        let reader = try SealedStreamReader(
            secrets: [StreamSamples.secret()], from: MemoryFile(Array(sealed[..<(sealed.count - 1)])))
        try reader.forEachPiece { _ in }
        let error = #expect(throws: DiskError.self) { try reader.requireEnd() }
        #expect(error?.formatError?.code == .sealedOpen)
    }

    @Test func bytesBehindTheEnd() throws {
        let sealed = try StreamSamples.sealed(StreamSamples.text(100))
        let end = StreamSamples.Layout(sealed).frames[1].range
        for tail in [[0], [UInt8](sealed[end]), sealed] {
            let opened = StreamSamples.open(sealed + tail)
            #expect(opened.error?.formatError?.code == .sealedTail && !opened.isComplete)
        }
    }

    /// Segments and frames of one stream, in every other order, number and place.
    @Test func segments() throws {
        let text = StreamSamples.text(4 * 65_536)
        let sealed = try StreamSamples.sealed(text)
        let layout = StreamSamples.Layout(sealed)
        let head = sealed[layout.frames[0].range.prefix(48)]
        let parts = layout.frames[0].segments.map { sealed[$0] }
        let end = sealed[layout.frames[1].range]
        #expect(StreamSamples.isSame(StreamSamples.spliced(sealed, [head] + parts + [end]), sealed))
        for index in parts.indices {
            var dropped = parts
            dropped.remove(at: index)
            expectRefused(StreamSamples.spliced(sealed, [head] + dropped + [end]), text, "segment \(index) dropped")
            var doubled = parts
            doubled.insert(parts[index], at: index)
            expectRefused(StreamSamples.spliced(sealed, [head] + doubled + [end]), text, "segment \(index) doubled")
            for other in parts.indices where other != index {
                var swapped = parts
                swapped.swapAt(index, other)
                expectRefused(StreamSamples.spliced(sealed, [head] + swapped + [end]), text, "\(index) for \(other)")
            }
        }
    }

    @Test func frames() throws {
        let texts = (0..<4).map { StreamSamples.text(30, seed: UInt64($0)) }
        let sealed = try StreamSamples.sealed(frames: texts)
        let all = texts.flatMap { $0 }
        let parts = StreamSamples.Layout(sealed).frames.map { sealed[$0.range] }
        let other = try StreamSamples.sealed(frames: texts)
        let others = StreamSamples.Layout(other).frames.map { other[$0.range] }
        #expect(StreamSamples.spliced(sealed, parts) == sealed)
        for index in parts.indices {
            for (what, change) in Self.changes(of: parts, at: index, others) {
                let spliced = StreamSamples.spliced(sealed, change)
                let opened = StreamSamples.open(spliced)
                let isCut = index == parts.count - 1 && what == "dropped"
                #expect(isCut ? opened.error == nil : opened.error != nil, "frame \(index) \(what)")
                #expect(!opened.isComplete && StreamSamples.isPrefix(opened.text, of: all), "frame \(index) \(what)")
            }
        }
    }

    private static func changes(
        of parts: [ArraySlice<UInt8>], at index: Int, _ others: [ArraySlice<UInt8>]
    ) -> [(String, [ArraySlice<UInt8>])] {
        var (dropped, doubled, foreign) = (parts, parts, parts)
        dropped.remove(at: index)
        doubled.insert(parts[index], at: index)
        foreign[index] = others[index]
        var result = [("dropped", dropped), ("doubled", doubled), ("of another stream", foreign)]
        for place in parts.indices where place != index {
            var (swapped, replaced) = (parts, parts)
            swapped.swapAt(index, place)
            replaced[index] = parts[place]
            result += [("swapped with \(place)", swapped), ("replaced by \(place)", replaced)]
        }
        return result
    }

    /// Two streams that have the same frames up to a place, as a copy and its original after appending have: what
    /// follows cannot be mixed.
    @Test func branches() throws {
        let common = try StreamSamples.sealed(frames: [StreamSamples.text(20)])
        let branches = try (0..<2).map { number in
            let file = MemoryFile(common)
            for part in 0..<2 {
                let appender = try SealedStreamAppender(on: file, secrets: [StreamSamples.secret()])
                let text = StreamSamples.text(10, seed: UInt64(10 * number + part))
                try appender.write(text.rawBytes)
                try appender.finish()
            }
            return file.allBytes
        }
        let frames = branches.map { stream in StreamSamples.Layout(stream).frames.map { stream[$0.range] } }
        #expect(frames[0][0] == frames[1][0] && frames[0].count == 4)
        for mask in 0..<16 {
            let parts = (0..<4).map { frames[mask >> $0 & 1][$0] }
            let opened = StreamSamples.open(StreamSamples.spliced(common, parts))
            // The first frame is common.
            #expect(opened.isComplete == [0, 14].contains(mask & 14))
            #expect((opened.error == nil) == opened.isComplete)
        }
    }

    /// A frame's key depends on its kind: an end frame's bytes in a data frame are no text.
    @Test func kinds() throws {
        let sealed = try StreamSamples.sealed(StreamSamples.text(10))
        let place = StreamSamples.Layout(sealed).frames[1].range.lowerBound
        var changed = sealed
        changed[place + 4] = 1
        let opened = StreamSamples.open(changed)
        #expect(opened.error?.kind == .key && opened.text.count == 10)
    }
}
