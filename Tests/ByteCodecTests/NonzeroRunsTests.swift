import ByteCodec
import Testing

@Suite struct NonzeroRunsTests {
    private func runs(_ bytes: [UInt8], _ granularity: Int) -> [Range<Int>] {
        var result: [Range<Int>] = []
        forEachNonzeroRun(in: bytes.rawBytes, granularity: granularity) { result.append($0) }
        return result
    }

    @Test func findsWhatIsNotZero() {
        #expect(runs([], 4) == [])
        #expect(runs([0, 0, 0, 0, 0], 2) == [])
        #expect(runs([0, 0, 0, 1, 0, 0, 0], 2) == [2..<4])
        #expect(runs([1, 0, 1, 0, 0, 0, 9], 2) == [0..<4, 6..<7])
    }
}
