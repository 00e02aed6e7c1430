import BlockIO
import ByteCodec
import Cipher
import DiskModel
import FaultInjection
import Synchronization
import Testing

@testable import SealedFile

/// The power cut at every step of appending, with every unsynced write kept, lost or torn: what was flushed is there,
/// what else there is was written, and appending goes on.
@Suite struct StreamCutTests {
    private static let secrets = [StreamSamples.secret()]

    /// A session that appends to a stream.
    private struct Session {
        let before: [UInt8]
        /// Text of the stream after each mark; the first is before any.
        var acknowledged: [[UInt8]]
        var recording: RecordingFile.Recording
        /// Number of the mark after which the stream is complete.
        var lastMark: Int
    }

    /// - Parameter skipped: number of the sync that is answered and not done.
    private func session(_ initial: [UInt8], _ parts: [[UInt8]], skipping skipped: Int? = nil, none: Bool = false)
        throws -> Session
    {
        let recorded = RecordingFile(MemoryFile.Contents(initial), ignoresSync: none)
        let file = SkippingSync(recorded, skipped)
        var text = StreamSamples.open(initial).text
        var session = Session(
            before: initial, acknowledged: [text], recording: recorded.recording, lastMark: parts.count)
        let appender = try SealedStreamAppender(on: file, secrets: Self.secrets)
        for (number, part) in parts.enumerated() {
            try appender.write(part.rawBytes)
            if number < parts.count - 1 { try appender.flush() } else { try appender.finish() }
            text += part
            session.acknowledged.append(text)
            recorded.mark(number + 1)
        }
        session.recording = recorded.recording
        return session
    }

    /// - Returns: what is wrong with an image; nil for nothing.
    private func fault(_ image: PowerCuts.Image, _ session: Session) -> String? {
        let all = session.acknowledged[session.lastMark]
        let acknowledged = session.acknowledged[image.marks.last ?? 0]
        let bytes = image.contents.allBytes
        let seen = StreamSamples.open(bytes)
        guard StreamSamples.isPrefix(seen.text, of: all) else { return "other text" }
        if seen.isComplete {
            // The stream as it was before, or as it is at the end.
            guard seen.text == all || seen.text == session.acknowledged[0] else {
                return "complete with half of the text"
            }
        }
        if image.marks.last == session.lastMark, !seen.isComplete { return "finished and not complete" }
        guard StreamSamples.isPrefix(acknowledged, of: seen.text) else {
            return "flushed text is missing: \(seen.text.count)"
        }
        return faultOfAppending(bytes, seen.text, acknowledged)
    }

    /// More is added, and nothing that can be read is lost, but where whoever adds gives up what follows the frames.
    private func faultOfAppending(_ bytes: [UInt8], _ seen: [UInt8], _ acknowledged: [UInt8]) -> String? {
        let (file, more) = (MemoryFile(bytes), StreamSamples.text(777, seed: 99))
        var givesUp = false
        do throws(DiskError) {
            let tail = try StreamTail(of: file, secrets: Self.secrets)
            givesUp = tail.unfinishedTextByteCount > 0
            if givesUp, (try? SealedStreamAppender(on: file, secrets: Self.secrets)) != nil || file.allBytes != bytes {
                return "appending loses text that can be read"
            }
            let appender = try SealedStreamAppender(on: file, secrets: Self.secrets, discardsText: givesUp)
            try appender.write(more.rawBytes)
            try appender.finish()
        } catch { return "appending: \(error)" }
        let again = StreamSamples.open(file.allBytes)
        guard again.isComplete, again.text.suffix(777) == more[...] else { return "appended text is missing" }
        let kept = Array(again.text.dropLast(777))
        guard StreamSamples.isPrefix(kept, of: seen), StreamSamples.isPrefix(acknowledged, of: kept),
            givesUp || kept.count == seen.count
        else { return "appending lost text" }
        return nil
    }

    private static let parts = [1500, 4000, 100, 2600].enumerated().map { StreamSamples.text($1, seed: UInt64($0) + 5) }

    /// - Parameter shift: bytes that all which follows is shifted by, as disks tear at sectors.
    private static func initials(shift: Int = 0) throws -> [[UInt8]] {
        let first = StreamSamples.text(900 + shift)
        let complete = try StreamSamples.sealed(frames: [first, StreamSamples.text(1300, seed: 3)])
        // Complete; open; with an unfinished frame longer than what will be appended first.
        let torn = try StreamSamples.sealed(frames: [first, StreamSamples.text(9000, seed: 4)])
        return [complete, Array(complete.dropLast(84)), Array(torn.dropLast(100))]
    }

    @Test(arguments: [0, 60, 150, 290, 437]) func everyCut(shift: Int) throws {
        for initial in try Self.initials(shift: shift) {
            let session = try session(initial, Self.parts)
            var (faults, completeCount) = (0, 0)
            let tally = PowerCuts(session.recording, imageLimit: 4096).forEachImage { image in
                if StreamSamples.open(image.contents.allBytes).isComplete { completeCount += 1 }
                guard let fault = fault(image, session) else { return }
                faults += 1
                if faults < 4 { Issue.record("\(fault) after \(image.operationCount) operations: \(image.fates)") }
            }
            #expect(faults == 0)
            #expect(tally.momentCount >= 6 && tally.exhaustiveMomentCount == tally.momentCount)
            #expect(tally.imageCount > 80 && completeCount >= 2, "\(tally)")
        }
    }

    /// Segments of many sizes, more than the disk takes at once.
    @Test func longFrames() throws {
        let initial = try StreamSamples.sealed(frames: [StreamSamples.text(900)])
        let parts = [700_000, 70_000].map { StreamSamples.text($0, seed: UInt64($0)) }
        let session = try session(initial, parts)
        var unfinishedCount = 0
        let tally = PowerCuts(session.recording, imageLimit: 24, seed: 4).forEachImage { image in
            let tail = try? StreamTail(of: MemoryFile(image.contents), secrets: Self.secrets)
            if let tail, tail.unfinishedTextByteCount > 0 { unfinishedCount += 1 }
            if let fault = fault(image, session) { Issue.record("\(fault): \(image.fates)") }
        }
        #expect(tally.imageCount > 40 && unfinishedCount > 0, "\(unfinishedCount)")
    }

    /// The broken control: no flush is done.
    @Test func withoutFlushes() throws {
        let session = try session(Self.initials()[0], Self.parts, none: true)
        var faults = 0
        PowerCuts(session.recording, imageLimit: 400, seed: 1).forEachImage {
            if fault($0, session) != nil { faults += 1 }
        }
        #expect(faults > 100)
    }

    /// Broken controls: one flush is left out. Syncs: 0 the cut; 1, 2, 3 and 4 the frames; 5 the end.
    @Test(arguments: 0...5) func withoutOneFlush(number: Int) throws {
        let session = try session(Self.initials()[0], Self.parts, skipping: number)
        var faults = 0
        PowerCuts(session.recording, imageLimit: 400, seed: 1).forEachImage {
            if fault($0, session) != nil { faults += 1 }
        }
        #expect(faults > 0, "a missing flush \(number) is not noticed")
    }
}

/// A file of which one sync is not done.
private final class SkippingSync: BlockFile {
    private let file: RecordingFile
    private let skipped: Int?
    private let count = Mutex(0)

    init(_ file: RecordingFile, _ skipped: Int?) { (self.file, self.skipped) = (file, skipped) }

    var path: String { file.path }
    func byteCount() -> UInt64 { file.byteCount() }
    func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        try file.read(into: &buffer, at: offset)
    }
    func write(_ bytes: RawSpan, at offset: UInt64) { file.write(bytes, at: offset) }
    func resize(to byteCount: UInt64) { file.resize(to: byteCount) }
    func zero(_ range: Range<UInt64>) { file.zero(range) }
    func sync() {
        let number = count.withLock { count in
            count += 1
            return count - 1
        }
        if number != skipped { file.sync() }
    }
}
