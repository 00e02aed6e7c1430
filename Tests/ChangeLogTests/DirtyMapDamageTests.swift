import BlockIO
import ByteCodec
import ChangeLog
import DiskModel
import FaultInjection
import Glibc
import Testing

/// Damaged maps, and images that were changed while their map was closed: dirty in doubt, with a reason.
@Suite struct DirtyMapDamageTests {
    private static let size: UInt64 = 40_000 * 4096
    private static var options: DirtyMap.Options {
        var options = DirtyMap.Options()
        (options.regionByteCount, options.marksAhead) = (4096, false)
        return options
    }

    /// A closed map with two dirty regions, one a page.
    private static func closedMap() throws -> MemoryFile {
        let file = MemoryFile()
        let map = try DirtyMap.create(on: file, virtualByteCount: size, options)
        try map.beginLog(.random())
        try map.mark(5 * 4096..<5 * 4096 + 1)
        try map.mark(39_000 * 4096..<39_000 * 4096 + 1)
        try map.close(sampleFingerprint)
        return file
    }

    private static func open(_ file: any BlockFile, _ fingerprint: ImageFingerprint = sampleFingerprint) throws
        -> DirtyMap
    {
        try DirtyMap.open(on: file, virtualByteCount: size, fingerprint: fingerprint, options)
    }

    private static let whole = [0..<size]

    /// Each byte of header and pages in turn, wrong: either it does not matter or everything it covers is dirty.
    @Test func everyFlippedByte() throws {
        let bytes = try Self.closedMap().allBytes
        var counts: [String: Int] = [:]
        for offset in Array(0..<512) + Array(4096..<4608) + Array(stride(from: 8192, to: bytes.count, by: 61)) {
            var broken = bytes
            broken[offset] ^= 0x40
            let map = try Self.open(MemoryFile(broken))
            let codes = map.findings.map(\.detail.code.rawValue).joined(separator: " ")
            counts["\(map.continuity.state.rawValue) \(codes)", default: 0] += 1
            let regionCount = map.summary.dirtyRegionCount
            if offset >= 8192 {
                let isFirst = offset < 8192 + 4096
                #expect(regionCount == (isFirst ? 32_640 + 1 : 40_000 - 32_640 + 1))
            } else {
                #expect(map.dirtyRanges == [20480..<24576, 159_744_000..<159_748_096])
            }
        }
        #expect(Set(counts.keys) == ["clean MAP003", "clean MAP005"])
    }

    @Test func bothHeadersDamaged() throws {
        var bytes = try Self.closedMap().allBytes
        bytes[100] ^= 1
        bytes[4096 + 100] ^= 1
        let map = try Self.open(MemoryFile(bytes))
        #expect(map.continuity.state == .damaged && map.continuity.needsResynchronisation)
        #expect(map.findings.map(\.detail.code) == [.mapHeaders])
        #expect(map.dirtyRanges == Self.whole)
        // It stays so until a resynchronisation, however it ends.
        let file = map.path == "(memory)" ? MemoryFile(bytes) : MemoryFile()
        let second = try Self.open(file)
        try second.close(sampleFingerprint)
        let third = try Self.open(file)
        #expect(third.continuity.state == .damaged && third.dirtyRanges == Self.whole)
        try third.beginLog(.random())
        try third.clear()
        try third.close(sampleFingerprint)
        let fourth = try Self.open(file)
        #expect(fourth.continuity == DirtyMap.Continuity(.clean) && fourth.dirtyRanges.isEmpty)
    }

    @Test func anEmptyOrCutFile() throws {
        let bytes = try Self.closedMap().allBytes
        for count in [0, 1, 511, 512, 4607, 4608, 8192, 12_287, bytes.count - 1] {
            let map = try Self.open(MemoryFile(Array(bytes.prefix(count))))
            let regions = dirtyRegions(map)
            #expect(regions.isSuperset(of: [5, 39_000]), "\(count)")
            #expect(!map.findings.isEmpty)
            if count < 512 { #expect(map.continuity.state == .damaged) }
        }
    }

    @Test func whatIsNoMapIsLeftAlone() throws {
        var contents = MemoryFile.Contents()
        contents.resize(to: 1 << 20)
        let file = MemoryFile(contents)
        #expect { _ = try Self.open(file) } throws: { ($0 as? DiskError)?.formatError?.code == .mapSignature }
        #expect(file.byteCount() == 1 << 20)

        var bytes = try Self.closedMap().allBytes
        for start in [0, 4096] {
            bytes[start + 8] = 2
            bytes.replaceSubrange(start + 12..<start + 16, with: [0, 0, 0, 0])
            let sum = crc32c(Array(bytes[start..<start + 512]).rawBytes)
            bytes.replaceSubrange(
                start + 12..<start + 16, with: (0..<4).map { UInt8(truncatingIfNeeded: sum >> (8 * $0)) })
        }
        let newer = MemoryFile(bytes)
        #expect { _ = try Self.open(newer) } throws: { ($0 as? DiskError)?.formatError?.code == .mapVersion }
        #expect(newer.allBytes == bytes)
    }

    @Test func offlineChanges() throws {
        let other = ImageFingerprint.dataWriteGUID(GUID(9, 9, 9, 9))
        let map = try Self.open(try Self.closedMap(), other)
        #expect(map.continuity.state == .changedOffline)
        #expect(map.continuity.reason.contains("DataWriteGuid was 00000001-0002-0003"))
        #expect(map.dirtyRanges == Self.whole)

        let resized = try DirtyMap.open(
            on: try Self.closedMap(), virtualByteCount: Self.size + 4096, fingerprint: sampleFingerprint)
        #expect(resized.continuity.state == .changedOffline)
        #expect(resized.findings.map(\.detail.code) == [.mapDiskSize])
        #expect(resized.dirtyRanges == [0..<Self.size + 4096])
    }

    @Test func notClosed() throws {
        let file = MemoryFile()
        let map = try DirtyMap.create(on: file, virtualByteCount: Self.size, Self.options)
        try map.beginLog(.random())
        try map.mark(0..<1)
        let again = try Self.open(file)
        #expect(again.continuity.state == .notClosed)
        #expect(again.dirtyRanges == [0..<4096])
        // The lost log's regions do not go with a later log.
        let ids = (0..<2).map { _ in GUID.random() }
        try again.beginLog(ids[0])
        try again.mark(8192..<8193)
        try again.beginLog(ids[1])
        try again.acknowledge(through: ids[0])
        #expect(again.dirtyRanges == [0..<4096])
        try again.clear(before: ids[1])
        #expect(again.dirtyRanges.isEmpty)
        #expect(
            again.summary.description == "0 of 40000 regions of 4096 bytes dirty, 0 bytes; "
                + "the dirty map was not closed: the tracker crashed, or still runs")
    }

    /// What the fingerprint of a file notices.
    @Test func fingerprintOfAFile() throws {
        let path = "/tmp/fingerprint-\(UInt64.random(in: 0 ... .max))"
        defer { _ = unsafe unlink(path) }
        let file = try PosixFile(path, .create)
        try file.write([UInt8](repeating: 1, count: 5000), at: 0)
        let before = try ImageFingerprint(of: file)
        #expect(before.difference(to: try ImageFingerprint(of: file)) == nil)
        usleep(20_000)
        try file.write([2], at: 0)
        #expect(before.difference(to: try ImageFingerprint(of: file)) == "it was modified since")
        try file.write([2], at: 4999)
        #expect(before.difference(to: try ImageFingerprint(of: file)) == "its last 512 bytes are others")
        try file.resize(to: 6000)
        #expect(before.difference(to: try ImageFingerprint(of: file)) == "it had 5000 bytes and has 6000")
        #expect(before.difference(to: sampleFingerprint) == "it is of another format")
        let empty = try ImageFingerprint(of: MemoryFile())
        #expect(empty.difference(to: empty) == nil)
    }

    /// A map by its path: a second tracker is kept out.
    @Test func filesOfTheHost() throws {
        let path = DirtyMap.path(ofImage: "/tmp/disk-\(UInt64.random(in: 0 ... .max)).vhdx")
        defer { _ = unsafe unlink(path) }
        #expect(path.hasSuffix(".vhdx.hrl.map"))
        do {
            let map = try DirtyMap.create(at: path, virtualByteCount: 1 << 30)
            try map.mark(0..<1)
            #expect {
                _ = try DirtyMap.open(at: path, virtualByteCount: 1 << 30, fingerprint: sampleFingerprint)
            } throws: {
                ($0 as? DiskError)?.kind == .busy
            }
            #expect(throws: DiskError.self) { try DirtyMap.create(at: path, virtualByteCount: 1 << 30) }
            try map.close(sampleFingerprint)
        }
        let map = try DirtyMap.open(at: path, virtualByteCount: 1 << 30, fingerprint: sampleFingerprint)
        #expect(map.continuity.state == .clean && map.dirtyRanges == [0..<65536])
    }
}
