import BlockIO
import ByteCodec
import Cipher
import DiskModel
import SealedFile

// A sealed stream. First byte 0: the rest is a file, opened with the key of the seeds; nothing traps, and what is
// complete can be added to. Else: a recipe. A stream is made of frames, and bytes of it are changed, moved, doubled and
// taken away; unless it is the same again, it is refused, or open with a prefix of its text. Read at any place, it
// gives all of its text just when the other reader does, and never other text.

private let key = (100..<132).map { UInt8($0) }
private let secrets = [SlotKey.keyFile(SecretBytes(copying: key.rawBytes))]
private let sizes = [1, 15, 16, 17, 300, 4000, 65_535, 65_536, 65_537, 131_072, 1_200_000]

/// The input, a byte at a time; zeros behind its end.
private struct Recipe {
    private let bytes: ArraySlice<UInt8>
    private var place: Int
    var isAtEnd: Bool { place >= bytes.endIndex }

    init(_ bytes: ArraySlice<UInt8>) { (self.bytes, place) = (bytes, bytes.startIndex) }

    mutating func next() -> Int {
        guard !isAtEnd else { return 0 }
        place += 1
        return Int(bytes[place - 1])
    }

    /// A place in so many bytes: in the first or last 256 of them, or anywhere.
    mutating func place(in count: Int) -> Int {
        guard count > 0 else { return 0 }
        let (kind, low, high) = (next(), next(), next())
        switch kind % 3 {
        case 0: return min(count - 1, low)
        case 1: return max(0, count - 1 - low)
        default: return (low | high << 8) * count >> 16
        }
    }
}

/// Different for each byte drawn, and the same in each run.
private final class Counting: @unchecked Sendable {
    private var next: UInt64 = 0
    var source: RandomSource {
        RandomSource { bytes in
            for place in 0..<bytes.byteCount {
                self.next += 1
                let mixed = self.next &* 0x9e37_79b9_7f4a_7c15
                bytes.store(UInt8(truncatingIfNeeded: mixed >> 56), at: place, .little)
            }
        }
    }
}

private func text(of bytes: [UInt8]) -> (text: [UInt8], isComplete: Bool, error: DiskError?) {
    var text: [UInt8] = []
    do throws(DiskError) {
        let reader = try SealedStreamReader(secrets: secrets, from: MemoryFile(bytes))
        do throws(DiskError) {
            try reader.forEachPiece { (piece) throws(DiskError) in text += [UInt8](copying: piece) }
        } catch {
            precondition(!reader.isComplete, "complete, and refused")
            return (text, false, error)
        }
        return (text, reader.isComplete, nil)
    } catch { return (text, false, error) }
}

/// Compares what is read at any place with what comes in order.
/// - Parameter whole: all text there ever was, if it is known.
private func compare(_ bytes: [UInt8], _ text: [UInt8], isComplete: Bool, _ whole: [UInt8]?) {
    guard let file = try? SealedStreamFile(reading: MemoryFile(bytes), secrets: secrets) else {
        return precondition(!isComplete, "complete, and cannot be opened")
    }
    let byteCount = Int(file.byteCount())
    precondition(byteCount < 1 << 24, "more text than there are bytes")
    if let whole { precondition(byteCount == whole.count, "another length") }
    if isComplete { precondition(byteCount == text.count, "another length than in order") }
    var isReadable = true
    for (start, step) in [(0, byteCount), (0, 65_536), (30_000, 65_536)] where step > 0 {
        for place in stride(from: start, to: byteCount, by: step) {
            let end = min(place + step, byteCount)
            do throws(IOError) {
                let found = try file.bytes(at: UInt64(place), count: end - place)
                if let whole { precondition(found[...] == whole[place..<end], "other text") }
                if end <= text.count { precondition(found[...] == text[place..<end], "not as in order") }
            } catch {
                precondition(error.reason == .notAuthentic, "another error than changed bytes give")
                isReadable = false
            }
        }
    }
    precondition(isReadable == isComplete, "only one of the readers gives all text")
}

private func stream(_ recipe: inout Recipe) throws -> (bytes: [UInt8], text: [UInt8]) {
    let random = Counting()
    let file = MemoryFile()
    var (all, offset) = ([UInt8](), UInt64(0))
    let writer = try SealedStreamWriter(for: secrets, random: random.source) { (bytes) throws(IOError) in
        try file.write(bytes, at: offset)
        offset += UInt64(bytes.byteCount)
    }
    let count = recipe.next() % 4
    if count == 0 { try writer.finish() }
    for frame in 0..<count {
        let size = sizes[recipe.next() % sizes.count]
        let part = [UInt8](repeating: UInt8(frame + 1), count: size)
        let appender = try SealedStreamAppender(on: file, secrets: secrets, random: random.source)
        try appender.write(part.rawBytes)
        if frame == count - 1 { try appender.finish() } else { try appender.flush() }
        all += part
    }
    return (file.allBytes, all)
}

private func edit(_ bytes: inout [UInt8], _ recipe: inout Recipe) {
    let operation = recipe.next()
    let (start, length) = (recipe.place(in: bytes.count), recipe.place(in: 256) + 1)
    guard !bytes.isEmpty else { return }
    let end = min(bytes.count, start + length)
    switch operation % 6 {
    case 0: bytes[start] ^= UInt8(recipe.next())
    case 1: bytes.removeSubrange(start..<end)
    case 2: bytes.insert(contentsOf: Array(bytes[start..<end]), at: recipe.place(in: bytes.count))
    case 3: bytes.removeSubrange(start...)
    case 4: bytes.insert(contentsOf: [UInt8](repeating: UInt8(recipe.next()), count: length), at: start)
    default:
        let target = recipe.place(in: bytes.count)
        let count = min(end - start, bytes.count - target)
        bytes.replaceSubrange(target..<target + count, with: Array(bytes[start..<start + count]))
    }
}

/// Adding works, and keeps all that could be read, or changes nothing.
private func append(to bytes: [UInt8], holding before: [UInt8]) {
    let (file, more) = (MemoryFile(bytes), [UInt8](repeating: 0xaa, count: 77))
    do {
        let appender = try SealedStreamAppender(on: file, secrets: secrets)
        try appender.write(more.rawBytes)
        try appender.finish()
    } catch { return precondition(file.allBytes == bytes, "refused, and changed") }
    let (text, isComplete, _) = text(of: file.allBytes)
    precondition(isComplete && text.suffix(77) == more[...], "what was added is missing")
    precondition(text.dropLast(77) == before[...], "other text than before")
}

@_cdecl("LLVMFuzzerTestOneInput")
public func test(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = [UInt8](UnsafeBufferPointer(start: start, count: count))
    guard let mode = input.first else { return 0 }
    guard mode != 0 else {
        let bytes = Array(input.dropFirst())
        let (text, isComplete, _) = text(of: bytes)
        compare(bytes, text, isComplete: isComplete, nil)
        append(to: bytes, holding: text)
        return 0
    }
    var recipe = Recipe(input.dropFirst())
    guard let (original, whole) = try? stream(&recipe) else { preconditionFailure("a stream cannot be made") }
    var bytes = original
    for _ in 0..<8 where !recipe.isAtEnd { edit(&bytes, &recipe) }
    let (text, isComplete, error) = text(of: bytes)
    let isSame = bytes == original
    precondition(isComplete == isSame, "complete, and changed; or whole, and not complete")
    precondition(!isSame || error == nil && text == whole, "what is whole is refused")
    precondition(whole.starts(with: text), "other text")
    compare(bytes, text, isComplete: isComplete, whole)
    append(to: bytes, holding: text)
    return 0
}
