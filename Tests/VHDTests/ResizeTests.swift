import BlockIO
import ByteCodec
import DiskConformance
import DiskModel
import FaultInjection
import Testing
import VHD

/// Nobody is told.
@Sendable func quiet(_ done: UInt64, _ total: UInt64) throws(DiskError) {}

/// Writes runs of random sectors into about a third of the disk's blocks.
func scribble(_ contents: MemoryFile.Contents, seed: UInt64, writes: Int) throws -> MemoryFile.Contents {
    var random = SplitMix(seed: seed)
    let file = MemoryFile(contents)
    let disk = try VHDLayer(writing: file)
    let sectors = disk.geometry.virtualByteCount / 512
    for _ in 0..<writes {
        let start = UInt64.random(in: 0..<sectors, using: &random)
        let count = min(sectors - start, UInt64.random(in: 1...6, using: &random))
        try disk.write(random.bytes(Int(count) * 512).rawBytes, at: start * 512)
    }
    try disk.write([UInt8](repeating: 0xee, count: 512).rawBytes, at: (sectors - 1) * 512)
    try disk.close()
    return file.contents
}

/// What the disk of another size has to hold.
func resized(_ bytes: [UInt8], to count: UInt64) -> [UInt8] {
    Array(bytes.prefix(Int(count))) + [UInt8].zeros(max(0, Int(count) - bytes.count))
}

/// Resizes, and checks the plan against what came of it, the contents, the tables, and that once more changes nothing.
@discardableResult
func checkResize(
    _ initial: MemoryFile.Contents, to size: UInt64, exactTable: Bool = true,
    sourceLocation: SourceLocation = #_sourceLocation
) throws -> (contents: MemoryFile.Contents, plan: ResizePlan) {
    let before = try contents(try VHDLayer(reading: MemoryFile(initial)))
    let file = MemoryFile(initial)
    let plan = try VHDResizer.plan(file, to: size)
    #expect(file.allBytes == initial.allBytes, "planning changed the file", sourceLocation: sourceLocation)
    #expect(plan.oldFileByteCount == initial.byteCount, sourceLocation: sourceLocation)
    #expect(plan.oldVirtualByteCount == UInt64(before.count), sourceLocation: sourceLocation)
    #expect(plan.newVirtualByteCount == size, sourceLocation: sourceLocation)
    var last: (UInt64, UInt64) = (0, 0)
    let done = try VHDResizer.resize(file, to: size) { (done, total) throws(DiskError) in
        #expect(done >= last.0 && done <= total && (last.1 == 0 || last.1 == total), sourceLocation: sourceLocation)
        last = (done, total)
    }
    #expect(last.0 == last.1 && last.1 > 0, sourceLocation: sourceLocation)
    #expect(done == plan, sourceLocation: sourceLocation)
    #expect(file.byteCount() == plan.newFileByteCount, sourceLocation: sourceLocation)
    let layer = try VHDLayer(reading: file)
    #expect(layer.geometry.virtualByteCount == size, sourceLocation: sourceLocation)
    #expect(try contents(layer) == resized(before, to: size), sourceLocation: sourceLocation)
    let isExact = layer.footer.geometry == .maximum || layer.footer.geometry.byteCount == size
    #expect(isExact || size == plan.oldVirtualByteCount, sourceLocation: sourceLocation)
    if exactTable, let header = layer.header {
        let block = UInt64(header.blockSize)
        #expect(UInt64(header.maxTableEntries) == (size + block - 1) / block, sourceLocation: sourceLocation)
    }
    try checkWhole(file.contents, sourceLocation: sourceLocation)
    let bytes = file.allBytes
    let again = try VHDResizer.resize(file, to: size, progress: quiet)
    #expect(file.allBytes == bytes, "the second time changed the file", sourceLocation: sourceLocation)
    #expect(
        again.oldVirtualByteCount == size && again.oldFileByteCount == again.newFileByteCount && !again.movesTable
            && again.droppedBlockCount == 0, sourceLocation: sourceLocation)
    return (file.contents, plan)
}

@Suite struct ResizeTests {
    static let id = TinyImage.id

    /// Block sizes with sizes in sectors: whole blocks, one sector more and less, and tables that fill a sector of 128
    /// entries or begin another.
    static let grids: [(block: UInt64, sectors: [UInt64])] = [
        (512, [1, 2, 127, 128, 129, 256, 257, 400]),
        (4096, [1, 8, 9, 15, 128 * 8 - 1, 128 * 8, 128 * 8 + 1, 129 * 8, 512 * 8, 513 * 8 + 3]),
        (512 << 10, [1024, 1025, 2048, 3000]), (2 << 20, [4096, 4097, 8192]),
    ]

    @Test(arguments: grids.indices) func dynamicSizes(_ index: Int) throws {
        let (block, sizes) = Self.grids[index]
        var moved = 0
        for from in sizes {
            let fresh = try newImage(.dynamic, from * 512, block: block)
            let used = try scribble(fresh, seed: from, writes: 12)
            for to in sizes {
                try checkResize(fresh, to: to * 512)
                let (_, plan) = try checkResize(used, to: to * 512)
                if plan.movesTable { moved += 1 }
                if to >= from { #expect(plan.droppedBlockCount == 0) }
            }
        }
        if block < 512 << 10 { #expect(moved > 0) }
    }

    @Test func fixedSizes() throws {
        for from in [1, 2, 3, 9, 64, 65] as [UInt64] {
            let used = try scribble(try newImage(.fixed, from * 512), seed: from, writes: 5)
            for to in [1, 2, 3, 9, 64, 65] as [UInt64] {
                let (result, _) = try checkResize(used, to: to * 512)
                #expect(result.byteCount == to * 512 + 512)
            }
        }
    }

    /// Bytes before the footer that are no part of the disk: a shrink that was cut off, or another program's padding.
    @Test func fixedWithSpaceBeforeTheFooter() throws {
        var (bytes, footer) = TinyImage.fixed([UInt8](repeating: 3, count: 4096))
        bytes.removeLast(512)
        footer.currentSize = 1024
        footer.geometry = geometryCHS(virtualByteCount: 1024)
        let image = MemoryFile.Contents(bytes + footer.sealed())
        for to in [512, 1024, 1536, 4096, 4608, 8192] as [UInt64] { try checkResize(image, to: to) }
    }

    @Test func footersOutOfPlace() throws {
        var image = TinyImage()
        image.addBlock(3, bits: 0xff, fill: 0x30)
        let whole = image.bytes
        var killed = whole
        killed.replaceSubrange(killed.count - 512..<killed.count, with: [UInt8](repeating: 0xc7, count: 512))
        var noCopy = whole
        noCopy.replaceSubrange(0..<512, with: [UInt8].zeros(512))
        let fixed = TinyImage.fixed([UInt8](repeating: 3, count: 2048)).bytes
        for bytes in [whole, killed, noCopy, Array(whole.dropLast()), killed + [1, 2, 3], Array(fixed.dropLast())] {
            for to in [4096, 12800, 16384, 300 * 4096] as [UInt64] {
                try checkResize(MemoryFile.Contents(bytes), to: to)
            }
        }
        // A footer that does not begin at a sector.
        let shifted = Array(fixed.dropLast(512)) + [1, 2, 3] + fixed.suffix(512)
        for to in [512, 2048, 4096] as [UInt64] { try checkResize(MemoryFile.Contents(shifted), to: to) }
        let gap = Array(whole.dropLast(512)) + [1, 2, 3] + whole.suffix(512)
        for to in [4096, 16384, 300 * 4096] as [UInt64] { try checkResize(MemoryFile.Contents(gap), to: to) }
    }

    @Test func tailsOfOthersAreCleared() throws {
        var image = TinyImage()
        image.footer.currentSize = 3 * 4096 + 1024
        image.footer.geometry = .maximum
        image.addBlock(3, bits: 0b1010_1111, fill: 0x50)
        for to in [3 * 4096 + 1536, 16384, 20000 * 512] as [UInt64] {
            let (result, _) = try checkResize(MemoryFile.Contents(image.bytes), to: to)
            var options = VHDReadOptions()
            options.ignoresBitmaps = true
            let all = try contents(try VHDLayer(reading: MemoryFile(result), options: options))
            #expect(all[(3 * 4096 + 1024)...].allSatisfy { $0 == 0 })
        }
        // Shrinking leaves nothing behind either.
        let (smaller, _) = try checkResize(MemoryFile.Contents(image.bytes), to: 3 * 4096 + 512)
        #expect(smaller.bytes(2560 + 512..<2560 + 4096).allSatisfy { $0 == 0 })
    }

    @Test func differencingTailsShowTheParent() throws {
        var image = TinyImage(DiskTypeCode.differencing)
        image.addLocator(0, "W2ru", Array("p.vhd".utf8).flatMap { [$0, 0] })
        image.footer.currentSize = 3 * 4096 + 1024
        image.footer.geometry = .maximum
        image.addBlock(3, bits: 0xff, fill: 0x50)
        image.addBlock(0, bits: 0b1000_0001, fill: 0x60)
        let parent = try VHDLayer(
            reading: MemoryFile(TinyImage.fixed([UInt8](repeating: 9, count: 3 * 4096 + 1024)).bytes))
        let before = try contents(try image.layer(), parent: parent)
        for to in [3 * 4096 + 1536, 16384, 300 * 4096, 4096] as [UInt64] {
            let file = MemoryFile(image.bytes)
            let plan = try VHDResizer.resize(file, to: to, progress: quiet)
            #expect(file.byteCount() == plan.newFileByteCount)
            let layer = try VHDLayer(reading: file)
            #expect(try contents(layer, parent: parent) == resized(before, to: to))
            if to > 3 * 4096 + 1024 {
                // As in blocks that are not there.
                let extents = try layer.extents(in: 3 * 4096 + 1024..<to, limit: 9)
                #expect(extents == [Extent(offset: 3 * 4096 + 1024, byteCount: to - 3 * 4096 - 1024, source: .parent)])
            }
            #expect(layer.parentLink?.locators.first?.path == "p.vhd")
            try checkWhole(file.contents)
        }
    }

    /// The space kept for a parent's path is not the table's, even where the path is short.
    @Test func locatorSpaceIsKept() throws {
        var image = TinyImage(DiskTypeCode.differencing)
        image.addLocator(0, "W2ru", Array("p.vhd".utf8).flatMap { [$0, 0] }, space: 4)
        image.body += [UInt8](repeating: 0, count: 3 * 512)
        let file = MemoryFile(image.bytes)
        // Behind the table at 1536 the path begins at once.
        let plan = try VHDResizer.resize(file, to: 129 * 4096, progress: quiet)
        #expect(plan.movesTable)
        #expect(try VHDLayer(reading: file).header?.tableOffset == 4096)
        #expect(file.byteCount() == 4096 + 1024 + 512)
    }

    /// Blocks in the space kept behind a parent's path, which no reader minds.
    @Test func blocksInLocatorSpace() throws {
        var image = TinyImage(DiskTypeCode.differencing)
        image.addLocator(0, "W2ru", utf16Bytes(".\\p.vhd", .little), space: 128 << 10)
        image.addBlock(1, bits: 0xff, fill: 0x30)
        let initial = MemoryFile.Contents(image.bytes)
        for size in [8192, 16384 + 8192] as [UInt64] { try checkResize(initial, to: size) }
    }

    @Test func tablesMoveAndGrow() throws {
        // Room for 512 entries; a block stands behind, at 3584.
        var contents = try scribble(try newImage(.dynamic, 8 * 4096, block: 4096), seed: 1, writes: 3)
        var plan: ResizePlan
        (contents, plan) = try checkResize(contents, to: 512 * 4096)
        #expect(!plan.movesTable && plan.oldFileByteCount == plan.newFileByteCount)
        (contents, plan) = try checkResize(contents, to: 512 * 4096 + 512)
        #expect(plan.movesTable && plan.newFileByteCount == plan.oldFileByteCount + 5 * 512)
        // Last in the file, it grows where it is.
        (contents, plan) = try checkResize(contents, to: 1000 * 4096)
        #expect(!plan.movesTable && plan.newFileByteCount == plan.oldFileByteCount + 3 * 512)
        contents = try scribble(contents, seed: 2, writes: 3)
        (contents, plan) = try checkResize(contents, to: 3000 * 4096)
        #expect(plan.movesTable)
        (contents, plan) = try checkResize(contents, to: 4096)
        (contents, plan) = try checkResize(contents, to: 3000 * 4096)
        #expect(!plan.movesTable)
    }

    @Test func longerAndShorterByTurns() throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("ResizeTests.longerAndShorterByTurns: seed \(seed)")
        var random = SplitMix(seed: seed)
        for block in [512, 4096, 65536] as [UInt64] {
            var contents = try newImage(.dynamic, block, block: block)
            for _ in 0..<25 {
                let sectors = UInt64.random(in: 1...700, using: &random) * max(1, block / 1024)
                (contents, _) = try checkResize(contents, to: sectors * 512)
                contents = try scribble(contents, seed: random.next(), writes: 5)
                if sectors % 3 == 0 { contents = try checkCompaction(contents).contents }
            }
        }
    }

    /// Nothing that was cut off comes back.
    @Test func droppedBlocksStayAway() throws {
        let used = try scribble(try newImage(.dynamic, 200 * 4096, block: 4096), seed: 9, writes: 150)
        let (small, plan) = try checkResize(used, to: 10 * 4096 + 512)
        #expect(plan.droppedBlockCount > 50)
        let (large, _) = try checkResize(small, to: 200 * 4096)
        #expect(try contents(try VHDLayer(reading: MemoryFile(large)))[(10 * 4096 + 512)...].allSatisfy { $0 == 0 })
    }

    /// Entries past the disk that name something, as a shrink that was cut off leaves them, are never taken up.
    @Test func staleEntries() throws {
        var image = TinyImage()
        image.addBlock(0, bits: 0xff, fill: 0x10)
        image.addBlock(3, bits: 0xff, fill: 0x20)
        image.footer.currentSize = 2 * 4096
        image.footer.geometry = .maximum
        for to in [2 * 4096, 3 * 4096, 4 * 4096, 5 * 4096, 4096] as [UInt64] {
            let (result, _) = try checkResize(MemoryFile.Contents(image.bytes), to: to)
            #expect(result.bytes(1540..<1552).allSatisfy { $0 == 0xff })
        }
    }

    /// Max Table Entries that counts far over the blocks behind the table.
    @Test func entriesThatAreNone() throws {
        var image = TinyImage()
        image.addBlock(1, bits: 0xff, fill: 0x10)
        for count in [5, 129, 4000, UInt32.max] as [UInt32] {
            image.header?.maxTableEntries = count
            for to in [4096, 2 * 4096, 16384, 128 * 4096, 129 * 4096] as [UInt64] {
                try checkResize(MemoryFile.Contents(image.bytes), to: to)
            }
        }
    }

    // MARK: XenServer

    /// An image of XenServer with room for more entries, and a batmap that says that block 1 is full.
    static func xenImage(entryCount: UInt32 = 4, mapOffset: UInt64? = nil) -> TinyImage {
        var image = TinyImage()
        image.footer.creatorApplication = Array("tap\0".utf8)
        image.footer.creatorVersion = 0x0001_0003
        image.header?.maxTableEntries = entryCount
        image.table = [UInt32](repeating: .max, count: max(4, Int(entryCount) / 128 * 128))
        let place = UInt64(1536) + (4 * UInt64(entryCount) + 511) / 512 * 512
        var map = BatmapHeader()
        map.mapOffset = mapOffset ?? place + 512
        map.mapSize = (entryCount / 8 + 511) / 512 + (entryCount < 8 ? 1 : 0)
        map.version = 0x0001_0002
        map.checksum = ~0x40
        image.body = map.serialized() + [0x40] + [UInt8].zeros(Int(map.mapSize) * 512 - 1)
        return image
    }

    static func blocks(_ image: TinyImage, shift: Int) -> TinyImage {
        var image = image
        image.addBlock(1, bits: 0xff, fill: 0x10)
        image.addBlock(3, bits: 0x0f, fill: 0x20)
        // `addBlock` counts from a table of one sector.
        for index in [1, 3] { image.table[index] += UInt32(shift / 512) }
        return image
    }

    private func checkBatmap(_ contents: MemoryFile.Contents) throws {
        let layer = try VHDLayer(reading: MemoryFile(contents))
        let batmap = try #require(try layer.report().structures.first { $0.name == "Batmap header" })
        func value(_ name: String) -> UInt64 {
            if case .integer(let value) = batmap.fields.first(where: { $0.name == name })?.value { value } else { 0 }
        }
        #expect(value("Checksum") == 0xffff_ffff)
        let header = try #require(layer.header)
        #expect(batmap.offset == header.tableOffset + (4 * UInt64(header.maxTableEntries) + 511) / 512 * 512)
        #expect(value("Map Size") * 4096 >= UInt64(header.maxTableEntries))
        let map = contents.bytes(value("Map Offset")..<value("Map Offset") + value("Map Size") * 512)
        #expect(map.allSatisfy { $0 == 0 })
    }

    @Test func batmapsAreClearedAndMoved() throws {
        let exact = MemoryFile.Contents(Self.blocks(Self.xenImage(), shift: 0).bytes)
        for to in [4096, 5 * 4096, 128 * 4096, 129 * 4096, 5000 * 4096] as [UInt64] {
            let (result, plan) = try checkResize(exact, to: to, exactTable: to > 16384)
            #expect(plan.movesTable == (to > 128 * 4096))
            try checkBatmap(result)
            let count = try VHDLayer(reading: MemoryFile(result)).header?.maxTableEntries
            #expect(count == UInt32(max(4, to / 4096)))
            try checkResize(result, to: 16384, exactTable: false)
        }
        // The same size: nothing is stale.
        let file = MemoryFile(exact)
        _ = try VHDResizer.resize(file, to: 16384, progress: quiet)
        #expect(file.allBytes == exact.allBytes)
    }

    @Test func preallocatedEntriesAreKept() throws {
        let large = MemoryFile.Contents(Self.blocks(Self.xenImage(entryCount: 256), shift: 512).bytes)
        for to in [4096, 5 * 4096, 256 * 4096, 257 * 4096] as [UInt64] {
            let (result, plan) = try checkResize(large, to: to, exactTable: false)
            #expect(plan.movesTable == (to > 256 * 4096))
            #expect(try VHDLayer(reading: MemoryFile(result)).header?.maxTableEntries == UInt32(max(256, to / 4096)))
            try checkBatmap(result)
        }
    }

    /// A batmap that is said to lie over the header is not cleared.
    @Test func hostileBatmaps() throws {
        for offset in [0, 512, 1024, 1536] as [UInt64] {
            let image = MemoryFile(Self.blocks(Self.xenImage(mapOffset: offset), shift: 0).bytes)
            let before = image.allBytes
            expectRefusal("lies over") { _ = try VHDResizer.resize(image, to: 4096, progress: quiet) }
            #expect(image.allBytes == before)
        }
    }

    // MARK: Refusals and failures

    @Test func refusals() throws {
        let dynamic = MemoryFile(TinyImage().bytes)
        let fixed = MemoryFile(TinyImage.fixed([UInt8](repeating: 3, count: 1024)).bytes)
        for file in [dynamic, fixed] {
            for size in [0, 1, 513, UInt64.max] { expectRefusal { _ = try VHDResizer.plan(file, to: size) } }
        }
        let most = VHDCreator.largestDynamicByteCount
        expectRefusal("too large") { _ = try VHDResizer.plan(dynamic, to: most + 512) }
        #expect(try VHDResizer.plan(dynamic, to: most).newVirtualByteCount == most)
        #expect(try VHDResizer.plan(fixed, to: most + 512).newFileByteCount == most + 1024)
        var saved = TinyImage()
        saved.footer.savedState = 1
        expectRefusal("saved") { _ = try VHDResizer.plan(MemoryFile(saved.bytes), to: 4096) }
        var lost = TinyImage(DiskTypeCode.differencing)
        lost.header?.parentUniqueID = TinyImage.parentID
        do {
            _ = try VHDResizer.plan(MemoryFile(lost.bytes), to: 4096)
            Issue.record("an image with an error was not refused")
        } catch { #expect(error.kind == .refused && error.formatError?.code == .vhdParentIdentity) }
        var overlapping = TinyImage()
        overlapping.addBlock(0, bits: 0xff, fill: 1)
        overlapping.addBlock(1, bits: 0xff, fill: 1)
        overlapping.table[1] = overlapping.table[0] + 8
        expectRule(.vhdBlocksOverlap) { _ = try VHDResizer.plan(MemoryFile(overlapping.bytes), to: 4096) }
    }

    @Test func twoTebibytesAreTheEnd() throws {
        var image = TinyImage()
        image.addBlock(0, bits: 0xff, fill: 1)
        let file = MemoryFile(image.bytes)
        // The last block that an entry can name.
        let place = (UInt64(UInt32.max) * 512 - 4608 - 512).rounded(to: 512)
        file.resize(to: place + 4608)
        try file.write([0xff] + [UInt8].zeros(511), at: place)
        let entry = UInt32(place / 512)
        try file.write((0..<4).map { UInt8(truncatingIfNeeded: entry >> UInt32(24 - 8 * $0)) }, at: 1540)
        try file.write(image.footer.sealed(), at: place + 4608)
        expectRefusal("2 TiB") { _ = try VHDResizer.plan(file, to: 200 * 4096) }
        #expect(try !VHDResizer.plan(file, to: 128 * 4096).movesTable)
    }

    @Test func contradictingFooters() throws {
        var image = TinyImage()
        image.addBlock(0, bits: 0xff, fill: 1)
        var other = image.footer
        other.currentSize = 8192
        other.geometry = .maximum
        image.copy = other.sealed()
        let halfDone = MemoryFile.Contents(image.bytes)
        #expect(throws: DiskError.self) { _ = try VHDLayer(writing: MemoryFile(halfDone)) }
        expectRefusal("cut off") { _ = try VHDCompactor.plan(MemoryFile(halfDone), progress: quiet) }
        // Resizing goes on from the one at the end.
        for to in [4096, 8192, 16384, 32768] as [UInt64] { try checkResize(halfDone, to: to) }
        other.uniqueID = TinyImage.parentID
        image.copy = other.sealed()
        let file = MemoryFile(image.bytes)
        do {
            _ = try VHDResizer.resize(file, to: 8192, progress: quiet)
            Issue.record("footers of two disks were not refused")
        } catch { #expect(error.formatError?.code == .vhdFootersDiffer) }
        #expect(file.allBytes == image.bytes)
    }

    /// Every call of every resize fails once, or from then on: the image holds what it held, and the resize can be done
    /// again.
    @Test func everyFailureLeavesAWholeImage() throws {
        let xen = MemoryFile.Contents(Self.blocks(Self.xenImage(), shift: 0).bytes)
        let dynamic = try scribble(try newImage(.dynamic, 20 * 4096 + 512, block: 4096), seed: 4, writes: 20)
        let fixed = try scribble(try newImage(.fixed, 20 * 512), seed: 4, writes: 20)
        var failures = 0
        for (initial, sizes) in [
            (xen, [4096, 129 * 4096]), (dynamic, [4096 + 512, 100 * 4096, 600 * 4096]), (fixed, [1024, 40 * 512]),
        ] as [(MemoryFile.Contents, [UInt64])] {
            for to in sizes {
                let before = try contents(try VHDLayer(reading: MemoryFile(initial)))
                for (after, recovers) in (0..<60).flatMap({ [($0, false), ($0, true)] }) {
                    let file = MemoryFile(initial)
                    let failing = FailingFile(file, after: after, code: 28, recovers: recovers)
                    do {
                        _ = try VHDResizer.resize(failing, to: to, progress: quiet)
                        #expect(!failing.hasFailed || recovers)
                    } catch { failures += 1 }
                    let layer = try VHDLayer(reading: file)
                    let size = layer.geometry.virtualByteCount
                    #expect(size == UInt64(before.count) || size == to, "call \(after)")
                    #expect(try contents(layer) == resized(before, to: size), "call \(after)")
                    _ = try VHDResizer.resize(file, to: to, progress: quiet)
                    #expect(try contents(try VHDLayer(reading: file)) == resized(before, to: to), "call \(after)")
                    try checkWhole(file.contents)
                }
            }
        }
        #expect(failures > 50)
    }

    @Test func progressStopsWhereTheImageIsWhole() throws {
        let initial = try scribble(try newImage(.dynamic, 20 * 4096, block: 4096), seed: 4, writes: 20)
        let before = try contents(try VHDLayer(reading: MemoryFile(initial)))
        for calls in 0..<3 {
            let file = MemoryFile(initial)
            var left = calls
            #expect(throws: DiskError.self) {
                _ = try VHDResizer.resize(file, to: 600 * 4096) { (_, _) throws(DiskError) in
                    left -= 1
                    if left < 0 { throw DiskError(.io, path: "", "stopped") }
                }
            }
            let layer = try VHDLayer(reading: file)
            #expect(try contents(layer) == resized(before, to: layer.geometry.virtualByteCount))
            _ = try VHDResizer.resize(file, to: 600 * 4096, progress: quiet)
            try checkWhole(file.contents)
        }
    }
}

/// Expects that `body` is refused, with a text in the message.
func expectRefusal(
    _ text: String = "", sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
) {
    do {
        try body()
        Issue.record("not refused", sourceLocation: sourceLocation)
    } catch let error as DiskError {
        #expect(error.kind == .refused, "\(error)", sourceLocation: sourceLocation)
        #expect(text.isEmpty || error.description.contains(text), "\(error)", sourceLocation: sourceLocation)
    } catch {
        Issue.record("\(error)", sourceLocation: sourceLocation)
    }
}

extension UInt64 {
    fileprivate func rounded(to unit: UInt64) -> UInt64 { self / unit * unit }
}
