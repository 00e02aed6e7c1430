import BlockIO
import ByteCodec
import DiskModel
import Testing

@testable import VHDX

@Suite struct ReplayTests {
    /// An image whose block 0 is only present after replay, with the bytes there already.
    private func prepared() throws -> (TinyImage, data: UInt64, page: [UInt8]) {
        var image = try TinyImage()
        let data = image.append([UInt8](repeating: 9, count: 1 << 20))
        image.setLogGUID(testGUID)
        return (image, data, TinyImage.tablePage([data | 6]))
    }

    private func entry(
        _ sequence: UInt64, tail: UInt64, _ changes: [TinyLogEntry.Change] = [], last: UInt64 = 5 << 20
    ) -> TinyLogEntry {
        TinyLogEntry(sequence: sequence, tail: UInt32(tail), last: last, changes: changes)
    }

    /// Reads in memory and checks that the file is as before; then replays into the file.
    private func check(_ image: TinyImage, firstByte: UInt8, entryCount: Int, _ name: String) throws {
        let file = image.file
        let before = file.allBytes
        let layer = try VHDXLayer(reading: file)
        #expect(layer.hasReplayedLog)
        #expect(try layer.report().log.entryCount == entryCount, "\(name)")
        #expect(try contents(of: layer, 0..<512) == [UInt8](repeating: firstByte, count: 512), "\(name)")
        #expect(areEqual(file.allBytes, before))
        #expect(layer.findings.contains { $0.detail.code == .vhdxDirtyLog && $0.severity == .warning })

        let writer = try VHDXLayer(writing: file)
        #expect(writer.currentHeader.logGUID == .zero)
        #expect(writer.dataWriteGUID == layer.dataWriteGUID)
        #expect(writer.currentHeader.fileWriteGUID != layer.currentHeader.fileWriteGUID)
        #expect(try contents(of: writer, 0..<512) == [UInt8](repeating: firstByte, count: 512), "\(name)")
        try writer.close()
        #expect(try VHDXLayer(reading: file).findings.isEmpty)
    }

    @Test func plain() throws {
        var (image, _, page) = try prepared()
        image.log(entry(1 << 33, tail: 0, [.page(offset: TinyImage.table, page)]), at: 0)
        try check(image, firstByte: 9, entryCount: 1, "plain")
    }

    @Test func wrapped() throws {
        var (image, _, page) = try prepared()
        let start = mebibyte - 4096
        image.log(entry(5, tail: start, [.page(offset: TinyImage.table, page)]), at: start)
        try check(image, firstByte: 9, entryCount: 1, "wrapped")
    }

    @Test func tailOnSecondEntry() throws {
        var (image, data, page) = try prepared()
        let wrong = TinyImage.tablePage([data | 2])
        var next = image.log(entry(1, tail: 0, [.page(offset: TinyImage.table, wrong)]), at: 0)
        let second = next
        next = image.log(entry(2, tail: 0, [.page(offset: TinyImage.table, page)]), at: next)
        image.log(entry(3, tail: second), at: next)
        try check(image, firstByte: 9, entryCount: 2, "tail")
    }

    @Test func tornEntryEndsTheSequence() throws {
        var (image, data, page) = try prepared()
        let next = image.log(entry(1, tail: 0, [.page(offset: TinyImage.table, page)]), at: 0)
        image.log(entry(2, tail: 0, [.page(offset: TinyImage.table, TinyImage.tablePage([data | 2]))]), at: next)
        for torn in [next + 4, next + 70, next + 4096, next + 8000, next + 8190] {
            var copy = image
            copy.put([copy.bytes(mebibyte + torn, 1)[0] ^ 0x40], at: mebibyte + torn)
            try check(copy, firstByte: 9, entryCount: 1, "torn at \(torn)")
        }
        try check(image, firstByte: 0, entryCount: 2, "whole")
    }

    @Test func manyDescriptors() throws {
        var (image, _, page) = try prepared()
        // 300 descriptors: three pages of them. Each changes the page again; the last one counts.
        for count in [126, 127, 254, 255, 300] {
            var changes: [TinyLogEntry.Change] = (0..<count - 1).map {
                $0 % 3 == 0
                    ? .page(offset: TinyImage.table, TinyImage.tablePage([2]))
                    : .zero(offset: TinyImage.table, count: 4096)
            }
            changes.append(.page(offset: TinyImage.table, page))
            var copy = image
            copy.log(entry(1, tail: 0, changes), at: 0)
            try check(copy, firstByte: 9, entryCount: 1, "\(count) descriptors")
        }
        image.contents.resize(to: 0)
    }

    @Test func newerOfTwoSequences() throws {
        var (image, data, page) = try prepared()
        image.log(entry(10, tail: 0, [.page(offset: TinyImage.table, TinyImage.tablePage([data | 2]))]), at: 0)
        image.log(entry(20, tail: 65536, [.page(offset: TinyImage.table, page)]), at: 65536)
        try check(image, firstByte: 9, entryCount: 1, "newer second")
        image.log(entry(30, tail: 0, [.page(offset: TinyImage.table, TinyImage.tablePage([data | 2]))]), at: 0)
        try check(image, firstByte: 0, entryCount: 1, "newer first")
    }

    /// An older sequence is not replayed in place of a newer one that is damaged, unless that is accepted.
    @Test func newestSequenceWithoutItsTailIsRefused() throws {
        var (image, data, page) = try prepared()
        image.log(entry(10, tail: 0, [.page(offset: TinyImage.table, page)]), at: 0)
        image.log(entry(20, tail: 8192, [.page(offset: TinyImage.table, TinyImage.tablePage([data | 2]))]), at: 65536)
        let error = try expectNewerEntries(image, firstByte: 9)
        #expect(error.explanation.contains("ends with 10: 1 newer entry (20) is left out"))
    }

    @Test func damageBeforeTheNewestEntriesIsRefused() throws {
        var (image, _, page) = try prepared()
        var next: UInt64 = 0
        var starts: [UInt64] = []
        for sequence in 5...9 {
            starts.append(next)
            next = image.log(entry(UInt64(sequence), tail: 0, [.page(offset: TinyImage.table, page)]), at: next)
        }
        for damaged in 1...3 {
            var copy = image
            copy.put([0xff], at: mebibyte + starts[damaged] + 5000)
            let error = try expectNewerEntries(copy, firstByte: 9)
            let leftOut =
                damaged == 3 ? "1 newer entry (9) is" : "\(4 - damaged) newer entries (\(damaged + 6) to 9) are"
            #expect(error.explanation.contains("ends with \(damaged + 4): \(leftOut) left out"), "\(error)")
        }
        // The last entry may be torn: nothing rests on it.
        image.put([0xff], at: mebibyte + starts[4] + 5000)
        try check(image, firstByte: 9, entryCount: 4, "torn last entry")
    }

    /// Refused for reading and writing; accepted, the older state is shown, and nobody writes.
    private func expectNewerEntries(_ image: TinyImage, firstByte: UInt8) throws -> DiskError {
        var options = VHDXReadOptions()
        options.accepted = [.vhdxNewerLogEntries]
        let layer = try VHDXLayer(reading: image.file, options: options)
        #expect(try contents(of: layer, 0..<512) == [UInt8](repeating: firstByte, count: 512))
        #expect(layer.findings.contains { $0.severity == .error && $0.detail.code == .vhdxNewerLogEntries })
        let file = image.file
        do throws(DiskError) {
            _ = try VHDXLayer(writing: file, options: options)
            Issue.record("opened for writing")
        } catch { #expect(error.kind == .refused) }
        #expect(throws: DiskError.self) { try VHDXLayer(writing: file) }
        #expect(areEqual(file.allBytes, image.file.allBytes))
        let error = try #require(throws: DiskError.self) { try VHDXLayer(reading: image.file) }
        #expect(error.formatError?.code == .vhdxNewerLogEntries)
        #expect(error.hint?.contains("--accept VHDX080") == true)
        return error
    }

    /// Entries of a former session, and of a former round, are left in the ring.
    @Test func staleRing() throws {
        var (image, data, page) = try prepared()
        let wrong = TinyImage.tablePage([data | 2])
        var next: UInt64 = 0
        for sequence in 1...128 {
            var stale = entry(UInt64(sequence), tail: next, [.page(offset: TinyImage.table, wrong)])
            stale.guid = GUID(8, 8, 8, 8)
            next = image.log(stale, at: next)
        }
        next = 0
        for sequence in 50...52 {
            next = image.log(entry(UInt64(sequence), tail: next, [.page(offset: TinyImage.table, page)]), at: next)
        }
        try check(image, firstByte: 9, entryCount: 1, "stale")
    }

    @Test func lastFileOffsetExtendsTheFile() throws {
        var image = try TinyImage()
        image.setLogGUID(testGUID)
        let page = TinyImage.tablePage([4 << 20 | 6])
        image.log(entry(1, tail: 0, [.page(offset: TinyImage.table, page)], last: 8 << 20), at: 0)
        let file = image.file
        let layer = try VHDXLayer(reading: file)
        #expect(try layer.file.byteCount() == 8 << 20)
        #expect(try contents(of: layer, 0..<1 << 20) == [UInt8].zeros(1 << 20))
        #expect(file.byteCount() == 4 << 20)
        _ = try VHDXLayer(writing: file)
        #expect(file.byteCount() == 8 << 20)
    }

    @Test func zeroDescriptorsPastTheEnd() throws {
        var (image, _, page) = try prepared()
        image.put([UInt8](repeating: 3, count: 8192), at: TinyImage.table + 4096)
        let changes: [TinyLogEntry.Change] = [
            .zero(offset: TinyImage.table, count: 12288), .page(offset: TinyImage.table, page),
            .zero(offset: 5 << 20, count: 2 << 20),
        ]
        image.log(entry(1, tail: 0, changes, last: 7 << 20), at: 0)
        let layer = try VHDXLayer(reading: image.file)
        #expect(try layer.file.byteCount() == 7 << 20)
        #expect(try layer.file.bytes(at: TinyImage.table + 8, count: 12280).allSatisfy { $0 == 0 })
        try check(image, firstByte: 9, entryCount: 1, "zero")
    }

    /// The log must not reach the headers, itself, or behind what it says the file holds.
    @Test(arguments: [0, 65536, 131072, 1 << 20, (2 << 20) - 4096, 9 << 20] as [UInt64])
    func forbiddenTargets(_ target: UInt64) throws {
        var (image, _, page) = try prepared()
        image.log(entry(1, tail: 0, [.page(offset: target, page)]), at: 0)
        do {
            _ = try VHDXLayer(reading: image.file)
            Issue.record("replayed a change at \(target)")
        } catch { #expect(error.formatError?.code == .vhdxNoLogSequence) }
    }

    @Test func brokenEntries() throws {
        var (image, _, page) = try prepared()
        let good = entry(1, tail: 0, [.page(offset: TinyImage.table, page)])
        // Offset in the entry, value; the checksum is made right again.
        let changes: [(Int, [UInt8], String)] = [
            (0, [0], "signature"), (8, little(UInt32(4096)), "length without data"),
            (8, little(UInt32(12288)), "length"),
            (8, little(UInt32(8191)), "unaligned length"), (8, little(UInt32.max), "huge length"),
            (8, little(UInt32(0)), "no length"),
            (12, little(UInt32(4095)), "unaligned tail"), (12, little(UInt32(1 << 20)), "tail behind the ring"),
            (16, little(UInt64(0)), "sequence 0"), (24, little(UInt32(2)), "count"),
            (24, little(UInt32.max), "huge count"),
            (28, little(UInt32(1)), "reserved"), (32, [1], "GUID"), (56, little(UInt64.max), "huge LastFileOffset"),
            (64, [0], "descriptor"), (80, little(UInt64(100)), "unaligned target"),
            (80, little(UInt64.max - 4095), "huge target"),
            (88, little(UInt64(2)), "descriptor's sequence"), (4096, [0], "data"),
            (4100, little(UInt32(1)), "sequence high"),
            (8188, little(UInt32(2)), "sequence low"),
        ]
        for (offset, value, name) in changes {
            var bytes = good.bytes
            bytes.replaceSubrange(offset..<offset + value.count, with: value)
            bytes.replaceSubrange(4..<8, with: little(crc32c(bytes.rawBytes, skippingField: 4)))
            image.put(bytes, at: mebibyte)
            do {
                _ = try VHDXLayer(reading: image.file)
                Issue.record("\(name) was taken")
            } catch { #expect(error.formatError?.code == .vhdxNoLogSequence, "\(name)") }
        }
    }

    @Test func acceptedMissingSequenceReadsWithoutReplay() throws {
        var (image, data, _) = try prepared()
        image.setEntry(0, data | 6)
        var options = VHDXReadOptions()
        options.accepted = [.vhdxNoLogSequence]
        let layer = try VHDXLayer(reading: image.file, options: options)
        #expect(try contents(of: layer, 0..<1) == [9])
        #expect(!layer.hasReplayedLog)
        #expect(try layer.report().log.state == .invalid)
        #expect(layer.findings.first?.severity == .error)
        let file = image.file
        do { _ = try VHDXLayer(writing: file, options: options) } catch { #expect(error.kind == .refused) }
        #expect(file.allBytes == image.file.allBytes)
    }

    @Test func regionTablesAndMetadataComeFromTheLog() throws {
        var image = try TinyImage()
        let tables = (0..<16).map { image.bytes(196608 + 4096 * UInt64($0), 4096) }
        let sizePage = image.bytes(TinyImage.metadata + 65536, 4096)
        image.put([UInt8].zeros(131072), at: 196608)
        image.put([UInt8].zeros(4096), at: TinyImage.metadata + 65536)
        image.setLogGUID(testGUID)
        image.put([0], at: 196608)
        var changes = tables.enumerated().map { TinyLogEntry.Change.page(offset: 196608 + 4096 * UInt64($0), $1) }
        changes.append(.page(offset: TinyImage.metadata + 65536, sizePage))
        image.log(entry(1, tail: 0, changes, last: 4 << 20), at: 0)
        let layer = try VHDXLayer(reading: image.file)
        #expect(layer.geometry.virtualByteCount == 8 << 20)
    }

    @Test func whatWouldTakeTooMuchMemoryIsRefused() throws {
        var (image, _, page) = try prepared()
        var changes = [TinyLogEntry.Change](repeating: .zero(offset: TinyImage.table, count: 4096), count: 1025)
        changes.append(.page(offset: TinyImage.table, page))
        image.log(entry(1, tail: 0, changes), at: 0)
        do {
            _ = try VHDXLayer(reading: image.file)
            Issue.record("replayed in memory")
        } catch { #expect(error.formatError?.code == .vhdxReplayTooLarge) }
        // Into the file it takes no memory.
        let layer = try VHDXLayer(writing: image.file)
        #expect(try contents(of: layer, 0..<1) == [9])
    }
}
