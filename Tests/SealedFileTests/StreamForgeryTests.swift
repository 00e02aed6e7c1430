import ByteCodec
import Cipher
import DiskModel
import Testing

@testable import SealedFile

/// Each check of a stream by itself.
@Suite struct StreamForgeryTests {
    /// The first hash of the chain covers the envelope: the same container with another envelope, of the same master key and id
    /// and under a right code, has other frames.
    @Test func envelopesAreNotExchanged() throws {
        let text = StreamSamples.text(100)
        let sealed = try StreamSamples.sealed(text)
        let frames = Array(sealed[StreamSamples.Layout(sealed).envelope.upperBound...])
        let envelopeBytes = Array(sealed[StreamSamples.Layout(sealed).envelope])
        var envelope = try Envelope(envelopeBytes.rawBytes)
        let keys = try envelope.keys([StreamSamples.secret()], confirming: envelopeBytes.rawBytes)
        #expect(envelope.bytes(keys) + frames == sealed)
        // One byte of it; a further slot, as somebody who was a recipient once may add it.
        envelope.headerSequence += 1
        var changed = [envelope.bytes(keys)]
        envelope.headerSequence -= 1
        let slot = try StreamSamples.secret(9).slot(
            for: keys.masterKey, containerID: envelope.containerID, random: .system)
        envelope.slots.append(slot)
        changed.append(envelope.bytes(keys))
        for bytes in changed {
            let opened = StreamSamples.open(bytes + frames)
            #expect(opened.error?.kind == .key && opened.text.isEmpty && !opened.isComplete)
        }
        // Of another container, for the same key file.
        let other = try StreamSamples.sealed(text)
        let foreign = Array(other[StreamSamples.Layout(other).envelope])
        #expect(StreamSamples.open(foreign + frames).error?.kind == .key)
    }

    /// A frame that is cut behind a segment, whose word is made to say that it is the last; and the last one made not to be.
    @Test func aSegmentIsNotMadeTheLast() throws {
        let text = StreamSamples.text(3 * 65_536 + 10)
        let sealed = try StreamSamples.sealed(text)
        let segments = StreamSamples.Layout(sealed).frames[0].segments
        for (number, segment) in segments.dropLast().enumerated() {
            var cut = Array(sealed[..<segment.upperBound])
            cut[segment.lowerBound + 3] |= 0x80
            let opened = StreamSamples.open(cut)
            #expect(opened.error?.kind == .key && opened.text.count == number * 65_536, "segment \(number)")
        }
        let whole = try StreamSamples.sealed(StreamSamples.text(65_536))
        let last = StreamSamples.Layout(whole).frames[0].segments[0]
        var longer = Array(whole[..<last.upperBound])
        longer[last.lowerBound + 3] &= 0x7f
        longer += [UInt8](repeating: 1, count: 4 + 65_536 + 16)
        let opened = StreamSamples.open(longer)
        #expect(opened.error != nil && opened.text.isEmpty)
    }
}
