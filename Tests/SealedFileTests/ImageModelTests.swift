import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing

@testable import SealedFile

/// Against a plain file: random changes, flushes and openings.
@Suite struct ImageModelTests {
    struct Mix: Sendable, CustomTestStringConvertible {
        var chunk: Int
        var journal: UInt64
        var seed: UInt64
        var steps: Int
        /// Bytes of the disk, about.
        var size: UInt64
        var testDescription: String { "chunks of \(chunk), journal \(journal), seed \(seed)" }
    }

    static let mixes: [Mix] = [
        Mix(chunk: 4096, journal: 262_144, seed: 11, steps: 3000, size: 3 << 20),
        Mix(chunk: 4096, journal: 262_144, seed: 12, steps: 3000, size: 600 << 10),
        Mix(chunk: 16_384, journal: 262_144, seed: 13, steps: 2000, size: 5 << 20),
        Mix(chunk: 16_384, journal: 2 << 20, seed: 14, steps: 2000, size: 5 << 20),
        Mix(chunk: 65_536, journal: 524_288, seed: 15, steps: 1500, size: 12 << 20),
        Mix(chunk: 4096, journal: 266_240, seed: 16, steps: 2000, size: 50 << 20),
    ]

    @Test(arguments: mixes) func agreesWithAPlainFile(mix: Mix) throws {
        let file = MemoryFile()
        var run = ModelRun(mix, file, try makeImage(on: file, chunk: mix.chunk, journal: mix.journal, seed: mix.seed))
        for step in 0..<mix.steps {
            try run.step(step)
        }
        try run.image.close()
        let reader = try openImage(file.contents)
        #expect(try reader.everything() == run.model.allBytes)
        #expect(run.generationCount > 20, "the journal was used")
    }
}

/// A random walk over an image and its model.
private struct ModelRun {
    let mix: ImageModelTests.Mix
    let file: MemoryFile
    var image: SealedImage
    var model = MemoryFile.Contents()
    var random: SplitMix
    var generationCount: UInt64 { image.anchor.generation }

    init(_ mix: ImageModelTests.Mix, _ file: MemoryFile, _ image: SealedImage) {
        (self.mix, self.file, self.image, random) = (mix, file, image, SplitMix(seed: mix.seed))
    }

    mutating func number(_ range: ClosedRange<UInt64>) -> UInt64 { UInt64.random(in: range, using: &random) }

    mutating func step(_ step: Int) throws {
        switch number(0...19) {
        case 0..<7: try write()
        case 7..<9: try zero()
        case 9:
            let size = number(0...4) == 0 ? number(0...mix.size) : number(mix.size / 2...mix.size)
            try image.resize(to: size)
            model.resize(to: size)
        case 10..<12: try image.sync()
        case 12 where step % 4 == 0: try reopen(step)
        case 13: try checkData(step)
        default: try checkRead(step)
        }
        #expect(image.byteCount() == model.byteCount)
    }

    mutating func write() throws {
        let size = UInt64(mix.chunk)
        var start = number(0...mix.size - 1)
        let count: UInt64
        switch number(0...3) {
        case 0: count = number(1...3 * size)
        case 1: (start, count) = (start.roundedDown(to: size), size * number(1...5))
        case 2: (start, count) = (start.roundedDown(to: 512), 512)
        default: count = number(0...9) == 0 ? number(1...mix.size / 2) : number(1...size)
        }
        let bytes = [UInt8](repeating: UInt8(number(0...255)), count: Int(min(count, mix.size - start)))
        try image.write(bytes, at: start)
        model.write(bytes.rawBytes, at: start)
    }

    mutating func zero() throws {
        guard model.byteCount > 0 else { return }
        let start = number(0...model.byteCount - 1)
        let end =
            number(0...5) == 0 ? number(start...model.byteCount + 9999) : start + number(0...5 * UInt64(mix.chunk))
        try image.zero(start..<end)
        model.zero(start..<end)
    }

    /// Without closing, after a flush; or after closing.
    mutating func reopen(_ step: Int) throws {
        if number(0...1) == 0 { try image.sync() } else { try image.close() }
        let anchor = image.anchor
        let before = file.contents
        let reader = try openImage(before, anchor: anchor)
        #expect(reader.anchor == anchor)
        let isEqual = try reader.everything() == model.allBytes
        try #require(isEqual, "step \(step): opened for reading")
        image = try SealedImage(writing: file, secrets: [keyFile()], anchor: anchor, random: fixedRandom(random.next()))
        let isUntouched = file.allBytes == before.allBytes
        #expect(isUntouched, "opening changed the file")
    }

    mutating func checkRead(_ step: Int) throws {
        guard model.byteCount > 0 else { return }
        let start = number(0...model.byteCount - 1)
        let count =
            number(0...3) == 0 ? number(1...model.byteCount - start) : number(1...min(model.byteCount - start, 9000))
        let isEqual = try image.bytes(at: start, count: Int(count)) == model.bytes(start..<start + count)
        try #require(isEqual, "step \(step): \(count) bytes at \(start)")
        #expect(throws: IOError.self) { try image.bytes(at: model.byteCount - 1, count: 2) }
    }

    /// What is told to be no data holds zeros, and runs end.
    mutating func checkData(_ step: Int) throws {
        var position = number(0...model.byteCount)
        while let data = try image.data(from: position) {
            try #require(data.lowerBound >= position && !data.isEmpty && data.upperBound <= model.byteCount)
            let isZero = isZero(model.bytes(position..<data.lowerBound).rawBytes)
            try #require(isZero, "step \(step): data is left out before \(data)")
            position = data.upperBound
        }
        let isZero = position >= model.byteCount || isZero(model.bytes(position..<model.byteCount).rawBytes)
        try #require(isZero, "step \(step): data is left out at the end")
    }
}
