import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing

@testable import SealedFile

/// Each check by itself: everything but one is made right again with the container's keys, and that one refuses.
@Suite struct ImageForgeryTests {
    private static let chunk: UInt64 = 4096

    /// Chunks 0 to 9 and 90, closed.
    private static func closed() throws -> (forger: ImageForger, disk: [UInt8]) {
        let file = MemoryFile()
        let image = try makeImage(on: file)
        for index in Array(0..<10) + [UInt64(90)] {
            try image.write([UInt8](repeating: UInt8(index + 1), count: 4096), at: index * chunk)
        }
        try image.close()
        return (ImageForger(image, file.contents), try image.everything())
    }

    private static func bytes(_ forger: ImageForger, _ index: UInt64) throws -> [UInt8]? {
        do { return try openImage(forger.contents).bytes(at: index * chunk, count: 4096) } catch {
            guard isRefusal(error) else { throw error }
            return nil
        }
    }

    /// What is made right again counts: else the other tests would prove nothing.
    @Test func theForgerIsRight() throws {
        let (forger, disk) = try Self.closed()
        var same = forger
        same.setEntry(3, forger.entry(3))
        #expect(same.contents.allBytes == forger.contents.allBytes)
        #expect(try openImage(same.contents).everything() == disk)
        var zero = forger
        zero.setEntry(3, [UInt8].zeros(47) + [0x20])
        #expect(try Self.bytes(zero, 3) == [UInt8].zeros(4096))
        #expect(try Self.bytes(zero, 4) == [UInt8](repeating: 5, count: 4096))
    }

    @Test func codesOfPages() throws {
        let (forger, _) = try Self.closed()
        for level in 0...2 {
            let id = PageID(level: level, number: 0)
            for place in [0, 31] {
                var (changed, code) = (forger, Array(forger.page(id)[..<32]))
                code[place] ^= 1
                changed.setPage(id, changed.page(id), code: code)
                #expect(try Self.bytes(changed, 3) == nil, "level \(level)")
            }
        }
        // Another group's page, with that one's code: the number is covered.
        var moved = forger
        let (first, second) = (PageID(level: 0, number: 0), PageID(level: 0, number: 1))
        let other = forger.page(second)
        moved.setPage(first, other, code: Array(other[..<32]))
        #expect(try Self.bytes(moved, 0) == nil)
        #expect(try Self.bytes(moved, 90) != nil)
        // And of another level.
        let above = forger.page(PageID(level: 1, number: 0))
        moved = forger
        moved.setPage(first, above, code: Array(above[..<32]))
        #expect(try Self.bytes(moved, 0) == nil)
    }

    @Test func chunksAreBoundToTheirNumberAndWord() throws {
        let (forger, _) = try Self.closed()
        // Two chunks with their entries: in one group, and of two.
        for (a, b) in [(UInt64(1), UInt64(2)), (4, 90)] {
            var swapped = forger
            swapped.setEntry(a, forger.entry(b))
            swapped.setEntry(b, forger.entry(a))
            swapped.setChunk(a, forger.chunk(b))
            swapped.setChunk(b, forger.chunk(a))
            #expect(try Self.bytes(swapped, a) == nil && Self.bytes(swapped, b) == nil)
            #expect(try Self.bytes(swapped, 3) != nil)
        }
        // Another generation; bits that nothing means.
        for (place, value) in [(40, UInt8(2)), (46, 1), (47, 0x11), (47, 0x30), (47, 0xf0)] {
            var (changed, entry) = (forger, forger.entry(5))
            entry[place] = value
            changed.setEntry(5, entry)
            #expect(try Self.bytes(changed, 5) == nil, "\(place)")
            #expect(try Self.bytes(changed, 6) != nil)
        }
        // Nonce and tag, each byte.
        for place in 0..<40 {
            var (changed, entry) = (forger, forger.entry(5))
            entry[place] ^= 0x40
            changed.setEntry(5, entry)
            #expect(try Self.bytes(changed, 5) == nil, "\(place)")
        }
    }

    @Test func rootBlocks() throws {
        let (forger, disk) = try Self.closed()
        for place in [0, 31, 40, 48, 56, 130] as [UInt64] {
            var changed = forger
            for (number, offset) in ImageLayout.rootOffsets.enumerated() {
                let old = forger.contents.bytes(offset + place..<offset + place + 1)[0]
                let octets = [old ^ 1]
                changed.contents.write(octets.rawBytes, at: offset + place)
                guard number == 1 else {
                    #expect(try openImage(changed.contents).everything() == disk)
                    continue
                }
                let error = #expect(throws: DiskError.self) { try openImage(changed.contents) }
                #expect(error?.formatError?.code == .sealedRoot)
            }
        }
        // Numbers that no writer gives, under right codes.
        let changes: [@Sendable (inout RootBlock) -> Void] = [
            { $0.head.journalByteCount += 1 }, { $0.head.journalByteCount = 1 << 40 }, { $0.head.byteCount = .max },
            { $0.head.generation = 1 << 56 }, { $0.head.journalTail += 1 }, { $0.head.journalTail = 1 << 63 },
            { $0.head.signature[0] ^= 1 }, { $0.head.sequence = 1 << 63 }, { $0.head.sequence = .max },
        ]
        for change in changes {
            var changed = forger
            changed.changeRoots(change)
            let error = #expect(throws: DiskError.self) { try openImage(changed.contents) }
            #expect(error?.formatError?.code == .sealedRoot)
        }
        var longer = forger
        longer.changeRoots { $0.head.fileByteCount += 4096 }
        #expect(throws: DiskError.self) { try openImage(longer.contents) }
    }

    /// Numbers that readers just take: whoever writes there stops before he makes others, and what was committed stays.
    @Test(arguments: [0, 1]) func rootBlocksAtTheLimit(number: Int) throws {
        var (forger, disk) = try Self.closed()
        forger.changeRoots {
            if number == 0 { $0.head.sequence = 1 << 63 - 1 } else { $0.head.journalTail = 1 << 63 - 4096 }
        }
        let file = MemoryFile(forger.contents)
        let image = try SealedImage(writing: file, secrets: [keyFile()])
        try image.write([UInt8](repeating: 77, count: 4096), at: 0)
        try image.sync()
        disk.replaceSubrange(0..<4096, with: [UInt8](repeating: 77, count: 4096))
        #expect(throws: DiskError.self) { try image.close() }
        #expect(try openImage(file.contents).everything() == disk)
    }

    /// Records of commits that only who holds the keys could write.
    @Test func records() throws {
        let file = MemoryFile()
        let image = try makeImage(on: file)
        var disks: [[UInt8]] = []
        for round in UInt8(1)...3 {
            try image.write([UInt8](repeating: round, count: 4096), at: 0)
            try image.sync()
            disks.append(try image.everything())
        }
        let forger = ImageForger(image, file.contents)
        let records = forger.records()
        try #require(records.count == 3 && records.allSatisfy(\.isCommit))
        var same = forger
        same.setRecord(records[1])
        #expect(same.contents.allBytes == forger.contents.allBytes)
        // One that says it makes other contents than it does is no end of the journal.
        for place in [0, 31] {
            var (changed, record) = (forger, records[2])
            record.head.rootDigest[place] ^= 1
            changed.setRecord(record)
            let error = #expect(throws: DiskError.self) { try openImage(changed.contents) }
            #expect(error?.kind == .key)
        }
        // One that follows other contents, or a generation too far, or is of another place, is none.
        let changes: [@Sendable (inout RecordHead) -> Void] = [
            { $0.previousRootDigest[5] ^= 1 }, { $0.generation += 1 }, { $0.generation -= 1 },
            { $0.signature[1] ^= 1 },
        ]
        for (number, change) in changes.enumerated() {
            var (changed, record) = (forger, records[2])
            change(&record.head)
            changed.setRecord(record)
            #expect(try openImage(changed.contents).everything() == disks[1], "change \(number)")
            #expect(throws: DiskError.self) { try openImage(changed.contents, anchor: image.anchor) }
        }
        // One of an earlier lap of the ring, or a later one.
        var (moved, record) = (forger, records[2])
        record.head.position += 262_144
        let place = ImageLayout.journalOffset + records[2].head.position
        moved.contents.write(record.bytes(forger.keys).rawBytes, at: place)
        #expect(try openImage(moved.contents).everything() == disks[1])
        // A byte of its code or of what that covers.
        for place in [0, 31, 40, 64, 80, 192, 255] as [UInt64] {
            let offset = ImageLayout.journalOffset + records[2].head.position + place
            var changed = forger
            let octets = [forger.contents.bytes(offset..<offset + 1)[0] ^ 1]
            changed.contents.write(octets.rawBytes, at: offset)
            #expect(try openImage(changed.contents).everything() == disks[1], "byte \(place)")
        }
    }
}
