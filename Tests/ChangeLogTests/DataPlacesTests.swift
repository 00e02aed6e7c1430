import BlockIO
import ByteCodec
import FaultInjection
import Testing

@testable import ChangeLog

/// Counts how often it is asked where data is.
private final class AskedFile: BlockFile {
    let base = MemoryFile()
    let asked = SyncCounter()
    var path: String { base.path }
    func byteCount() -> UInt64 { base.byteCount() }
    func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        try base.read(into: &buffer, at: offset)
    }
    func write(_ bytes: RawSpan, at offset: UInt64) throws(IOError) { try base.write(bytes, at: offset) }
    func resize(to byteCount: UInt64) { base.resize(to: byteCount) }
    func zero(_ range: Range<UInt64>) { base.zero(range) }
    func sync() {}
    func data(from offset: UInt64) -> Range<UInt64>? {
        asked.add()
        return base.data(from: offset)
    }
}

@Suite struct DataPlacesTests {
    /// Positions in any order get what the file itself says; while there is room, each run is asked for once.
    @Test(arguments: [1, 3, 40, 1000]) func asTheFileSays(capacity: Int) throws {
        var generator = SplitMix(seed: UInt64(capacity))
        let file = AskedFile()
        let runCount = 60
        for run in 0..<runCount {
            let block = [UInt8](repeating: 1, count: 4096 * Int.random(in: 1...3, using: &generator))
            try file.write(block, at: UInt64(run) << 16 + 4096)
        }
        let byteCount = UInt64(runCount) << 16
        file.resize(to: byteCount)
        var places = DataPlaces(file, capacity: capacity)
        for _ in 0..<2000 {
            let position = UInt64.random(in: 0..<byteCount, using: &generator)
            let expected = file.base.data(from: position) ?? .max ..< .max
            #expect(try places.data(from: position) == expected, "at \(position)")
        }
        if capacity == 1000 {
            #expect(file.asked.count <= runCount + 1)
        } else {
            #expect(file.asked.count > runCount)
        }
    }

    @Test func emptyFile() throws {
        var places = DataPlaces(MemoryFile())
        #expect(try places.data(from: 0) == .max ..< .max)
        #expect(try places.data(from: 5) == .max ..< .max)
    }
}
