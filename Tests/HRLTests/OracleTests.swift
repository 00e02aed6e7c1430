import BlockIO
import HRL
import Testing

/// Reader, checker and recovery say of every log just what the model says, which was made from the document alone.
@Suite struct OracleTests {
    struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var z = state
            z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
            z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
            return z ^ z >> 31
        }
    }

    private func expectAgreement(
        _ file: SectorFile, _ diskByteCount: UInt64? = nil, accepted: Set<String> = [],
        _ comment: @autoclosure () -> String = "", location: SourceLocation = #_sourceLocation
    ) {
        let disagreement = HRLAgreement(file, diskByteCount: diskByteCount, accepted: accepted).disagreement()
        #expect(disagreement == nil, "\(comment())", sourceLocation: location)
    }

    @Test(arguments: 0..<HRLSample.kindCount)
    func sample(kind: Int) {
        let file = HRLSample(kind: kind).file
        expectAgreement(file)
        let unclosed = kind == 7 || kind == 11
        switch HRLModel(file).read() {
        case .refused(let code): #expect(unclosed && code == "HRL004")
        case .accepted(let reading): #expect(!unclosed && (reading.writes.count > 0) == (kind != 9))
        }
    }

    /// The sample made by hand is the log that our writer makes, but for its data and the names in its header.
    @Test func workedExample() throws {
        let byHand = HRLModel(HRLSample(kind: 0).file).read()
        let written = try SectorFile(WorkedExample.log().allBytes)
        #expect(HRLModel(written).read() == byHand)
        expectAgreement(written)
        guard case .accepted(let reading) = byHand else {
            Issue.record("refused")
            return
        }
        #expect(reading.writes.count == 58 && reading.byteCount == 320_000 && reading.notes.isEmpty)
        for (found, expected) in zip(reading.writes, WorkedExample.writes) {
            #expect(found.diskOffset == expected.offset && found.byteCount == UInt64(expected.count))
            #expect(found.dataOffset == expected.dataOffset && found.time == expected.time)
        }
    }

    /// 20,000 logs, each a sample with up to four changes, checksums mostly put right afterwards.
    @Test func mutations() async {
        let counts = await withTaskGroup(of: [String: Int].self) { group in
            for part in 0..<4 { group.addTask { Self.mutate(part, count: 5000) } }
            return await group.reduce(into: [:]) { $0.merge($1, uniquingKeysWith: +) }
        }
        print("oracle:", counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", "))
        #expect(counts.values.reduce(0, +) == 20_000)
        let codes = [
            "HRL001", "HRL002", "HRL003", "HRL004", "HRL005", "HRL007", "HRL011", "HRL012", "HRL013", "HRL015",
            "HRL016", "HRL017", "HRL019", "HRL024", "HRL040", "HRL041", "HRL042", "HRL043",
        ]
        for code in codes { #expect(counts[code, default: 0] > 0, "\(code) never happened") }
        #expect(counts["accepted", default: 0] > 4000)
    }

    /// How many logs were accepted, and how many refused by each code.
    private static func mutate(_ part: Int, count: Int) -> [String: Int] {
        var generator = Generator(state: UInt64(part))
        var counts: [String: Int] = [:]
        for number in 0..<count {
            let input = input(number, &generator)
            guard let recipe = HRLRecipe(input) else { continue }
            let agreement = HRLAgreement(recipe.file, diskByteCount: recipe.diskByteCount, accepted: recipe.accepted)
            let disagreement = agreement.disagreement()
            #expect(disagreement == nil, "recipe \(input)")
            switch agreement.verdict {
            case .accepted: counts["accepted", default: 0] += 1
            case .refused(let code): counts[code, default: 0] += 1
            }
        }
        return counts
    }

    private static func input(_ number: Int, _ generator: inout Generator) -> [UInt8] {
        func byte() -> UInt8 { UInt8.random(in: 0...255, using: &generator) }
        var input = [UInt8(number % HRLSample.kindCount), byte() % 32, byte(), byte()]
        switch generator.next() % 8 {
        case 0: break
        case 1: input[1] &= 15
        case 2: input[1] = input[1] & 8 | 3
        default: input[1] = input[1] & 8 | 7
        }
        if generator.next() % 4 > 0 { input[2] = 0 }
        for _ in 0..<4 * Int.random(in: 0...4, using: &generator) { input.append(byte()) }
        return input
    }

    /// Noise in whole sectors of the worked example, checksums as they come.
    @Test func noise() throws {
        let log = try WorkedExample.log().allBytes
        var generator = Generator(state: 7)
        for _ in 0..<300 {
            var file = SectorFile(log)
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                let places: [Range<UInt64>] = [0..<128, 4096..<4128, 328_192..<330_080]
                let place = UInt64.random(in: places.randomElement(using: &generator)!, using: &generator)
                file.write([UInt8.random(in: 0...255, using: &generator)], at: place)
            }
            expectAgreement(file, accepted: generator.next() % 2 == 0 ? [] : ["HRL003", "HRL012", "HRL015"])
        }
    }

    /// The comparison sees a difference: here the readers get another file than the model.
    @Test func differenceIsSeen() {
        let sample = HRLSample(kind: 2)
        for offset in sample.entryOffsets + sample.blockOffsets + [44] {
            var other = sample.file
            other.write([other.read(offset, 1)[0] ^ 1], at: offset)
            let agreement = HRLAgreement(sample.file, contents: other.memoryContents)
            #expect(agreement.disagreement() != nil, "offset \(offset)")
        }
    }

    /// The largest blocks there may be, and the next size.
    @Test func largestBlocks() {
        for (size, code) in [(UInt32(1) << 24, nil), (1 << 24 + 32, "HRL007")] as [(UInt32, String?)] {
            var file = HRLSample(kind: 2).file
            file.write(little(UInt64(size), 4), at: 56)
            file.write(little(4096 + UInt64(size), 8), at: 44)
            file.resize(to: 4096)
            file.seal(0, 4096, at: 40)
            file.seal(4096, 32, at: 12)
            file.resize(to: 4096 + UInt64(size))
            expectAgreement(file)
            if let code {
                #expect(HRLModel(file).read() == .refused(code))
            } else if case .refused(let code) = HRLModel(file).read() {
                Issue.record("refused with \(code)")
            }
        }
    }
}
