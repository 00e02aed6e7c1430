import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import HRL
import Testing

@Suite struct BackwardTests {
    private static let time = DiskTimestamp(rawValue: 800_000_000)

    private func log(_ seed: UInt64, computesDataChecksums: Bool, beginsWithEmptyBlock: Bool) throws -> MemoryFile {
        var random = SplitMix(seed: seed)
        let file = MemoryFile()
        var options = LogWriter.Options()
        options.metadataSize = 512
        options.created = Self.time
        options.computesDataChecksums = computesDataChecksums
        options.beginsWithEmptyBlock = beginsWithEmptyBlock
        let writer = try LogWriter.create(on: file, options)
        for _ in 0..<Int.random(in: 0...200, using: &random) {
            let offset = UInt64.random(in: 0..<1000, using: &random) * 512
            switch Int.random(in: 0..<8, using: &random) {
            case 0: try writer.appendZeroes(offset..<offset + 4096, time: Self.time)
            case 1: try writer.flush()
            default:
                let count = Int.random(in: 1...3000, using: &random)
                try writer.append([UInt8](repeating: UInt8(count % 251), count: count), at: offset, time: Self.time)
            }
        }
        try writer.close(at: Self.time)
        return file
    }

    @Test(arguments: 1...12) func theSameTheOtherWayRound(seed: UInt64) throws {
        let file = try log(seed, computesDataChecksums: seed % 2 == 0, beginsWithEmptyBlock: seed % 3 == 0)
        let reader = try LogReader(file)
        for verifies in [false, true] {
            var (forward, backward): ([LogWrite], [LogWrite]) = ([], [])
            let summary = try reader.forEachWrite(verifyingData: verifies) { forward.append($0) }
            let other = try reader.forEachWriteBackward(verifyingData: verifies) { backward.append($0) }
            #expect(backward == forward.reversed())
            #expect(other.findings == summary.findings && other.writeCount == summary.writeCount)
            #expect(other.byteCount == summary.byteCount && other.blockCount == summary.blockCount)
        }
    }

    /// More blocks than a segment of the chain has.
    @Test func severalSegments() throws {
        let file = MemoryFile()
        var options = LogWriter.Options()
        options.metadataSize = 512
        let writer = try LogWriter.create(on: file, options)
        let count: UInt64 = 1_000_000
        for number in 0..<count { try writer.appendZeroes(number << 9..<(number + 1) << 9, time: options.created) }
        try writer.close(at: options.created)
        var next = count
        var isRight = true
        try LogReader(file).forEachWriteBackward(verifyingData: false) { write in
            if write.number != next || write.diskOffset != (next - 1) << 9 { isRight = false }
            next -= 1
        }
        #expect(isRight && next == 0)
    }

    @Test func acceptedErrorsAreTheSame() throws {
        let file = try log(4, computesDataChecksums: true, beginsWithEmptyBlock: true)
        var places: [UInt64] = []
        try LogReader(file).forEachWrite(verifyingData: true) { write in
            if write.dataChecksum == .ok, write.number % 5 == 0 { places.append(write.dataOffset) }
        }
        for place in places { try file.write([0xff], at: place) }
        #expect(places.count > 3)
        #expect(throws: DiskError.self) {
            try LogReader(file).forEachWriteBackward(verifyingData: true) { _ in Issue.record("visited") }
        }
        let reader = try LogReader(file, options: HRLReadOptions(accepting: [.hrlDataChecksum]))
        var (forward, backward): ([LogWrite], [LogWrite]) = ([], [])
        try reader.forEachWrite(verifyingData: true) { forward.append($0) }
        try reader.forEachWriteBackward(verifyingData: true) { backward.append($0) }
        #expect(backward == forward.reversed())
        #expect(forward.contains { $0.dataChecksum == .bad })
    }
}
