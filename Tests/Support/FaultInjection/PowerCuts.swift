public import BlockIO
import ByteCodec

/// The files a power cut could leave. Between two syncs every write, zeroing and resize is independently kept, lost or
/// torn at a multiple of 512 bytes; what a sync covered is kept.
///
/// Only the moments just before a sync and at the very end are enumerated: an image of an earlier moment is one of these
/// with the later operations lost, and the later moment promises at least as much.
public struct PowerCuts: Sendable {
    public struct Image: Sendable {
        public var contents: MemoryFile.Contents
        /// Numbers of the marks passed before the cut, in order: what had been acknowledged.
        public var marks: [Int]
        /// How many operations had been issued.
        public var operationCount: Int
        /// What became of each unsynced operation, for messages.
        public var fates: String
    }

    public struct Tally: Sendable {
        public var imageCount = 0
        public var momentCount = 0
        /// Moments where all combinations were tried, not a sample.
        public var exhaustiveMomentCount = 0
        public init() {}
    }

    enum Fate: Sendable {
        case kept, lost
        /// Only the first, or only the last, so many bytes reached the medium.
        case prefix(Int)
        case suffix(Int)
    }

    public let recording: RecordingFile.Recording
    /// At most so many images a moment: all combinations when they are fewer, else a sample.
    public let imageLimit: Int
    public let seed: UInt64

    public init(_ recording: RecordingFile.Recording, imageLimit: Int = 256, seed: UInt64 = 1) {
        (self.recording, self.imageLimit, self.seed) = (recording, imageLimit, seed)
    }

    /// Visits every image.
    @discardableResult
    public func forEachImage(_ body: (Image) throws -> Void) rethrows -> Tally {
        var tally = Tally()
        var generator = SplitMix(seed: seed)
        var durable = recording.initial
        var pending: [RecordingFile.Operation] = []
        var marks: [Int] = []
        for (index, operation) in recording.operations.enumerated() {
            switch operation {
            case .mark(let number): marks.append(number)
            case .sync:
                try visit(durable, pending, marks, index, &generator, &tally, body)
                for done in pending { Self.apply(done, .kept, &durable) }
                pending = []
            default: pending.append(operation)
            }
        }
        try visit(durable, pending, marks, recording.operations.count, &generator, &tally, body)
        return tally
    }

    private func visit(
        _ durable: MemoryFile.Contents, _ pending: [RecordingFile.Operation], _ marks: [Int], _ operationCount: Int,
        _ generator: inout SplitMix, _ tally: inout Tally, _ body: (Image) throws -> Void
    ) rethrows {
        tally.momentCount += 1
        let choices = pending.map(Self.fates)
        let isExhaustive = try Self.forEachChoice(choices, imageLimit, &generator) { fates in
            var contents = durable
            for (operation, fate) in zip(pending, fates) { Self.apply(operation, fate, &contents) }
            tally.imageCount += 1
            try body(
                Image(
                    contents: contents, marks: marks, operationCount: operationCount,
                    fates: zip(pending, fates).map(Self.describe).joined(separator: ", ")))
        }
        if isExhaustive { tally.exhaustiveMomentCount += 1 }
    }

    /// Visits combinations of what can become of each operation.
    /// - Returns: whether these were all.
    static func forEachChoice(
        _ choices: [[Fate]], _ imageLimit: Int, _ generator: inout SplitMix, _ body: ([Fate]) throws -> Void
    ) rethrows -> Bool {
        let combinations = choices.reduce(1) { min(Int.max / 4096, $0 * min(4096, $1.count)) }
        if combinations <= imageLimit {
            var digits = [Int](repeating: 0, count: choices.count)
            for _ in 0..<combinations {
                try body(zip(choices, digits).map { $0[$1] })
                for position in digits.indices {
                    digits[position] += 1
                    if digits[position] < choices[position].count { break }
                    digits[position] = 0
                }
            }
            return true
        }
        // A sample: the extremes, each operation alone lost or alone kept, then chance.
        var sample: [[Fate]] = [choices.map { _ in .kept }, choices.map { _ in .lost }]
        for index in choices.indices where sample.count < imageLimit / 2 {
            var alone = choices.map { _ in Fate.lost }
            alone[index] = .kept
            var missing = choices.map { _ in Fate.kept }
            missing[index] = .lost
            var torn = choices.map { _ in Fate.kept }
            torn[index] = choices[index].randomElement(using: &generator)!
            sample += [alone, missing, torn]
        }
        while sample.count < imageLimit { sample.append(choices.map { $0.randomElement(using: &generator)! }) }
        for fates in sample { try body(fates) }
        return false
    }

    static func fates(of operation: RecordingFile.Operation) -> [Fate] {
        guard case .write(let offset, let bytes) = operation else { return [.kept, .lost] }
        var result: [Fate] = [.kept, .lost]
        // Media tear at their own sector boundaries, not at multiples from the start of the write.
        let first = Int(512 - offset % 512)
        for cut in stride(from: first, to: bytes.count, by: 512) {
            result.append(.prefix(cut))
            result.append(.suffix(bytes.count - cut))
        }
        return result
    }

    static func apply(_ operation: RecordingFile.Operation, _ fate: Fate, _ contents: inout MemoryFile.Contents) {
        if case .lost = fate { return }
        switch operation {
        case .write(let offset, let bytes):
            switch fate {
            case .prefix(let count): contents.write(bytes.rawBytes.extracting(0..<count), at: offset)
            case .suffix(let count):
                let start = bytes.count - count
                contents.write(bytes.rawBytes.extracting(start..<bytes.count), at: offset + UInt64(start))
            default: contents.write(bytes.rawBytes, at: offset)
            }
        case .zero(let range): contents.zero(range)
        case .resize(let count): contents.resize(to: count)
        case .sync, .mark: break
        }
    }

    static func describe(_ operation: RecordingFile.Operation, _ fate: Fate) -> String {
        let what =
            switch operation {
            case .write(let offset, let bytes): "write \(bytes.count)@0x\(String(offset, radix: 16))"
            case .zero(let range):
                "zero \(range.upperBound - range.lowerBound)@0x\(String(range.lowerBound, radix: 16))"
            case .resize(let count): "resize \(count)"
            case .sync: "sync"
            case .mark(let number): "mark \(number)"
            }
        return switch fate {
        case .kept: "\(what) kept"
        case .lost: "\(what) lost"
        case .prefix(let count): "\(what) first \(count) bytes"
        case .suffix(let count): "\(what) last \(count) bytes"
        }
    }
}
