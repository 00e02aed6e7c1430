import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Foundation
import ImageChain
import RawDisk
import Testing
import VHD
import VHDX

@testable import Replicator

@Suite struct CopyTests {
    private let relationship = GUID(1, 2, 3, 4)

    private func digests(_ count: UInt64, from: UInt64 = 0) -> [ChunkDigest] {
        (from..<from + count).map { ChunkDigest(index: $0, digest: [UInt8](repeating: UInt8($0), count: 32)) }
    }

    @Test func recordsGoOnAtTheLastMark() throws {
        let size: UInt64 = 100 << 22
        let file = MemoryFile()
        let records = try CopyRecords.create(file, diskByteCount: size, relationship: relationship)
        try records.append(digests(3), durable: 3 << 22)
        try records.append([], durable: 10 << 22)
        try records.append(digests(2, from: 12), durable: 20 << 22)
        let whole = file.allBytes
        #expect(whole.count == 48 * 9)
        // Torn anywhere, or with a wrong byte anywhere: what is before the last whole mark counts.
        let marks: [(end: Int, byte: UInt64)] = [(48, 0), (48 * 5, 3 << 22), (48 * 6, 10 << 22), (48 * 9, 20 << 22)]
        for count in 0...whole.count {
            let torn = MemoryFile(Array(whole[..<count]))
            let found = try CopyRecords.resume(torn, diskByteCount: size, relationship: relationship, limit: size)
            let expected = marks.last { $0.end <= count }
            #expect(found?.durable == expected?.byte, "\(count)")
            guard count < whole.count else { continue }
            var bytes = whole
            bytes[count] ^= 0x10
            let damaged = try CopyRecords.resume(
                MemoryFile(bytes), diskByteCount: size, relationship: relationship, limit: size)
            #expect(damaged?.durable == expected?.byte, "byte \(count)")
        }
        for (limit, byte) in [(size, 20 << 22), (19 << 22, 10 << 22), (3 << 22, 3 << 22), ((3 << 22) - 1, 0)] {
            let found = try CopyRecords.resume(
                MemoryFile(whole), diskByteCount: size, relationship: relationship, limit: UInt64(limit))
            #expect(found?.durable == UInt64(byte))
        }
        #expect(
            try CopyRecords.resume(MemoryFile(whole), diskByteCount: size, relationship: .zero, limit: size) == nil)
        #expect(
            try CopyRecords.resume(
                MemoryFile(whole), diskByteCount: size + 512, relationship: relationship, limit: size)
                == nil)
    }

    @Test func recordsGoOnAfterAResume() throws {
        let size: UInt64 = 100 << 22
        let file = MemoryFile()
        _ = try CopyRecords.create(file, diskByteCount: size, relationship: relationship)
            .append(digests(3), durable: 3 << 22)
        try file.write([1, 2, 3], at: 48 * 5)
        let records = try #require(
            try CopyRecords.resume(file, diskByteCount: size, relationship: relationship, limit: size))
        try records.append(digests(1, from: 50), durable: size)
        var reader = try #require(try CopyRecords.Reader(file, diskByteCount: size, relationship: relationship))
        var seen: [UInt64] = []
        while let chunk = try reader.nextChunk() { seen.append(chunk.index) }
        #expect(seen == [0, 1, 2, 50] && reader.lastMark == size)
    }

    private func digest(_ disk: any VirtualDisk) throws -> String {
        let digest = DiskDigest(diskByteCount: disk.geometry.virtualByteCount)
        try ChunkScan(disk).run(from: 0) { job in
            if let found = job.digest { digest.add(ChunkDigest(index: job.index, digest: found)) }
        }
        return digest.text()
    }

    /// The same contents have the same digest however they are stored.
    @Test(arguments: 1...6) func digestIsOfContents(seed: UInt64) throws {
        var random = SplitMix(seed: seed)
        let size: UInt64 = (13 << 20) + 512 * UInt64.random(in: 0..<9, using: &random)
        func open(_ make: (MemoryFile) throws -> Void) throws -> ImageChain {
            let file = MemoryFile()
            try make(file)
            let layer = try ImageOpener.layer(writing: file, OpenOptions(format: .raw))
            return try ImageChain(leafFirst: [layer], writableLeaf: layer)
        }
        let disks = try [
            open { $0.resize(to: size) },
            open { $0.resize(to: size) },
            open {
                try VHDCreator.create(
                    on: $0, type: .dynamic, virtualByteCount: size, blockByteCount: 512 << 10, uniqueID: .random(),
                    created: .init(rawValue: 1))
            },
            open { try VHDXCreator.create(on: $0, type: .dynamic, virtualByteCount: size, blockByteCount: 1 << 20) },
            open { try VHDXCreator.create(on: $0, type: .fixed, virtualByteCount: size, blockByteCount: 1 << 20) },
        ]
        try disks[1].write([UInt8](repeating: 0, count: Int(size)), at: 0)
        let empty = try digest(disks[0])
        #expect(try disks.allSatisfy { try digest($0) == empty })
        for _ in 0..<12 {
            let sectors = UInt64.random(in: 1...300, using: &random)
            let start = UInt64.random(in: 0...size / 512 - sectors, using: &random)
            let value = UInt8.random(in: 0...3, using: &random)
            for disk in disks { try disk.write([UInt8](repeating: value, count: Int(sectors) * 512), at: start * 512) }
        }
        let found = try disks.map(digest)
        #expect(Set(found).count == 1, "seed \(seed): \(found)")
        #expect(found[0] != empty)
        try disks[2].write([9], at: size - 1)
        #expect(try digest(disks[2]) != found[0])
    }

    /// Parts that hold anything are found exactly, in pages.
    @Test func runsAreTheWrittenPages() throws {
        let file = MemoryFile()
        file.resize(to: 9 << 20)
        try file.write([1], at: 5000)
        try file.write([UInt8](repeating: 2, count: 70000), at: (4 << 20) + 60000)
        try file.write([3], at: (9 << 20) - 1)
        let disk = try ImageChain(leafFirst: [try RawLayer(file)])
        var runs: [Range<UInt64>] = []
        try ChunkScan(disk).run(from: 0) { job in
            runs += job.runs.map { job.offset + UInt64($0.lowerBound)..<job.offset + UInt64($0.upperBound) }
        }
        let start = UInt64(4 << 20)
        #expect(runs == [4096..<8192, start + 57344..<start + 131072, (9 << 20) - 4096..<(9 << 20)])
    }

    @Test func readErrorsComeThrough() throws {
        let file = MemoryFile([UInt8](repeating: 1, count: 40 << 20))
        for after in 0..<10 {
            let failing = FailingFile(file, after: after, failsReads: true)
            let disk = try ImageChain(leafFirst: [try RawLayer(failing)])
            #expect(throws: DiskError.self) { try digest(disk) }
        }
    }
}
