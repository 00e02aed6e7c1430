import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing
import VHD

/// Calls that fail while a child is written, at each place once: what is left opens, holds what was flushed, and shows
/// nothing that was never there.
@Suite struct DifferencingFailureTests {
    /// Values that each sector of 16 may show, oldest first, and from which one on.
    struct Model {
        var values: [[UInt8]]
        var floor: [Int]

        init(_ shown: [UInt8]) {
            values = stride(from: 0, to: shown.count, by: 512).map { [shown[$0]] }
            floor = [Int](repeating: 0, count: values.count)
        }
        mutating func note(_ sectors: Range<Int>, _ value: UInt8) {
            for sector in sectors { values[sector].append(value) }
        }
        mutating func flushed(_ counts: [Int]) {
            for (sector, count) in counts.enumerated() { floor[sector] = count - 1 }
        }
        var counts: [Int] { values.map(\.count) }
    }

    /// - Returns: whether every call succeeded.
    static func run(_ failing: FailingFile, _ model: inout Model) -> Bool {
        let steps: [(Range<Int>, UInt8)] = [
            (0..<3, 1), (20..<22, 2), (9..<12, 0), (16..<24, 4), (30..<32, 5), (8..<10, 6), (2..<9, 0), (31..<32, 8),
        ]
        var isWhole = true
        guard let disk = try? VHDLayer(writing: failing) else { return false }
        for (index, (sectors, value)) in steps.enumerated() {
            let range = UInt64(sectors.lowerBound) * 512..<UInt64(sectors.upperBound) * 512
            // Also a write that fails may have left some of its sectors.
            model.note(sectors, value)
            do throws(DiskError) {
                if value == 0 {
                    try disk.writeZeroes(range)
                } else {
                    let bytes = [UInt8](repeating: value, count: range.count)
                    try disk.write(bytes.rawBytes, at: range.lowerBound)
                }
            } catch {
                isWhole = false
                // The value may be shown or not: what was there before counts as newest, too.
                for sector in sectors { model.values[sector] += model.values[sector].dropLast() }
            }
            guard index % 3 == 2 else { continue }
            let counts = model.counts
            do throws(DiskError) { try disk.flush() } catch {
                isWhole = false
                continue
            }
            if isWhole { model.flushed(counts) }
        }
        do throws(DiskError) { try disk.close() } catch { return false }
        return isWhole
    }

    @Test(arguments: [false, true]) func everyCall(_ recovers: Bool) throws {
        let parent = try parentLayer(parentBytes(16384))
        for initial in [newChild(16384, block: 4096), MemoryFile.Contents(oldChild().bytes)] {
            var after = 0
            while true {
                try #require(after < 200, "200 calls were not enough")
                let file = MemoryFile(initial)
                var model = Model(try contents(try VHDLayer(reading: file), parent: parent))
                let isWhole = Self.run(FailingFile(file, after: after, recovers: recovers), &model)
                let found = try contents(try VHDLayer(reading: MemoryFile(file.contents)), parent: parent)
                for (sector, values) in model.values.enumerated() {
                    let bytes = found[sector * 512..<sector * 512 + 512]
                    let value = found[sector * 512]
                    #expect(bytes.allSatisfy { $0 == value }, "call \(after): sector \(sector) is torn")
                    let allowed = values[(isWhole ? values.count - 1 : model.floor[sector])...]
                    #expect(
                        allowed.contains(value), "call \(after): sector \(sector) shows \(value), not of \(allowed)")
                }
                if isWhole { break }
                after += 1
            }
            #expect(after > 10)
            print("DifferencingFailureTests: recovers \(recovers): \(after) calls failed, each once")
        }
    }

    /// After a failed flush nothing more is written.
    @Test func failedFlushRefusesAll() throws {
        let file = MemoryFile(newChild(16384, block: 4096))
        var refusedCount = 0
        for after in 0..<20 {
            let failing = FailingFile(file, after: after, recovers: true)
            let disk = try VHDLayer(writing: failing)
            do throws(DiskError) { try disk.write([UInt8](repeating: 1, count: 512).rawBytes, at: 512) } catch {
                continue
            }
            do throws(DiskError) { try disk.flush() } catch {
                refusedCount += 1
                #expect(throws: DiskError.self) { try disk.writeZeroes(0..<512) }
                #expect(throws: DiskError.self) { try disk.flush() }
            }
        }
        #expect(refusedCount >= 3)
    }
}
