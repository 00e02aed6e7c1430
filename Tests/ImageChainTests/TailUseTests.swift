import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import RawDisk
import Testing
import ToolTesting

@testable import ImageChain

/// What is seen of the part of a disk that is to go.
@Suite struct TailUseTests {
    private static let size: UInt64 = 64 << 20
    private static let linux = "0fc63daf-8483-4772-8e79-3d69d8477de4"

    private func use(_ builder: DiskBuilder, from end: UInt64) throws -> TailUse {
        let chain = try ImageChain(leafFirst: [try RawLayer(MemoryFile(builder.contents))])
        return try TailUse(of: chain, from: end) { (_, _) throws(DiskError) in }
    }

    @Test func nothingThere() throws {
        let tail = try use(DiskBuilder(byteCount: Self.size), from: 512)
        #expect(tail.isUnused && tail.range == 512..<Self.size && tail.storedByteCount == 0)
    }

    /// The byte before the new end counts for nothing, that at it and the last one do.
    @Test func theFirstByteThatIsNotZero() throws {
        let end: UInt64 = 10 << 20
        for (places, first) in [
            ([end - 1], nil), ([end], end), ([end + 1, end + 5], end + 1), ([Self.size - 1], Self.size - 1),
            ([end + 777_777, end + 3_000_000], end + 777_777),
        ] as [([UInt64], UInt64?)] {
            var builder = DiskBuilder(byteCount: Self.size)
            for place in places { builder.put([7], at: place) }
            let tail = try use(builder, from: end)
            #expect(tail.firstNonzero == first && tail.isUnused == (first == nil))
        }
    }

    /// Random bytes at random places, against a search byte by byte.
    @Test func againstAModel() throws {
        var random = SplitMix(seed: 5)
        for _ in 0..<200 {
            var builder = DiskBuilder(byteCount: 4 << 20)
            var places: [UInt64] = []
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                // Behind what a boot record or a file system would be recognised by.
                places.append(UInt64.random(in: 100_000..<4 << 20, using: &random))
                builder.put([UInt8.random(in: 1...255, using: &random)], at: places.last!)
            }
            let end = UInt64.random(in: 1..<8192, using: &random) * 512
            let tail = try use(builder, from: end)
            #expect(tail.firstNonzero == places.filter { $0 >= end }.min())
        }
    }

    @Test func partitionsThatReachPastTheEnd() throws {
        var builder = DiskBuilder(byteCount: Self.size)
        builder.bootRecord([(0x83, 2048, 18432), (0x07, 20480, 20480), (0x05, 40960, 40960)])
        builder.bootRecord(at: 40960, [(0x83, 2048, 10000)])
        #expect(try use(builder, from: 40 << 20).partitions.isEmpty)
        #expect(try use(builder, from: (40 << 20) - 512).partitions.map(\.index) == [3])
        #expect(try use(builder, from: 22 << 20).partitions.map(\.index) == [3, 5])
        #expect(try use(builder, from: 1 << 20).partitions.map(\.index) == [1, 2, 3, 5])
        // All of it reads as zeros, and is in use.
        let tail = try use(builder, from: 30 << 20)
        #expect(tail.firstNonzero == nil && !tail.isUnused)
    }

    @Test func aFileSystemWithoutATable() throws {
        var builder = DiskBuilder(byteCount: Self.size)
        builder.put("-FVE-FS-", at: 3)
        let tail = try use(builder, from: 32 << 20)
        #expect(tail.firstNonzero == nil && tail.partitions.map(\.index) == [0] && !tail.isUnused)
    }

    /// What is not understood may well reach past the end.
    @Test func oddTables() throws {
        var builder = DiskBuilder(byteCount: Self.size)
        builder.gpt(count: 200, [150: (Self.linux, 90000, 95000, "")])
        let tail = try use(builder, from: 32 << 20)
        #expect(tail.partitions.isEmpty && tail.firstNonzero == nil)
        #expect(tail.remarks == ["the GPT has 200 entries: 128 are looked at"] && !tail.isUnused)
    }

    @Test(arguments: [512, 4096])
    func backupOfAGPT(sector: Int) throws {
        var builder = DiskBuilder(byteCount: Self.size, sector: sector)
        let perMebibyte = UInt64((1 << 20) / sector)
        builder.wholeGPT([0: (Self.linux, perMebibyte, 32 * perMebibyte - 1, "root")])
        let tail = try use(builder, from: 40 << 20)
        #expect(tail.isUnused && tail.hasGPT)
        // The backup needs room behind the partition: its entries and a sector.
        let backup = UInt64(16384 + sector)
        #expect(try use(builder, from: (32 << 20) + backup).isUnused)
        let tight = try use(builder, from: (32 << 20) + backup - 512)
        #expect(!tight.isUnused && tight.partitions.map(\.index) == [1] && tight.firstNonzero == nil)
        // A byte beside it is data, on every side.
        let entries = Self.size - backup
        for place in [entries - 1, Self.size - UInt64(sector) + 92, Self.size - 1] {
            var other = builder
            other.put([1], at: place)
            #expect(try use(other, from: 40 << 20).firstNonzero == place)
        }
    }

    /// Where the copies are not both whole and alike, either may be the only one.
    @Test func aBackupThatMayBeNeeded() throws {
        var builder = DiskBuilder(byteCount: Self.size)
        builder.wholeGPT([0: (Self.linux, 2048, 4095, "root")])
        let last = Self.size - 512
        let entries = last - 16384
        #expect(try use(builder, from: 40 << 20).isUnused)
        for (place, first) in [
            (512 + 60, entries), (1024 + 20, entries), (entries + 20, entries), (last + 60, entries),
        ]
            as [(UInt64, UInt64)]
        {
            var damaged = builder
            damaged.put([0xee], at: place)
            let tail = try use(damaged, from: 40 << 20)
            #expect(tail.firstNonzero == first && !tail.isUnused, "damage at \(place)")
        }
        // Another table's.
        var foreign = builder
        foreign.gpt(at: last / 512, alternate: 1, entriesAt: entries / 512, [0: (Self.linux, 2048, 5000, "root")])
        #expect(try use(foreign, from: 40 << 20).firstNonzero == entries)
    }

    /// Whatever the headers say: no trap.
    @Test func damagedTables() throws {
        var random = SplitMix(seed: 9)
        for _ in 0..<300 {
            var builder = DiskBuilder(byteCount: 1 << 20)
            builder.gpt(
                alternate: random.next() >> (random.next() % 64), entriesAt: random.next() % 64,
                count: 1 + Int(random.next() % 300), size: 8 * Int(16 + random.next() % 20),
                [0: (Self.linux, 40, random.next() >> (random.next() % 64), "x")])
            _ = try use(builder, from: 512 * (1 + random.next() % 2047))
        }
    }
}
