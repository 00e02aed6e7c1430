import BlockIO
import ByteCodec
import DiskConformance
import DiskModel
import Dispatch
import FaultInjection
import Glibc
import Testing

@testable import VHDX

@Suite struct WriteTests {
    private static func subject(_ name: String, _ make: @escaping @Sendable () throws -> TinyImage) -> DiskSubject {
        DiskSubject(
            name: name, make: { try make().contents },
            openForWriting: { try VHDXLayer(writing: $0) }, openForReading: { try VHDXLayer(reading: $0) })
    }

    struct Shape: Sendable {
        var type: ImageType
        var size: UInt64
        var block: UInt64
        var sector: Int
        init(_ type: ImageType, _ size: UInt64, _ block: UInt64, _ sector: Int) {
            (self.type, self.size, self.block, self.sector) = (type, size, block, sector)
        }
    }
    static let shapes: [Shape] = [
        Shape(.dynamic, 8 << 20, 1 << 20, 512), Shape(.fixed, 8 << 20, 1 << 20, 512),
        Shape(.dynamic, 9 << 20, 2 << 20, 4096), Shape(.dynamic, (5 << 20) + 512, 1 << 20, 512),
        Shape(.fixed, 7 << 20, 2 << 20, 4096),
    ]

    @Test(arguments: shapes)
    func conformance(_ shape: Shape) throws {
        let (type, byteCount, block, sector) = (shape.type, shape.size, shape.block, shape.sector)
        let seed = UInt64.random(in: 0 ... .max)
        print("VHDX \(type) conformance: seed \(seed)")
        let subject = Self.subject("VHDX \(type), sectors of \(sector)") {
            try TinyImage(type: type, byteCount: byteCount, blockByteCount: block, logicalSectorByteCount: sector)
        }
        try checkConformance(subject, seed: seed, steps: 150)
    }

    private static func sectors(_ value: UInt8, _ count: Int = 1) -> [UInt8] {
        [UInt8](repeating: value, count: 512 * count)
    }

    @Test func identitiesOfASession() throws {
        let file = try TinyImage().file
        let before = try VHDXLayer(reading: file).currentHeader
        let layer = try VHDXLayer(writing: file)
        #expect(layer.currentHeader == before, "nothing is written before the first change")
        try layer.writeZeroes(0..<8 << 20)
        #expect(layer.currentHeader == before, "zeros over nothing change nothing")
        try layer.write(Self.sectors(1).rawBytes, at: 0)
        let during = layer.currentHeader
        #expect(during.logGUID != .zero)
        #expect(during.fileWriteGUID != before.fileWriteGUID)
        #expect(during.dataWriteGUID != before.dataWriteGUID)
        try layer.write(Self.sectors(2).rawBytes, at: 1 << 20)
        try layer.flush()
        #expect(layer.currentHeader == during)
        try layer.close()
        let after = try VHDXLayer(reading: file)
        #expect(after.currentHeader.logGUID == .zero)
        #expect(after.dataWriteGUID == during.dataWriteGUID)
        #expect(after.findings.isEmpty)
        for slot in 0...1 {
            let header = try HeaderPair.copy(slot, of: file)
            #expect(header.isValid && header.header.logGUID == .zero)
        }
        #expect(throws: DiskError.self) { try layer.write(Self.sectors(1).rawBytes, at: 0) }
        try layer.close()
    }

    @Test func layersForReadingRefuse() throws {
        let layer = try VHDXLayer(reading: try TinyImage().file)
        for body in [
            { try layer.write(Self.sectors(1).rawBytes, at: 0) }, { try layer.writeZeroes(0..<512) },
            { try layer.flush() },
        ] as [() throws -> Void] {
            #expect(throws: DiskError.self) { try body() }
        }
        try layer.close()
        #expect(throws: DiskError.self) {
            try VHDXLayer(writing: try TinyImage().file).write([UInt8].zeros(100).rawBytes, at: 0)
        }
    }

    @Test func flushWithoutNewBlocksIsOneSync() throws {
        let file = RecordingFile(try TinyImage().contents)
        let layer = try VHDXLayer(writing: file)
        try layer.write(Self.sectors(1).rawBytes, at: 0)
        try layer.flush()
        let before = file.recording.operations.count
        try layer.write(Self.sectors(2).rawBytes, at: 0)
        try layer.flush()
        #expect(file.recording.operations.count == before + 2)
    }

    @Test func badRegionTableIsRepaired() throws {
        for copy: UInt64 in [0, 1] {
            var image = try TinyImage()
            let good = image.bytes(196608, 65536)
            image.put([0], at: 196608 + 65536 * copy)
            let file = image.file
            let layer = try VHDXLayer(writing: file)
            try layer.write(Self.sectors(1).rawBytes, at: 0)
            try layer.close()
            #expect(file.contents.bytes(196608..<262144) == good)
            #expect(file.contents.bytes(262144..<327680) == good)
            #expect(try VHDXLayer(reading: file).findings.isEmpty)
        }
    }

    @Test func unalignedEndIsRounded() throws {
        var image = try TinyImage()
        image.put([7], at: (4 << 20) + 5000)
        let file = image.file
        let layer = try VHDXLayer(writing: file)
        try layer.write(Self.sectors(1).rawBytes, at: 512)
        try layer.close()
        let after = try VHDXLayer(reading: file)
        #expect(
            try contents(of: after, 0..<8 << 20) == Self.sectors(0) + Self.sectors(1) + [UInt8].zeros((8 << 20) - 1024))
        #expect(try after.census().gaps == [4 << 20..<5 << 20])
    }

    /// More table pages than one entry takes, with the pages far apart, and a ring that goes round several times.
    @Test func manyTablePages() throws {
        let blocks: UInt64 = 4096 * 40
        let file = MemoryFile()
        try VHDXCreator.create(on: file, type: .dynamic, virtualByteCount: blocks << 20, blockByteCount: 1 << 20)
        let layer = try VHDXLayer(writing: file)
        let step = blocks / 320
        for index in 0..<UInt64(320) {
            try layer.write(Self.sectors(UInt8(index % 251) + 1).rawBytes, at: (index * step) << 20)
            if index % 50 == 0 { try layer.flush() }
        }
        try layer.flush()
        for after in [try VHDXLayer(reading: MemoryFile(file.contents)), layer] {
            for index in 0..<UInt64(320) {
                #expect(
                    try contents(of: after, (index * step) << 20..<(index * step) << 20 + 512)
                        == Self.sectors(UInt8(index % 251) + 1))
            }
        }
        try layer.close()
        #expect(try VHDXLayer(reading: file).census().counts[4].count == 320)
    }

    @Test func ringGoesRound() throws {
        let file = MemoryFile()
        try VHDXCreator.create(on: file, type: .dynamic, virtualByteCount: 1 << 30, blockByteCount: 1 << 20)
        let layer = try VHDXLayer(writing: file)
        // Entries of two pages in a ring of 256: three rounds.
        for index in 0..<UInt64(400) {
            try layer.write(Self.sectors(UInt8(index % 251) + 1).rawBytes, at: index << 20)
            try layer.flush()
            if index % 9 == 0 || index % 128 > 124 {
                let reader = try VHDXLayer(reading: MemoryFile(file.contents))
                #expect(try reader.report().log.entryCount == 1)
                #expect(
                    try contents(of: reader, index << 20..<index << 20 + 512) == Self.sectors(UInt8(index % 251) + 1))
            }
        }
        try layer.close()
    }

    @Test func fullDiskLeavesAValidImage() throws {
        for after in 6..<40 {
            let file = try TinyImage().file
            let failing = FailingFile(file, after: after, code: ENOSPC, recovers: true)
            let layer = try VHDXLayer(writing: failing)
            var acknowledged: [UInt64] = []
            do throws(DiskError) {
                for block in 0..<UInt64(6) {
                    try layer.write(Self.sectors(UInt8(block + 1)).rawBytes, at: block << 20)
                    try layer.flush()
                    acknowledged.append(block)
                }
            } catch {
                #expect(error.kind == .io)
                #expect(error.ioError?.reason == .errno(ENOSPC))
            }
            try? layer.close()
            let reader = try VHDXLayer(reading: MemoryFile(file.contents))
            for block in acknowledged {
                #expect(try contents(of: reader, block << 20..<block << 20 + 512) == Self.sectors(UInt8(block + 1)))
            }
            _ = try reader.census()
        }
    }

    @Test func aFailedAllocationCanBeTriedAgain() throws {
        let file = try TinyImage().file
        // Session: sync, entry, sync, two headers with their syncs; then the resize for the block, then its bytes.
        let failing = FailingFile(file, after: 8, code: ENOSPC, recovers: true)
        let layer = try VHDXLayer(writing: failing)
        #expect(throws: DiskError.self) { try layer.write(Self.sectors(1, 2).rawBytes, at: 0) }
        #expect(failing.hasFailed)
        #expect(file.byteCount() == 4 << 20, "the space is given back")
        try layer.write(Self.sectors(2).rawBytes, at: 512)
        try layer.close()
        let reader = try VHDXLayer(reading: file)
        #expect(try contents(of: reader, 0..<1024) == Self.sectors(0) + Self.sectors(2))
    }

    @Test func nothingIsWrittenAfterAFailedFlush() throws {
        let file = try TinyImage().file
        let failing = FailingFile(file, after: 9, recovers: true)
        let layer = try VHDXLayer(writing: failing)
        try layer.write(Self.sectors(1).rawBytes, at: 0)
        #expect(throws: DiskError.self) { try layer.flush() }
        let before = file.allBytes
        #expect(throws: DiskError.self) { try layer.write(Self.sectors(2).rawBytes, at: 0) }
        #expect(throws: DiskError.self) { try layer.writeZeroes(0..<512) }
        #expect(throws: DiskError.self) { try layer.flush() }
        #expect(throws: DiskError.self) { try layer.close() }
        #expect(areEqual(file.allBytes, before))
        _ = try VHDXLayer(reading: file)
    }

    @Test func creatorRefusesWhatTheFormatDoesNotAllow() throws {
        func create(
            _ type: ImageType = .dynamic, _ size: UInt64 = 1 << 20, _ block: UInt64 = 1 << 20, _ logical: Int = 512,
            _ physical: Int = 512
        ) throws {
            try VHDXCreator.create(
                on: MemoryFile(), type: type, virtualByteCount: size, blockByteCount: block,
                logicalSectorByteCount: logical,
                physicalSectorByteCount: physical)
        }
        try create()
        #expect(throws: DiskError.self) { try create(.differencing) }
        for size in [0, 513, (64 << 40) + 512] as [UInt64] {
            #expect(throws: DiskError.self) { try create(.dynamic, size) }
        }
        for block in [0, 1 << 19, 3 << 20, 1 << 29] as [UInt64] {
            #expect(throws: DiskError.self) { try create(.dynamic, 1 << 20, block) }
        }
        #expect(throws: DiskError.self) { try create(.dynamic, 1 << 20, 1 << 20, 1024) }
        #expect(throws: DiskError.self) { try create(.dynamic, 1 << 20, 1 << 20, 512, 520) }
        #expect(throws: DiskError.self) { try create(.dynamic, 512, 1 << 20, 4096) }
        #expect(throws: DiskError.self) {
            try VHDXCreator.create(on: MemoryFile([1]), type: .dynamic, virtualByteCount: 1 << 20)
        }
    }

    @Test func creatorIsRepeatable() throws {
        func make() throws -> [UInt8] {
            let file = MemoryFile()
            var next: UInt32 = 0
            try VHDXCreator.create(
                on: file, type: .fixed, virtualByteCount: 3 << 20, blockByteCount: 1 << 20, virtualDiskID: testGUID,
                newGUID: {
                    next += 1
                    return GUID(next)
                })
            return file.allBytes
        }
        #expect(try make() == make())
    }

    @Test func largestDiskIsMadeAndOpenedQuickly() throws {
        let file = MemoryFile()
        let clock = ContinuousClock()
        let time = try clock.measure {
            try VHDXCreator.create(on: file, type: .dynamic, virtualByteCount: 64 << 40, blockByteCount: 1 << 20)
            let layer = try VHDXLayer(reading: file)
            #expect(
                try layer.extents(in: 0..<64 << 40, limit: 10)
                    == [Extent(offset: 0, byteCount: 64 << 40, source: .hole)])
        }
        #expect(time < .milliseconds(500), "\(time)")
        let writer = try VHDXLayer(writing: file)
        try writer.write(Self.sectors(1).rawBytes, at: (64 << 40) - 512)
        try writer.close()
        let layer = try VHDXLayer(reading: file)
        #expect(try layer.census().counts[4].count == 1)
        #expect(try contents(of: layer, (64 << 40) - 512..<64 << 40) == Self.sectors(1))
    }

    @Test func exhaustedSequenceNumbers() throws {
        var image = try TinyImage()
        image.inHeaders(8, UInt64.max - 1)
        let file = image.file
        let layer = try VHDXLayer(writing: file)
        do {
            try layer.write(Self.sectors(1).rawBytes, at: 0)
            Issue.record("written")
        } catch { #expect(error.formatError?.code == .vhdxSequenceNumberExhausted) }
        #expect(try VHDXLayer(reading: file).currentHeader.logGUID == .zero)
    }

    @Test func manyThreads() throws {
        let file = try TinyImage(byteCount: 64 << 20).file
        let layer = try VHDXLayer(writing: file)
        DispatchQueue.concurrentPerform(iterations: 64) { index in
            let start = UInt64(index) << 20
            let bytes = Self.sectors(UInt8(index + 1), 8)
            try? layer.write(bytes.rawBytes, at: start)
            if index % 8 == 0 { try? layer.flush() }
            _ = try? layer.extents(in: 0..<64 << 20, limit: 100)
        }
        try layer.close()
        let after = try VHDXLayer(reading: file)
        for index in 0..<64 {
            let start = UInt64(index) << 20
            #expect(try contents(of: after, start..<start + 4096) == Self.sectors(UInt8(index + 1), 8))
        }
        _ = try after.census()
    }
}
