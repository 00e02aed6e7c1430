import ByteCodec
import BlockIO
import DiskModel
import FaultInjection
import Foundation
import Testing
import ToolTesting

@testable import ImageChain

@Suite struct PartitionGlanceTests {
    let linux = "0fc63daf-8483-4772-8e79-3d69d8477de4"
    let basic = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"

    @Test func checksum() {
        #expect(CRC32.checksum(Array("123456789".utf8).rawBytes) == 0xcbf4_3926)
        #expect(slowCRC32(Array("123456789".utf8)) == 0xcbf4_3926)
        #expect(GPTHeader().serialized().count == GPTHeader.byteCount)
        #expect(GPTEntry().serialized().count == GPTEntry.byteCount)
    }

    @Test func emptyDisks() throws {
        for byteCount: UInt64 in [512, 1024, 4096, 1 << 20] {
            let glance = try PartitionGlance(DiskBuilder(byteCount: byteCount).disk)
            #expect(glance == PartitionGlance(table: .none, entries: []))
        }
    }

    @Test func bootRecord() throws {
        var builder = DiskBuilder(byteCount: 64 << 20)
        builder.bootRecord([(0x83, 2048, 20480), (0, 0, 0), (0x07, 40960, 2048)])
        builder.put("XFSB", at: 2048 * 512)
        builder.put("NTFS    ", at: 40960 * 512 + 3)
        let glance = try PartitionGlance(builder.disk)
        #expect(glance.table == .mbr)
        #expect(
            glance.entries == [
                PartitionEntry(
                    index: 1, type: "0x83", typeName: "Linux", start: 1 << 20, byteCount: 10 << 20, fileSystem: .xfs),
                PartitionEntry(
                    index: 3, type: "0x07", typeName: "NTFS, exFAT or HPFS", start: 20 << 20, byteCount: 1 << 20,
                    fileSystem: .ntfs),
            ])
        #expect(glance.remarks.isEmpty)
    }

    @Test func extendedPartition() throws {
        var builder = DiskBuilder(byteCount: 64 << 20)
        builder.bootRecord([(0x83, 2048, 2048), (0x05, 8192, 32768)])
        builder.bootRecord(at: 8192, [(0x83, 63, 1000), (0x05, 4096, 4096)])
        builder.bootRecord(at: 8192 + 4096, [(0x82, 63, 2000)])
        let glance = try PartitionGlance(builder.disk)
        #expect(glance.entries.map(\.index) == [1, 2, 5, 6])
        let sectors: [UInt64] = [2048, 8192, 8192 + 63, 8192 + 4096 + 63]
        #expect(glance.entries.map { $0.start / 512 } == sectors)
        #expect(glance.entries.map(\.typeName) == ["Linux", "extended", "Linux", "Linux swap"])
        #expect(glance.remarks.isEmpty)
    }

    @Test func extendedPartitionThatLoops() throws {
        var builder = DiskBuilder(byteCount: 64 << 20)
        builder.bootRecord([(0x05, 8192, 32768)])
        builder.bootRecord(at: 8192, [(0x83, 63, 1000), (0x05, 4096, 4096)])
        builder.bootRecord(at: 8192 + 4096, [(0x83, 63, 2000), (0x05, 0, 4096)])
        let glance = try PartitionGlance(builder.disk)
        #expect(glance.entries.map(\.index) == [1, 5, 6])
        #expect(glance.remarks == ["the links of the extended partition break off at sector 8192"])
    }

    @Test func partitionsAreBounded() throws {
        var builder = DiskBuilder(byteCount: 64 << 20)
        builder.bootRecord([(0x05, 1000, 100_000), (0x0f, 1000, 100_000)])
        for index: UInt64 in 0..<400 {
            builder.bootRecord(at: 1000 + index * 2, [(0x83, 1, 1), (0x05, (index + 1) * 2, 2)])
        }
        let glance = try PartitionGlance(builder.disk)
        #expect(glance.entries.count == PartitionGlance.entryLimit)
        #expect(glance.remarks.contains("more than 128 partitions: the others are not listed"))
    }

    @Test(arguments: [512, 4096])
    func guidTable(sector: Int) throws {
        var builder = DiskBuilder(byteCount: 64 << 20, sector: sector)
        builder.bootRecord([(0xee, 1, 0xffff_ffff)])
        builder.gpt([0: (basic, 256, 511, "Basic data partition"), 5: (linux, 512, 767, "größe")])
        builder.put("EXFAT   ", at: UInt64(256 * sector) + 3)
        let disk = builder.disk
        let glance = try PartitionGlance(disk)
        #expect(glance.table == .gpt)
        #expect(
            glance.entries == [
                PartitionEntry(
                    index: 1, type: basic, typeName: "Microsoft basic data", start: UInt64(256 * sector),
                    byteCount: UInt64(256 * sector), name: "Basic data partition", fileSystem: .exfat),
                PartitionEntry(
                    index: 6, type: linux, typeName: "Linux data", start: UInt64(512 * sector),
                    byteCount: UInt64(256 * sector), name: "größe"),
            ])
        #expect(glance.remarks.isEmpty)
        #expect(disk.readByteCount < 64 << 10)
    }

    /// A raw copy of a disk with sectors of 4096 bytes is opened with sectors of 512.
    @Test func sectorsOfAnotherDisk() throws {
        var builder = DiskBuilder(byteCount: 64 << 20, sector: 4096)
        builder.gpt([0: (linux, 256, 511, "")])
        let disk = GlanceDisk(MemoryFile(builder.contents), byteCount: 64 << 20, sector: 512)
        #expect(try PartitionGlance(disk).entries.map(\.start) == [1 << 20])
    }

    @Test func damagedFirstHeader() throws {
        var builder = DiskBuilder(byteCount: 64 << 20)
        builder.bootRecord([(0xee, 1, 131071)])
        builder.gpt([0: (linux, 2048, 4095, "root")])
        builder.gpt(at: 131071, entriesAt: 131071 - 32, [0: (linux, 2048, 4095, "root")])
        builder.put([0xff], at: 512 + 40)
        let glance = try PartitionGlance(builder.disk)
        #expect(glance.entries.map(\.name) == ["root"])
        #expect(glance.remarks == ["the first GPT header is damaged: the one at the end is shown"])

        builder.put([0xff], at: 131071 * 512 + 40)
        let lost = try PartitionGlance(builder.disk)
        #expect(lost.table == .mbr)
        #expect(lost.entries.map(\.type) == ["0xee"])
        #expect(lost.remarks == ["the boot record stands for a GPT, which is missing or damaged"])
    }

    @Test func impossibleTables() throws {
        func glance(_ change: (inout DiskBuilder) -> Void) throws -> PartitionGlance {
            var builder = DiskBuilder(byteCount: 64 << 20)
            change(&builder)
            return try PartitionGlance(builder.disk)
        }
        #expect(
            try glance { $0.gpt(count: 200, [150: (linux, 2048, 4095, "")]) }.remarks
                == ["the GPT has 200 entries: 128 are looked at"])
        #expect(try glance { $0.gpt(size: 256, [3: (linux, 2048, 4095, "")]) }.entries.map(\.index) == [4])
        #expect(
            try glance { $0.gpt([0: (linux, 4095, 2048, "")]) }.remarks == ["partition 1 has an impossible place"])
        #expect(
            try glance { $0.gpt([0: (linux, 1 << 60, 1 << 61, "")]) }.remarks
                == ["partition 1 has an impossible place"])
        let past = try glance { $0.gpt([0: (linux, 2048, 1 << 30, "")]) }
        #expect(past.remarks == ["partition 1 reaches past the end of the disk"])
        #expect(past.entries.map(\.fileSystem) == [nil])
        #expect(
            try glance {
                $0.gpt([0: (linux, 2048, 4095, "")])
                $0.put([1], at: 1024 + 200)
            }.remarks == ["the checksum of the GPT's entries is wrong"])
        #expect(
            try glance { $0.bootRecord([(0x83, 0xffff_ffff, 0xffff_ffff)]) }.remarks
                == ["partition 1 reaches past the end of the disk"])
    }

    /// A volume without a table, whose first sector ends like a boot record.
    @Test func wholeVolume() throws {
        var builder = DiskBuilder(byteCount: 8 << 20)
        builder.put([0xeb, 0x52, 0x90], at: 0)
        builder.put("NTFS    ", at: 3)
        builder.bootRecord([(0x83, 1, 100)])
        let glance = try PartitionGlance(builder.disk)
        #expect(glance.table == .none)
        #expect(
            glance.entries == [PartitionEntry(index: 0, start: 0, byteCount: 8 << 20, fileSystem: .ntfs)])
    }

    @Test(arguments: [
        ("LUKS\u{ba}\u{be}", 0, FileSystemSignature.luks), ("-FVE-FS-", 3, .bitlocker), ("ReFS\0\0\0\0", 3, .refs),
        ("NXSB", 32, .apfs), ("H+", 1024, .hfsPlus), ("HX", 1024, .hfsPlus), ("CD001", 0x8001, .iso9660),
        ("_BHRfS_M", 0x10040, .btrfs), ("SWAPSPACE2", 4086, .swap), ("SWAPSPACE2", 65526, .swap),
    ])
    func signatures(magic: String, offset: UInt64, signature: FileSystemSignature) throws {
        var builder = DiskBuilder(byteCount: 1 << 20)
        builder.put(magic.unicodeScalars.map { UInt8($0.value) }, at: offset)
        #expect(try FileSystemSignature.recognise(builder.disk, in: 0..<1 << 20) == signature)
        // One byte short of the signature: nothing, and nothing read outside.
        let end = offset + UInt64(magic.unicodeScalars.count) - 1
        #expect(try FileSystemSignature.recognise(builder.disk, in: 0..<end) == nil)
    }

    @Test func lvm() throws {
        var builder = DiskBuilder(byteCount: 1 << 20)
        builder.put("LABELONE", at: 512)
        builder.put("LVM2 001", at: 536)
        #expect(try FileSystemSignature.recognise(builder.disk, in: 0..<1 << 20) == .lvm2)
    }

    /// Whatever stands in the tables: no trap, no read outside the disk, and not much read.
    @Test func damagedTables() throws {
        var generator = SplitMix(seed: 2026)
        var builder = DiskBuilder(byteCount: 8 << 20)
        builder.bootRecord([(0xee, 1, 0xffff_ffff), (0x05, 4096, 8192), (0x83, 64, 64)])
        builder.bootRecord(at: 4096, [(0x83, 63, 1000), (0x05, 64, 64)])
        for round in 0..<400 {
            var damaged = builder
            if round % 2 == 0 {
                damaged.gpt([0: (linux, generator.next() >> UInt64(round % 64), generator.next(), "x")])
            }
            for _ in 0..<8 {
                let place = [440, 446, 512, 1024, 4096 * 512 + 440][Int(generator.next() % 5)]
                damaged.put(generator.bytes(2), at: UInt64(place) + generator.next() % 72)
            }
            let disk = damaged.disk
            let glance = try PartitionGlance(disk)
            #expect(glance.entries.count <= PartitionGlance.entryLimit)
            #expect(disk.readByteCount < 4 << 20)
        }
    }

    /// What other people's programs make.
    @Test(arguments: [
        ("mke2fs", ["-q", "-F", "-t", "ext2"], FileSystemSignature.ext2),
        ("mke2fs", ["-q", "-F", "-t", "ext3"], .ext3),
        ("mke2fs", ["-q", "-F", "-t", "ext4"], .ext4), ("mkfs.xfs", ["-q", "-f"], .xfs), ("mkswap", ["-q"], .swap),
        ("mkfs.fat", ["-F", "12", "-s", "128", "-S", "1024"], .fat12), ("mkfs.fat", ["-F", "16"], .fat16),
        ("mkfs.fat", ["-F", "32"], .fat32), ("mkfs.btrfs", ["-q"], .btrfs), ("mkfs.exfat", [], .exfat),
        ("mkfs.ntfs", ["-Q", "-F"], .ntfs),
    ])
    func madeByPeers(program: String, arguments: [String], signature: FileSystemSignature) throws {
        guard let peer = Peer.find(program) else { return }
        let scratch = try Scratch()
        let path = scratch.path("disk")
        let byteCount: UInt64 = 320 << 20
        try PosixFile(path, .create).resize(to: byteCount)
        let made = try runProgram(peer, arguments + [path])
        try #require(made.exit == 0, "\(made.error)")
        let disk = GlanceDisk(try PosixFile(path), byteCount: byteCount)
        let glance = try PartitionGlance(disk)
        #expect(glance.table == .none)
        #expect(glance.entries.map(\.fileSystem) == [signature])
    }
}
