import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing
@testable import VHD

/// Damage that nobody chose: every byte of the metadata changed, files that cannot be read or written, and hostile
/// tables.
@Suite struct CheckDamageTests {
    static let images: [(name: String, bytes: [UInt8], metadata: [Range<Int>])] = [
        ("dynamic", Good.dynamic().bytes, [0..<1556, 2048..<2052, 6656..<6660, 11264..<11776]),
        ("differencing", Good.differencing().bytes, [512..<600, 1064..<1300, 2048..<2080, 2560..<2590]),
        ("xen", Good.xen().bytes, [28..<40, 528..<544, 2048..<2120, 2560..<2564]),
        ("fixed", Good.fixed(), [8192..<8704]),
    ]

    struct Counts {
        var changes = 0
        var readable = 0
        var mended = 0
        var slowest = Duration.zero
    }

    /// Each byte changed in one bit, and the same with the checksums over it made right.
    @Test(arguments: images.indices) func everyByteOfTheMetadata(_ index: Int) throws {
        let (name, bytes, metadata) = Self.images[index]
        var counts = Counts()
        for offset in metadata.joined() {
            let damaged = bytes.with([bytes[offset] ^ (1 << UInt8(offset * 5 % 8))], at: offset)
            try Self.damage(damaged, index, "byte \(offset)", isSealed: false, &counts)
            if index == 3 {
                try Self.damage(
                    damaged.withFooters(isFixed: true) { $0 }, index, "byte \(offset)", isSealed: true, &counts)
            } else if (512..<1536).contains(offset) {
                try Self.damage(damaged.withHeader { $0 }, index, "byte \(offset)", isSealed: true, &counts)
            } else if offset >= bytes.count - 512 {
                try Self.damage(damaged.withFooters { $0 }, index, "byte \(offset)", isSealed: true, &counts)
            }
        }
        print("CheckDamageTests: \(name): \(counts)")
        #expect(counts.slowest < .seconds(5) && counts.changes >= 100)
    }

    /// - Parameter isSealed: the damage cannot be told from what somebody meant: a disk that can be made readable may
    ///   be another one.
    static func damage(
        _ damaged: [UInt8], _ index: Int, _ what: String, isSealed: Bool, _ counts: inout Counts
    ) throws {
        var deep = CheckOptions()
        deep.isDeep = true
        let before = try? contents(VHDLayer(reading: MemoryFile(damaged)))
        let file = MemoryFile(damaged)
        let start = ContinuousClock().now
        let report = try VHDChecker.check(file, deep) { _, _ in }
        #expect(file.allBytes == damaged)
        let actions = try VHDChecker.repair(file, RepairKind.lossless, deep) { _, _ in }
        counts.slowest = max(counts.slowest, ContinuousClock().now - start)
        counts.changes += 1
        if actions.isEmpty { #expect(file.allBytes == damaged, "\(what): changed without a word") }
        let offered = report.findings.contains { !RepairKind.lossless.isDisjoint(with: $0.repairs) }
        #expect(offered == !actions.isEmpty, "\(what): \(report.findings) \(actions)")
        let after = try? contents(VHDLayer(reading: MemoryFile(file.contents)))
        if report.isReadable, let before {
            #expect(try VHDChecker.isReadable(file) && after == before, "\(images[index].name): \(what)")
            counts.readable += 1
        } else if let after, !isSealed, try VHDChecker.isReadable(file) {
            // Nothing was readable before; what is now must be the disk.
            #expect(after == disk(index), "\(images[index].name): \(what)")
            counts.mended += 1
        }
    }

    /// What a header with a wrong checksum says is nothing to repair by.
    @Test(arguments: [0, 1, 2]) func damagedHeadersChangeNothing(_ index: Int) throws {
        let kinds = Set(RepairKind.allCases).subtracting([.checksums, .zeroSectors])
        for offset in 512..<1536 {
            for (cut, bytes) in [Self.images[index].bytes, Array(Self.images[index].bytes.dropLast(512))].enumerated() {
                let damaged = bytes.flipped(offset)
                let (after, actions) = try CheckPlantedTests.repaired(damaged, kinds)
                if cut == 0 {
                    #expect(after == damaged && actions.isEmpty, "byte \(offset): \(actions)")
                } else {
                    // A footer may be put behind everything.
                    let isKept = Array(after.prefix(damaged.count)) == damaged
                    #expect(isKept && actions.allSatisfy { $0.kind == .footer }, "byte \(offset): \(actions)")
                }
            }
        }
    }

    /// Several bytes changed at once, in numbers more than elsewhere, with right checksums or not: a repair that can
    /// cost nothing costs nothing, and all repairs together leave nothing that they would do a second time.
    @Test func randomDamage() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix(seed: seed)
        var (readable, mended) = (0, 0)
        for round in 0..<600 {
            let (_, bytes, metadata) = Self.images[round % Self.images.count]
            let places = Array(metadata.joined())
            var damaged = bytes
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let offset = places[Int.random(in: 0..<places.count, using: &random)]
                damaged[offset] = UInt8.random(in: 0 ... .max, using: &random)
            }
            if round % 3 == 0 { damaged.removeLast(Int.random(in: 1...6000, using: &random)) }
            if round % 5 == 0 { damaged = damaged.withFooters(isFixed: round % 4 == 3) { $0 } }
            if round % 7 == 0, round % 4 != 3 { damaged = damaged.withHeader { $0 } }
            let report = try VHDChecker.check(MemoryFile(damaged), CheckCleanTests.deep) { _, _ in }
            let lossless = try CheckPlantedTests.repaired(damaged, RepairKind.lossless).0
            if report.isReadable {
                readable += 1
                #expect(try VHDChecker.isReadable(MemoryFile(lossless)), "seed \(seed), round \(round)")
                let (before, after) = (MemoryFile.Contents(damaged), MemoryFile.Contents(lossless))
                let (old, new) = (CheckPowerCutTests.disk(before), CheckPowerCutTests.disk(after))
                #expect(old?.bytes == new?.bytes && old?.missing == new?.missing, "seed \(seed), round \(round)")
            }
            let kinds = Set(RepairKind.allCases).subtracting([round % 2 == 0 ? .setBits : .zeroSectors])
            let all = try CheckPlantedTests.repaired(damaged, kinds).0
            let (again, actions) = try CheckPlantedTests.repaired(all, kinds)
            #expect(again == all && actions.isEmpty, "seed \(seed), round \(round): \(actions)")
            if !report.isReadable, try VHDChecker.isReadable(MemoryFile(all)) { mended += 1 }
        }
        print("CheckDamageTests: random damage, seed \(seed): \(readable) readable and kept, \(mended) mended")
    }

    /// What the opener refuses is an error of the checker's, at the same place.
    @Test(arguments: RejectTests.opening) func whatTheOpenerRefuses(_ image: RejectTests.Case) throws {
        let report = try CheckPlantedTests.check(image.bytes)
        #expect(!report.isReadable)
        #expect(
            report.findings.contains {
                $0.finding.severity == .error && $0.finding.detail.code == image.code
                    && $0.finding.detail.offset == image.offset
            }, "\(report.findings)")
    }

    @Test(arguments: [0, 1, 510, 511, 512, 1023, 1024, 2048, 4096]) func noImageAtAll(_ count: Int) throws {
        for byte in [UInt8(0), 0xff] {
            let bytes = [UInt8](repeating: byte, count: count)
            let report = try CheckPlantedTests.check(bytes)
            #expect(!report.isReadable && report.count(.error) == 1)
            #expect(try CheckPlantedTests.repaired(bytes, Set(RepairKind.allCases).subtracting([.setBits])).0 == bytes)
        }
    }

    private static func disk(_ index: Int) -> [UInt8] { index == 3 ? Good.fixedDisk : Good.disk }

    // MARK: Failing files

    @Test func unreadableFilesThrow() throws {
        var deep = CheckOptions()
        deep.isDeep = true
        for (name, bytes, _) in Self.images {
            var after = 0
            while after < 1000 {
                let file = FailingFile(MemoryFile(bytes), after: after, failsReads: true)
                do throws(DiskError) {
                    _ = try VHDChecker.check(file, deep) { _, _ in }
                    #expect(!file.hasFailed, "\(name): a failed read was passed over")
                    break
                } catch {
                    #expect(error.kind == .io && file.hasFailed, "\(name): \(error)")
                }
                after += 1
            }
            #expect(after > 2 && after < 1000, "\(name)")
        }
    }

    /// Every operation of every repair fails once: the repair says so, what was readable is, and a second run completes
    /// it.
    @Test(arguments: CheckPowerCutTests.cases) func failingRepairs(_ subject: CheckPowerCutTests.Case) throws {
        let planted = subject.planted
        let before = CheckPowerCutTests.disk(MemoryFile.Contents(planted.bytes))
        for after in 0..<100 {
            let memory = MemoryFile(planted.bytes)
            let file = FailingFile(memory, after: after, recovers: true)
            do throws(DiskError) {
                _ = try VHDChecker.repair(file, [subject.kind], .init()) { _, _ in }
                #expect(!file.hasFailed, "a failed operation was passed over")
                #expect(after > 0)
                break
            } catch {
                #expect(error.kind == .io && file.hasFailed, "\(error)")
            }
            if planted.opens {
                let found = try #require(CheckPowerCutTests.disk(memory.contents))
                #expect(CheckPowerCutTests.strays(found, planted, planted.changed[subject.kind] ?? planted.disk) == 0)
                #expect(before != nil)
            }
            _ = try VHDChecker.repair(memory, [subject.kind], .init()) { _, _ in }
            let report = try VHDChecker.check(memory, planted.options) { _, _ in }
            #expect(!CheckPlantedTests.isShown(planted, in: report), "after \(after): \(report.findings)")
        }
    }

    // MARK: Progress and size

    struct Stopped: Error {}

    @Test func progressStops() throws {
        var deep = CheckOptions()
        deep.isDeep = true
        for (name, bytes, _) in Self.images {
            var calls: [(UInt64, UInt64)] = []
            _ = try VHDChecker.check(MemoryFile(bytes), deep) { calls.append(($0, $1)) }
            #expect(calls.last.map { $0.0 == $0.1 } == true, "\(name)")
            #expect(calls.map(\.0) == calls.map(\.0).sorted())
            #expect(throws: DiskError.self) {
                _ = try VHDChecker.check(MemoryFile(bytes), deep) { _, _ throws(DiskError) in
                    throw DiskError(.refused, path: "", "stopped")
                }
            }
        }
    }

    /// A long table, every entry bad in one of three ways: all are told, few are kept.
    @Test(arguments: [UInt32(0), 0xffff_fffe, 8192]) func hostileTables(_ entry: UInt32) throws {
        let count = 20_000
        var image = TinyImage()
        image.footer.currentSize = UInt64(count) * (2 << 20)
        image.footer.geometry = geometryCHS(virtualByteCount: image.footer.currentSize)
        image.header?.blockSize = 2 << 20
        image.header?.maxTableEntries = UInt32(count)
        image.table = []
        var contents = MemoryFile.Contents(image.bytes)
        let raw = (0..<4).map { UInt8(truncatingIfNeeded: entry >> UInt32(24 - 8 * $0)) }
        let page = [UInt8]((0..<1024).flatMap { _ in raw })
        for start in stride(from: 0, to: count * 4, by: 4096) {
            contents.write(page.rawBytes, at: 1536 + UInt64(start))
        }
        let size: UInt64 = 8192 * 512 + (2 << 20) + 512
        contents.resize(to: size)
        contents.write(image.footer.sealed().rawBytes, at: size)
        let file = MemoryFile(contents)
        let report = try VHDChecker.check(file, .init()) { _, _ in }
        let errors = report.findings.filter { $0.finding.severity == .error }
        #expect(errors.count == CheckReport.keptCount && !report.isReadable)
        #expect(report.droppedCount >= count - 101, "\(report.droppedCount)")
        let actions = try VHDChecker.repair(file, [.dropBlocks], .init()) { _, _ in }
        #expect(actions.count == 1000 && actions[999].what.contains("more"), "\(actions.last?.what ?? "")")
        let after = try VHDChecker.check(file, .init()) { _, _ in }
        #expect(after.isReadable && after.count(.error) == 0)
        let census = try VHDLayer(reading: file).census()
        #expect(census.counts[1].count == (entry == 8192 ? 1 : 0))
    }
}
