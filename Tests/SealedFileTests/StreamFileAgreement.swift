import BlockIO
import ByteCodec
import DiskModel
import Testing

@testable import SealedFile

/// What a `SealedStreamFile` makes of some bytes, beside what is known of them.
struct StreamFileAgreement {
    /// That of the opening.
    var error: DiskError?
    var byteCount = 0
    /// Text by segments of a frame that begins with the stream; nil for what is not authentic.
    var pieces: [[UInt8]?] = []
    /// Whether all text could be read.
    var isReadable: Bool { error == nil && !pieces.contains { $0 == nil } }

    init(_ bytes: [UInt8], secret: SlotKey = StreamSamples.secret()) {
        do throws(DiskError) {
            let file = try SealedStreamFile(reading: MemoryFile(bytes), secrets: [secret])
            byteCount = Int(file.byteCount())
            for start in stride(from: 0, to: byteCount, by: 65_536) {
                pieces.append(Self.read(file, start..<min(start + 65_536, byteCount)))
            }
            let whole = Self.read(file, 0..<byteCount)
            #expect((whole != nil) == isReadable, "a part of what can be read, or the reverse")
            if let whole, isReadable { #expect(StreamSamples.isSame(whole, pieces.flatMap { $0 ?? [] })) }
        } catch { self.error = error }
    }

    /// - Returns: nil for what is not authentic.
    private static func read(_ file: SealedStreamFile, _ range: Range<Int>) -> [UInt8]? {
        do throws(IOError) { return try file.bytes(at: UInt64(range.lowerBound), count: range.count) } catch {
            #expect(error.reason == .notAuthentic && (error.offset ?? .max) < UInt64(range.upperBound), "\(error)")
            return nil
        }
    }

    /// Whether each byte that can be read is the one of a text.
    func isRight(_ text: [UInt8]) -> Bool {
        guard error == nil else { return true }
        return byteCount == text.count
            && pieces.enumerated().allSatisfy { place, piece in
                guard let piece else { return true }
                return StreamSamples.isSame(piece, Array(text[place * 65_536..<place * 65_536 + piece.count]))
            }
    }

    /// Compares it with what the other reader gave.
    func expectSame(_ opened: StreamSamples.Opened) {
        #expect(isReadable == opened.isComplete, "\(String(describing: error)), \(String(describing: opened.error))")
        if opened.isComplete { #expect(isRight(opened.text)) }
        for (place, piece) in pieces.enumerated() {
            let end = place * 65_536 + (piece?.count ?? 0)
            guard let piece, end <= opened.text.count else { continue }
            #expect(StreamSamples.isSame(piece, Array(opened.text[place * 65_536..<end])), "piece \(place)")
        }
        guard let error else { return }
        #expect(error.kind == .key || error.kind == .format, "\(error)")
        switch opened.error {
        case nil: #expect(error.formatError?.code == .sealedOpen, "\(error)")
        case let other?:
            // Who goes by the frames' lengths sees the missing end before a word that was lost on the way.
            let mayLookOpen = other.kind == .key || other.formatError?.code == .sealedFrame
            #expect(error.formatError?.code != .sealedOpen || mayLookOpen, "\(error), not \(other)")
            if other.formatError?.code == .sealedTail { #expect(error.formatError?.code == .sealedTail) }
        }
    }
}
