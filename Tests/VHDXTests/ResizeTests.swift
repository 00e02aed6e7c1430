import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Glibc
import Testing

@testable import VHDX

@Suite struct ResizeTests {
    /// Blocks here and there, the last one too, with garbage behind its end and in the padding of the table.
    static func untidy(
        _ size: UInt64, type: ImageType = .dynamic, block: UInt64 = 1 << 20, sector: Int = 512
    ) throws -> TinyImage {
        var image = try TinyImage(type: type, byteCount: size, blockByteCount: block, logicalSectorByteCount: sector)
        let geometry = TableGeometry(
            virtualByteCount: size, blockByteCount: block, logicalSectorByteCount: UInt64(sector), isDifferencing: false
        )
        let last = geometry.payloadBlockCount - 1
        if type == .dynamic {
            image.putBlock(geometry.index(ofPayloadBlock: last), 9, byteCount: block, used: Int(block))
            for number in [0, last / 2] where number < last {
                image.putBlock(geometry.index(ofPayloadBlock: number), UInt8(number % 200) + 1, byteCount: block)
            }
        } else {
            let offset = image.integer(TinyImage.table + 8 * geometry.index(ofPayloadBlock: last), as: UInt64.self)
            image.put([UInt8](repeating: 9, count: Int(block)), at: offset & ~7)
            image.put([UInt8](repeating: 4, count: 8192), at: 5 << 20)
        }
        let region = (geometry.entryCount * 8).roundedUp(to: mebibyte) / 8
        for index in [geometry.entryCount, geometry.entryCount + 1, geometry.entryCount + 700, region - 1]
        where index >= geometry.entryCount && index < region {
            image.setEntry(index, 0x77_0000_0006)
        }
        return image
    }

    struct Case: Sendable, CustomStringConvertible {
        var type: ImageType
        var from: UInt64
        var to: UInt64
        var block: UInt64
        var sector: Int
        init(_ type: ImageType, _ from: UInt64, _ to: UInt64, _ block: UInt64 = 1 << 20, _ sector: Int = 512) {
            (self.type, self.from, self.to, self.block, self.sector) = (type, from, to, block, sector)
        }
        var description: String { "\(type) \(from) to \(to), blocks of \(block), sectors of \(sector)" }
    }

    /// Entries that just fill the table's region of 1 MiB.
    static let full: UInt64 = 131_041 << 20
    static let cases: [Case] = [
        Case(.dynamic, 8 << 20, 12 << 20), Case(.dynamic, 8 << 20, (8 << 20) + 512),
        Case(.dynamic, (8 << 20) - 512, 8 << 20), Case(.dynamic, (8 << 20) - 512, (8 << 20) + 512),
        Case(.dynamic, 512, 5 << 20), Case(.dynamic, (5 << 20) - 4096, (11 << 20) - 4096, 2 << 20, 4096),
        Case(.dynamic, (5 << 20) - 4096, 5 << 20, 1 << 20, 4096), Case(.dynamic, 60 << 20, 900 << 20, 32 << 20),
        // Pages of the table, chunks.
        Case(.dynamic, 512 << 20, 513 << 20), Case(.dynamic, 500 << 20, 512 << 20),
        Case(.dynamic, 4 << 30, (4 << 30) + 512),
        Case(.dynamic, (4 << 30) - 512, 4 << 30), Case(.dynamic, (4 << 30) + 512, 9 << 30),
        Case(.dynamic, 32 << 30, (32 << 30) + 4096, 1 << 20, 4096),
        // The table's region.
        Case(.dynamic, 8 << 20, full), Case(.dynamic, 8 << 20, full + 512), Case(.dynamic, full, full + 512),
        Case(.dynamic, full - 512, full), Case(.dynamic, full + 512, 2 << 40),
        Case(.dynamic, (3 << 20) + 512, 64 << 40),
        // Fixed.
        Case(.fixed, 4 << 20, 9 << 20), Case(.fixed, (4 << 20) - 512, 4 << 20),
        Case(.fixed, (4 << 20) - 512, (6 << 20) + 512),
        Case(.fixed, 4 << 20, (4 << 30) + 512), Case(.fixed, 6 << 20, 14 << 20, 2 << 20, 4096),
        Case(.fixed, 4 << 20, full + 512), Case(.fixed, 3 << 20, 1 << 40, 256 << 20),
    ]

    @Test(arguments: cases) func growsAndShrinksBack(_ size: Case) throws {
        let image = try Self.untidy(size.from, type: size.type, block: size.block, sector: size.sector)
        let before = try image.view
        let grown = try Edit.resize(to: size.to).check(image.contents, expecting: before.resized(to: size.to))
        let layer = try VHDXLayer(reading: grown)
        #expect(layer.findings.isEmpty, "\(layer.findings)")
        #expect(layer.type == size.type)
        if size.type == .fixed {
            let census = try layer.census()
            #expect(census.counts[4].count == size.to.dividedRoundingUp(by: size.block))
            #expect(layer.findings.isEmpty, "\(layer.findings)")
        }
        // Something at the very end, which shrinking has to give up.
        let writer = try VHDXLayer(writing: grown)
        try writer.write([UInt8](repeating: 7, count: size.sector).rawBytes, at: size.to - UInt64(size.sector))
        try writer.close()
        let shrunk = try Edit.resize(to: size.from).check(grown.contents, expecting: before)
        let after = try VHDXLayer(reading: shrunk)
        _ = try after.census()
        #expect(after.findings.isEmpty, "\(after.findings)")
        // Growing again must not show it.
        _ = try Edit.resize(to: size.to).check(shrunk.contents, expecting: before.resized(to: size.to))
    }

    @Test func planTellsTheMove() throws {
        let image = try Self.untidy(Self.full)
        var plan = try VHDXResizer.plan(image.file, to: Self.full + 512)
        #expect(plan.movesTable)
        #expect(plan.newFileByteCount == plan.oldFileByteCount + (2 << 20))
        plan = try VHDXResizer.plan(image.file, to: 5 << 20)
        #expect(!plan.movesTable)
        #expect(plan.droppedBlockCount == 2)
        #expect(plan.newFileByteCount == 6 << 20, "block 0 stands between two that go")
        plan = try VHDXResizer.plan(image.file, to: Self.full - 512)
        #expect(plan.droppedBlockCount == 0)
    }

    @Test func sizesThatAreRefused() throws {
        let image = try TinyImage(logicalSectorByteCount: 4096)
        for size: UInt64 in [0, 512, (8 << 20) + 512, (64 << 40) + 4096, .max, .max - 4095] {
            let file = image.file
            for body in [
                { _ = try VHDXResizer.plan(file, to: size) },
                { _ = try VHDXResizer.resize(file, to: size, progress: quiet) },
            ] as [() throws -> Void] {
                do {
                    try body()
                    Issue.record("\(size) was accepted")
                } catch let error as DiskError {
                    #expect(error.kind == .refused, "\(error)")
                }
            }
            #expect(Edit.same(file.contents, image.contents))
        }
    }

    @Test func imagesThatAreRefused() throws {
        var ambiguous = try TinyImage()
        ambiguous.put(UInt64(1), at: 65536 + 8)
        ambiguous.put(UInt64(1), at: 131072 + 8)
        ambiguous.seal()
        ambiguous.put(GUID(5, 5, 5, 5), at: 131072 + 16)
        ambiguous.seal()
        var twice = try TinyImage()
        twice.putBlock(0, 1)
        twice.setEntry(1, 4 << 20 | 6)
        var noLog = try TinyImage()
        noLog.inHeaders(68, UInt32(0))
        for image in [ambiguous, twice, noLog] {
            for edit in [Edit.resize(to: 16 << 20), .resize(to: 1 << 20), .compact] {
                let file = image.file
                #expect(throws: DiskError.self) { _ = try edit.plan(file) }
                #expect(throws: DiskError.self) { _ = try edit.run(file) }
                #expect(Edit.same(file.contents, image.contents), "\(edit.name)")
            }
        }
    }

    @Test func pendingLogIsReplayedFirst() throws {
        let file = try TinyImage().file
        let former = try VHDXLayer(writing: file)
        try former.write([UInt8](repeating: 3, count: 4096).rawBytes, at: 2 << 20)
        try former.flush()
        let dirty = file.contents
        let before = try DiskView(VHDXLayer(reading: file))
        #expect(before.sectors.count == 8)
        for size: UInt64 in [8 << 20, 20 << 20, 3 << 20] {
            let edited = MemoryFile(dirty)
            let planned = try VHDXResizer.plan(edited, to: size)
            #expect(Edit.same(edited.contents, dirty))
            #expect(try VHDXResizer.resize(edited, to: size, progress: quiet) == planned)
            let layer = try VHDXLayer(reading: edited)
            #expect(try DiskView(layer) == before.resized(to: size))
            #expect(layer.currentHeader.logGUID == .zero)
        }
    }

    /// The size's item across the end of a page, and region tables whose table entry stands on their second page.
    @Test func itemAcrossPagesAndEntryOnALaterPage() throws {
        var image = try Self.untidy(Self.full)
        let at = TinyImage.metadata + 65536 + 4092
        image.put(Self.full, at: at)
        image.put(UInt32(65536 + 4092), at: TinyImage.item(1) + 16)
        // 200 unknown regions of one MiB before the table's entry.
        let tableEntry = image.bytes(196608 + 16, 32)
        let start = image.append([], count: 200 << 20)
        for copy: UInt64 in [196608, 262144] {
            for index in 0..<UInt64(200) {
                let entry = copy + 16 + 32 * (index == 0 ? 0 : index + 1)
                image.put(GUID(77, UInt16(index), 1, 1), at: entry)
                image.put(start + index << 20, at: entry + 16)
                image.put(UInt32(1 << 20), at: entry + 24)
                image.put(UInt32(0), at: entry + 28)
            }
            image.put(tableEntry, at: copy + 16 + 32 * 201)
            image.put(UInt32(202), at: copy + 8)
        }
        image.seal()
        image.put([1, 2, 3], at: start + 199 << 20)
        let before = try image.view
        let file = try Edit.resize(to: Self.full + 512).check(
            image.contents, expecting: before.resized(to: Self.full + 512))
        let layer = try VHDXLayer(reading: file)
        #expect(layer.findings.allSatisfy { $0.severity == .information })
        #expect(file.contents.bytes(start + 199 << 20..<start + 199 << 20 + 3) == [1, 2, 3])
        let table = layer.regions.blockAllocationTable
        #expect(table.length == 2 << 20 && table.fileOffset >= start + 200 << 20)
    }

    /// A file that a writer cut off in its last block.
    @Test func lastBlockCutAtTheDisksEnd() throws {
        var image = try TinyImage(byteCount: (8 << 20) + 512, blockByteCount: 4 << 20)
        image.putBlock(2, 6, byteCount: 512, used: 512)
        let before = try image.view
        #expect(before.sectors.count == 1)
        let grown = try Edit.resize(to: 12 << 20).check(image.contents, expecting: before.resized(to: 12 << 20))
        #expect(grown.byteCount() == 8 << 20)
        _ = try Edit.resize(to: 4 << 20).check(image.contents, expecting: before.resized(to: 4 << 20))
        // Who writes to it must not put the next block over the missing part.
        let file = image.file
        let writer = try VHDXLayer(writing: file)
        try writer.write([UInt8](repeating: 1, count: 512).rawBytes, at: 0)
        try writer.close()
        _ = try VHDXLayer(reading: file).census()
    }

    @Test func spaceOfUnmappedBlocksStaysTheirs() throws {
        var image = try TinyImage(byteCount: Self.full)
        image.putBlock(3, 8, state: 3)
        let before = try image.view
        let file = try Edit.resize(to: Self.full + 512).check(
            image.contents, expecting: before.resized(to: Self.full + 512))
        #expect(try VHDXLayer(reading: file).regions.blockAllocationTable.fileOffset == 5 << 20)
        let shrunk = try Edit.resize(to: 2 << 20).check(file.contents, expecting: before.resized(to: 2 << 20))
        #expect(try VHDXLayer(reading: shrunk).census().gaps == [3 << 20..<5 << 20])
    }

    @Test func progressCanStop() throws {
        struct Stop: Error {}
        for size: UInt64 in [Self.full + 512, 4 << 40, 5 << 20, 9 << 20] {
            for limit in 0..<6 {
                let image = try Self.untidy(Self.full)
                let before = try image.view
                let file = image.file
                var calls = 0
                do {
                    _ = try VHDXResizer.resize(file, to: size) { (done, total) throws(DiskError) in
                        calls += 1
                        if calls > limit { throw DiskError(.refused, path: "", "stop") }
                    }
                } catch { #expect(error.kind == .refused) }
                let layer = try VHDXLayer(reading: file)
                #expect(layer.currentHeader.logGUID == .zero)
                let view = try DiskView(layer)
                #expect(view == before || view == before.resized(to: size))
                _ = try Edit.resize(to: size).check(file.contents, expecting: before.resized(to: size))
            }
        }
    }

    // MARK: Differencing

    /// A child with blocks of all kinds in two chunks.
    static func child(_ size: UInt64 = (4 << 30) + (3 << 20), used: Int = 1 << 20) throws -> TinyImage {
        var image = try TinyImage(byteCount: size)
        image.makeDifferencing()
        for chunk: UInt64 in [0, 1] {
            let first = chunk * 4097
            var bits = [UInt8](repeating: 0, count: 1 << 20)
            bits[256 + 3] = 0x10
            let bitmap = image.append(bits)
            image.setEntry(first + 4096, bitmap | 6)
            image.putBlock(first, UInt8(chunk) + 1, used: used)
            image.putBlock(first + 1, UInt8(chunk) + 3, used: max(used, 16384), state: 7)
            image.setEntry(first + 2, 2)
        }
        return image
    }

    static let childSizes: [UInt64] = [
        (4 << 30) + (3 << 20) + 512, (4 << 30) + (9 << 20), 8 << 30, (8 << 30) + 512, 126_976 << 20,
        (126_976 << 20) + 512,
        (4 << 30) + (2 << 20), (4 << 30) + (1 << 20) + 8192, 4 << 30, 5 << 20, (1 << 20) + 512, 512,
    ]

    @Test(arguments: childSizes) func differencing(_ size: UInt64) throws {
        let image = try Self.child()
        let before = try image.view
        #expect(before.sectors.count == 2 * 2049)
        let after = before.resized(to: size, isDifferencing: true)
        let file = try Edit.resize(to: size).check(image.contents, expecting: after)
        let layer = try VHDXLayer(reading: file)
        _ = try layer.census()
        #expect(layer.findings.isEmpty, "\(layer.findings)")
        #expect(layer.type == .differencing)
        guard size < before.size else { return }
        // The rest of the block that was the last one shows no former bytes; its bits say where it shows the parent.
        _ = try VHDXResizer.resize(file, to: before.size, progress: quiet)
        let rest = size..<size.roundedUp(to: 1 << 20)
        #expect(
            try DiskView(VHDXLayer(reading: file)).hidingParent(in: rest)
                == after.resized(to: before.size, isDifferencing: true).hidingParent(in: rest))
    }

    // MARK: Failures

    @Test(arguments: [ENOSPC, EIO]) func failuresLeaveTheImageWhole(_ code: CInt) throws {
        var count = 0
        let cases: [(TinyImage, UInt64)] = [
            (try Self.untidy(6 << 20), (9 << 20) + 512), (try Self.untidy(Self.full), Self.full + 512),
            (try Self.untidy(4 << 20, type: .fixed), 9 << 20), (try Self.untidy(9 << 20), 3 << 20),
            (try Self.child(), 8 << 30), (try Self.child(), 3 << 20),
        ]
        for (image, size) in cases {
            let before = try image.view
            let isDifferencing = try VHDXLayer(reading: image.file).type == .differencing
            let wanted = before.resized(to: size, isDifferencing: isDifferencing)
            for recovers in [false, true] {
                var after = 0
                while true {
                    let file = image.file
                    let failing = FailingFile(file, after: after, code: code, recovers: recovers)
                    do {
                        _ = try VHDXResizer.resize(failing, to: size, progress: quiet)
                    } catch { #expect(error.kind == .io, "\(error)") }
                    guard failing.hasFailed else { break }
                    count += 1
                    let view = try DiskView(VHDXLayer(reading: MemoryFile(file.contents)))
                    #expect(view == before || view == wanted, "after \(after)")
                    _ = try VHDXResizer.resize(file, to: size, progress: quiet)
                    let layer = try VHDXLayer(reading: file)
                    #expect(try DiskView(layer) == wanted, "again, after \(after)")
                    _ = try layer.census()
                    #expect(layer.findings.isEmpty)
                    after += 1
                }
            }
        }
        print("VHDX resize, failures with errno \(code): \(count) places")
        #expect(count > 150)
    }
}
