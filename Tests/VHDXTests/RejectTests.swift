import BlockIO
import ByteCodec
import DiskModel
import Foundation
import Testing

@testable import VHDX

/// One image that breaks a rule, and what has to be said about it.
struct Rejection: Sendable, CustomTestStringConvertible {
    var name: String
    var code: FormatError.Code
    var field: String
    var offset: UInt64
    var type = ImageType.dynamic
    /// Where the error shows.
    var stage = Stage.opening
    var corrupt: @Sendable (inout TinyImage) throws -> Void
    var testDescription: String { name }
    enum Stage: Sendable { case opening, extents, census }

    init(
        _ name: String, _ code: FormatError.Code, _ field: String, _ offset: UInt64, _ stage: Stage = .opening,
        _ corrupt: @escaping @Sendable (inout TinyImage) throws -> Void
    ) {
        (self.name, self.code, self.field, self.offset) = (name, code, field, offset)
        (self.stage, self.corrupt) = (stage, corrupt)
    }
}

private let newerHeader: UInt64 = 131072
private let regions: UInt64 = 196608
private let metadata = TinyImage.metadata
private let table = TinyImage.table
private let items = TinyImage.metadata + 65536
private let other = GUID(9, 9, 9, 9)
private let locatorStart = TinyImage.metadata + 0x20000

private let headerRules: [Rejection] = [
    Rejection("file under 1 MiB", .vhdxFileTooSmall, "File", 524288) { $0.contents.resize(to: 524288) },
    Rejection("empty file", .vhdxFileTooSmall, "File", 0) { $0.contents.resize(to: 0) },
    Rejection("identifier", .vhdxIdentifier, "Signature", 0) { $0.put([0x56], at: 0) },
    Rejection("no valid header", .vhdxHeaders, "Header", 65536) {
        $0.put([1], at: 65536 + 100)
        $0.put([1], at: 131072 + 100)
    },
    Rejection("version", .vhdxVersion, "Version", newerHeader + 66) { $0.inHeaders(66, UInt16(2)) },
    Rejection("log version", .vhdxLogVersion, "LogVersion", newerHeader + 64) {
        $0.setLogGUID(testGUID)
        $0.inHeaders(64, UInt16(1))
    },
    Rejection("log without length", .vhdxLogLength, "LogLength", newerHeader + 68) {
        $0.setLogGUID(testGUID)
        $0.inHeaders(68, UInt32(0))
    },
    Rejection("log too long", .vhdxLogLength, "LogLength", newerHeader + 68) { $0.inHeaders(68, UInt32(1025 << 20)) },
    Rejection("log length unaligned", .vhdxAlignment, "LogLength", newerHeader + 68) { $0.inHeaders(68, UInt32(4096)) },
    Rejection("log offset unaligned", .vhdxAlignment, "LogOffset", newerHeader + 72) {
        $0.inHeaders(72, UInt64(1 << 20) + 4096)
    },
    Rejection("log over the headers", .vhdxAlignment, "LogOffset", newerHeader + 72) { $0.inHeaders(72, UInt64(0)) },
    Rejection("log past the end", .vhdxStructurePastEnd, "LogOffset", newerHeader + 72) {
        $0.inHeaders(72, UInt64(64 << 20))
    },
    Rejection("log offset overflows", .vhdxStructurePastEnd, "LogOffset", newerHeader + 72) {
        $0.inHeaders(72, UInt64.max - 0xf_ffff)
    },
    Rejection("no log sequence", .vhdxNoLogSequence, "LogGuid", newerHeader + 48) { $0.setLogGUID(testGUID) },
    Rejection("newer log entries", .vhdxNewerLogEntries, "SequenceNumber", mebibyte + 8192 + 16) {
        $0.log(TinyLogEntry(sequence: 1), at: 0)
        $0.log(TinyLogEntry(sequence: 3, tail: 4096), at: 8192)
        $0.setLogGUID(testGUID)
    },
    Rejection("file cut off", .vhdxFlushedFileOffset, "FlushedFileOffset", mebibyte + 48) {
        $0.log(TinyLogEntry(sequence: 1, flushed: 99 << 20, last: 99 << 20), at: 0)
        $0.setLogGUID(testGUID)
    },
]

private let regionRules: [Rejection] = [
    Rejection("both region tables", .vhdxRegionTables, "Region table", regions) {
        $0.put([1], at: 196608 + 1000)
        $0.put([1], at: 262144 + 1000)
    },
    Rejection("region count", .vhdxRegionCount, "EntryCount", regions + 8) { $0.inRegionTables(8, UInt32(2048)) },
    Rejection("region count, huge", .vhdxRegionCount, "EntryCount", regions + 8) { $0.inRegionTables(8, UInt32.max) },
    Rejection("duplicate region", .vhdxDuplicateRegion, "Guid", regions + 16 + 64) {
        $0.addRegion(KnownGUID.metadata, 2 << 20, 1 << 20, required: true)
    },
    Rejection("region length 0", .vhdxRegionLength, "Length", regions + 16 + 24) {
        $0.inRegionTables(16 + 24, UInt32(0))
    },
    Rejection("region length unaligned", .vhdxAlignment, "Length", regions + 16 + 24) {
        $0.inRegionTables(16 + 24, UInt32(4096))
    },
    Rejection("region offset unaligned", .vhdxAlignment, "FileOffset", regions + 16 + 16) {
        $0.inRegionTables(16 + 16, UInt64(3 << 20) + 512)
    },
    Rejection("region over the headers", .vhdxAlignment, "FileOffset", regions + 16 + 16) {
        $0.inRegionTables(16 + 16, UInt64(0))
    },
    Rejection("region past the end", .vhdxStructurePastEnd, "FileOffset", regions + 16 + 16) {
        $0.inRegionTables(16 + 24, UInt32(2 << 20))
    },
    Rejection("region overflows", .vhdxStructurePastEnd, "FileOffset", regions + 16 + 16) {
        $0.inRegionTables(16 + 16, UInt64.max - 0xf_ffff)
    },
    Rejection("regions overlap", .vhdxOverlap, "FileOffset", regions) { $0.inRegionTables(16 + 16, UInt64(2 << 20)) },
    Rejection("region over the log", .vhdxOverlap, "FileOffset", regions) {
        $0.inRegionTables(16 + 16, UInt64(1 << 20))
    },
    Rejection("unknown required region", .vhdxUnknownRequiredRegion, "Guid", regions + 16 + 64) {
        $0.addRegion(other, $0.append([0], count: mebibyte), 1 << 20, required: true)
    },
    Rejection("no table region", .vhdxRegionMissing, "Guid", regions) {
        for start: UInt64 in [196608, 262144] { $0.put(other, at: start + 16) }
        $0.inRegionTables(16 + 28, UInt32(0))
    },
    Rejection("no metadata region", .vhdxRegionMissing, "Guid", regions) { $0.inRegionTables(8, UInt32(1)) },
]

private let metadataRules: [Rejection] = [
    Rejection("metadata signature", .vhdxMetadataSignature, "Signature", metadata) { $0.put([0], at: metadata) },
    Rejection("item count", .vhdxItemCount, "EntryCount", metadata + 10) { $0.put(UInt16(2048), at: metadata + 10) },
    Rejection("user item count", .vhdxUserItemCount, "EntryCount", metadata + 10) {
        for index in 0..<UInt32(1025) { $0.addItem(GUID(index, 7, 7, 7), flags: 1, []) }
    },
    Rejection("duplicate item", .vhdxDuplicateItem, "ItemId", TinyImage.item(5)) {
        $0.addItem(KnownGUID.virtualDiskID, flags: 6, [1])
    },
    Rejection("item id 0", .vhdxItemIDZero, "ItemId", TinyImage.item(5)) { $0.addItem(.zero, flags: 0, [1]) },
    Rejection("item in the table", .vhdxItemOutsideRegion, "Offset", TinyImage.item(0) + 16) {
        $0.put(UInt32(65535), at: TinyImage.item(0) + 16)
    },
    Rejection("item past the region", .vhdxItemOutsideRegion, "Offset", TinyImage.item(0) + 16) {
        $0.put(UInt32(mebibyte - 7), at: TinyImage.item(0) + 16)
    },
    Rejection("item offset overflows", .vhdxItemOutsideRegion, "Offset", TinyImage.item(0) + 16) {
        $0.put(UInt32.max, at: TinyImage.item(0) + 16)
    },
    Rejection("item too long", .vhdxItemTooLong, "Length", TinyImage.item(0) + 20) {
        $0.put(UInt32(1 << 20) + 1, at: TinyImage.item(0) + 20)
    },
    Rejection("items overlap", .vhdxItemOverlap, "Offset", TinyImage.item(1) + 16) {
        $0.put(UInt32(65540), at: TinyImage.item(1) + 16)
    },
    Rejection("empty item with offset", .vhdxEmptyItemOffset, "Offset", TinyImage.item(5) + 16) {
        $0.addItem(other, flags: 0, [])
        $0.put(UInt32(0x20000), at: TinyImage.item(5) + 16)
    },
    Rejection("unknown required item", .vhdxUnknownRequiredItem, "ItemId", TinyImage.item(5)) {
        $0.addItem(other, flags: 4, [1])
    },
    Rejection("required user item", .vhdxUnknownRequiredItem, "ItemId", TinyImage.item(5)) {
        $0.addItem(KnownGUID.virtualDiskID, flags: 5, [1])
    },
    Rejection("incomplete file", .vhdxIncompleteFile, "ItemId", TinyImage.item(5)) {
        $0.addItem(KnownGUID.incompleteFile, flags: 4, [])
    },
    Rejection("missing item", .vhdxItemMissing, "Physical sector size", metadata) {
        $0.put(UInt16(4), at: metadata + 10)
    },
    Rejection("item length", .vhdxItemLength, "Length", TinyImage.item(4) + 20) {
        $0.put(UInt32(8), at: TinyImage.item(4) + 20)
    },
    Rejection("block size 0", .vhdxBlockSize, "BlockSize", items) { $0.put(UInt32(0), at: items) },
    Rejection("block size 3 MiB", .vhdxBlockSize, "BlockSize", items) { $0.put(UInt32(3 << 20), at: items) },
    Rejection("block size 512 KiB", .vhdxBlockSize, "BlockSize", items) { $0.put(UInt32(1 << 19), at: items) },
    Rejection("block size 512 MiB", .vhdxBlockSize, "BlockSize", items) { $0.put(UInt32(1 << 29), at: items) },
    Rejection("logical sector", .vhdxLogicalSectorSize, "LogicalSectorSize", items + 32) {
        $0.put(UInt32(1024), at: items + 32)
    },
    Rejection("physical sector", .vhdxPhysicalSectorSize, "PhysicalSectorSize", items + 36) {
        $0.put(UInt32(0), at: items + 36)
    },
    Rejection("disk size 0", .vhdxVirtualDiskSize, "VirtualDiskSize", items + 8) { $0.put(UInt64(0), at: items + 8) },
    Rejection("disk size odd", .vhdxVirtualDiskSize, "VirtualDiskSize", items + 8) {
        $0.put(UInt64(513), at: items + 8)
    },
    Rejection("disk too large", .vhdxVirtualDiskSize, "VirtualDiskSize", items + 8) {
        $0.put(UInt64(64 << 40) + 512, at: items + 8)
    },
    Rejection("table too small", .vhdxTableTooSmall, "Length", regions) { $0.put(UInt64(64 << 40), at: items + 8) },
    Rejection("parent without locator", .vhdxParentLocatorPresence, "Parent locator", metadata) {
        $0.put(UInt32(2), at: items + 4)
    },
]

private let locatorRules: [Rejection] = [
    Rejection("locator type", .vhdxLocatorType, "LocatorType", locatorStart) {
        $0.makeDifferencing()
        $0.put(other, at: locatorStart)
    },
    Rejection("locator shorter than its header", .vhdxLocatorTable, "KeyValueCount", locatorStart) {
        $0.makeDifferencing()
        $0.put(UInt32(19), at: TinyImage.item(5) + 20)
    },
    Rejection("no pairs", .vhdxLocatorCount, "KeyValueCount", locatorStart + 18) { $0.makeDifferencing([]) },
    Rejection("257 pairs", .vhdxLocatorCount, "KeyValueCount", locatorStart + 18) {
        $0.makeDifferencing((0..<257).map { ("k\($0)", "v") })
    },
    Rejection("pairs past the item", .vhdxLocatorTable, "KeyValueCount", locatorStart + 18) {
        $0.makeDifferencing()
        $0.put(UInt16(200), at: locatorStart + 18)
    },
    Rejection("key past the item", .vhdxLocatorText, "KeyOffset", locatorStart + 20) {
        $0.makeDifferencing()
        $0.put(UInt32.max, at: locatorStart + 20)
    },
    Rejection("value past the item", .vhdxLocatorText, "ValueOffset", locatorStart + 24) {
        $0.makeDifferencing()
        $0.put(UInt32(1 << 19), at: locatorStart + 24)
    },
    Rejection("odd key", .vhdxLocatorText, "KeyOffset", locatorStart + 20) {
        $0.makeDifferencing()
        $0.put(UInt16(27), at: locatorStart + 28)
    },
    Rejection("empty value", .vhdxLocatorText, "ValueOffset", locatorStart + 24) {
        $0.makeDifferencing()
        $0.put(UInt16(0), at: locatorStart + 30)
    },
    Rejection("unpaired surrogate", .vhdxLocatorEncoding, "Key", locatorStart + 44) {
        $0.makeDifferencing()
        $0.put(UInt16(0xd800), at: locatorStart + 44)
    },
    Rejection("NUL in a key", .vhdxLocatorEncoding, "Key", locatorStart + 44) {
        $0.makeDifferencing()
        $0.put(UInt16(0), at: locatorStart + 44)
    },
    Rejection("duplicate key", .vhdxLocatorDuplicateKey, "Key", locatorStart + 20 + 24 + 4) {
        $0.makeDifferencing([("a", "1"), ("a", "2")])
    },
    Rejection("no linkage", .vhdxParentLinkage, "parent_linkage", locatorStart) {
        $0.makeDifferencing([("relative_path", "p")])
    },
    Rejection("linkage is no GUID", .vhdxParentLinkage, "parent_linkage", locatorStart) {
        $0.makeDifferencing([("parent_linkage", "x"), ("relative_path", "p")])
    },
    Rejection("no path", .vhdxParentLinkage, "relative_path", locatorStart) {
        $0.makeDifferencing([("parent_linkage", TinyImage.linkage)])
    },
]

private let tableRules: [Rejection] =
    [4, 5].map { state in
        Rejection("state \(state)", .vhdxBlockState, "State", table + 8, .extents) { $0.setEntry(1, UInt64(state)) }
    } + [
        Rejection("reserved bits", .vhdxEntryReserved, "Reserved", table + 8, .extents) {
            $0.setEntry(1, $0.append([1], count: mebibyte) | 6 | 1 << 19)
        },
        Rejection("present at 0", .vhdxPresentWithoutOffset, "FileOffsetMB", table + 8, .extents) { $0.setEntry(1, 6) },
        Rejection("offset above 192 TiB", .vhdxOffsetTooLarge, "FileOffsetMB", table + 8, .extents) {
            $0.setEntry(1, ~0xf_ffff | 6)
        },
        Rejection("block past the end", .vhdxBlockPastEnd, "FileOffsetMB", table + 8, .extents) {
            $0.setEntry(1, 4 << 20 | 6)
        },
        Rejection("last block cut too short", .vhdxBlockPastEnd, "FileOffsetMB", table + 56, .extents) {
            $0.setEntry(7, $0.append([1], count: mebibyte - 512) | 6)
        },
        Rejection("block over the log", .vhdxOverlap, "FileOffsetMB", table + 8, .extents) {
            $0.setEntry(1, 1 << 20 | 6)
        },
        Rejection("block over the metadata", .vhdxOverlap, "FileOffsetMB", table + 8, .extents) {
            $0.setEntry(1, 2 << 20 | 6)
        },
        Rejection("block over the table", .vhdxOverlap, "FileOffsetMB", table + 8, .extents) {
            $0.setEntry(1, 3 << 20 | 6)
        },
        Rejection("block over an unknown region", .vhdxOverlap, "FileOffsetMB", table + 8, .extents) {
            let offset = $0.append([0], count: mebibyte)
            $0.addRegion(other, offset, 1 << 20, required: false)
            $0.setEntry(1, offset | 6)
        },
        Rejection("two blocks in one place", .vhdxDuplicateBlock, "FileOffsetMB", table + 24, .census) {
            let offset = $0.append([1], count: mebibyte)
            $0.setEntry(1, offset | 6)
            $0.setEntry(3, offset | 6)
        },
        Rejection("7 without bitmap", .vhdxNoSectorBitmap, "State", table + 8, .extents) {
            $0.makeDifferencing()
            $0.setEntry(1, $0.append([1], count: mebibyte) | 7)
        },
        Rejection("bitmap past the end", .vhdxBlockPastEnd, "FileOffsetMB", table + 4096 * 8, .extents) {
            $0.makeDifferencing()
            $0.setEntry(1, $0.append([1], count: mebibyte) | 7)
            $0.setEntry(4096, 99 << 20 | 6)
        },
        Rejection("bitmap state", .vhdxSectorBitmapState, "State", table + 4096 * 8, .extents) {
            $0.makeDifferencing()
            $0.setEntry(1, $0.append([1], count: mebibyte) | 7)
            $0.setEntry(4096, 4 << 20 | 3)
        },
        Rejection("bitmap in a block's place", .vhdxDuplicateBlock, "FileOffsetMB", table + 4096 * 8, .census) {
            $0.makeDifferencing()
            let offset = $0.append([1], count: mebibyte)
            $0.setEntry(1, offset | 6)
            $0.setEntry(4096, offset | 6)
        },
    ]

@Suite struct RejectTests {
    @Test(arguments: headerRules + regionRules + metadataRules + locatorRules + tableRules)
    func namesRuleFieldAndOffset(_ rejection: Rejection) throws {
        var image = try TinyImage()
        try rejection.corrupt(&image)
        let file = image.file
        let before = file.allBytes
        do throws(DiskError) {
            let layer = try VHDXLayer(reading: file)
            #expect(rejection.stage != .opening, "it opens")
            if rejection.stage == .extents {
                _ = try layer.extents(in: 0..<layer.geometry.virtualByteCount, limit: 1000)
            } else {
                _ = try layer.census()
            }
            Issue.record("nothing was refused")
        } catch {
            #expect(error.kind == .format)
            #expect(error.formatError?.code == rejection.code, "\(error)")
            #expect(error.formatError?.field == rejection.field, "\(error)")
            #expect(error.formatError?.offset == rejection.offset, "\(error)")
            #expect(error.formatError?.section.isEmpty == false)
        }
        #expect(areEqual(file.allBytes, before))
        // A writer refuses at least as much, before it changes anything.
        #expect(throws: DiskError.self) { try VHDXLayer(writing: file) }
        #expect(areEqual(file.allBytes, before))
    }

    @Test func countOfRules() {
        let rules = headerRules + regionRules + metadataRules + locatorRules + tableRules
        print("VHDX: \(rules.count) corrupt images, \(Set(rules.map(\.code)).count) rules")
    }

    @Test(arguments: [
        ("identifier", FormatError.Code.vhdxIdentifier), ("no valid header", .vhdxHeaders),
        ("both region tables", .vhdxRegionTables), ("no log sequence", .vhdxNoLogSequence),
        ("newer log entries", .vhdxNewerLogEntries),
        ("file cut off", .vhdxFlushedFileOffset), ("incomplete file", .vhdxIncompleteFile),
        ("reserved bits", .vhdxEntryReserved), ("two blocks in one place", .vhdxDuplicateBlock),
    ])
    func acceptedErrorsAreFindings(_ name: String, _ code: FormatError.Code) throws {
        let rejection = (headerRules + regionRules + metadataRules + tableRules).first { $0.name == name }!
        var image = try TinyImage()
        try rejection.corrupt(&image)
        var options = VHDXReadOptions()
        options.accepted = [code]
        let layer = try VHDXLayer(reading: image.file, options: options)
        _ = try layer.extents(in: 0..<layer.geometry.virtualByteCount, limit: 100)
        _ = try layer.census()
        #expect(layer.findings.contains { $0.severity == .error && $0.detail.code == code })
        if rejection.stage == .opening {
            do {
                _ = try VHDXLayer(writing: image.file, options: options)
                Issue.record("opened for writing")
            } catch { #expect(error.kind == .refused) }
        }
    }

    /// Every byte of the first structures, flipped: an answer or an error, never a trap.
    @Test func flippedBytes() throws {
        var image = try TinyImage()
        image.setEntry(0, image.append([1], count: mebibyte) | 6)
        image.makeDifferencing()
        let runs: [(start: UInt64, count: UInt64)] = [
            (65536, 96), (196608, 96), (TinyImage.metadata, 256), (items, 48), (table, 8), (locatorStart, 200),
        ]
        let places = runs.flatMap { run in (0..<run.count).map { run.start + $0 } }
        for place in places {
            for value: UInt8 in [0, 0xff, 0x80, 1] {
                var copy = image
                copy.put([copy.bytes(place, 1)[0] ^ value | (value == 0 ? 0xff : 0)], at: place)
                copy.seal()
                guard let layer = try? VHDXLayer(reading: copy.file) else { continue }
                _ = try? layer.extents(in: 0..<layer.geometry.virtualByteCount, limit: 10)
                _ = try? layer.census()
                _ = try layer.report()
            }
        }
    }

    /// The document's table has every code, and no other.
    @Test func documentListsTheCodes() throws {
        let root = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let source = try String(contentsOf: root.appendingPathComponent("Sources/VHDX/Codes.swift"), encoding: .utf8)
        let document = try String(contentsOf: root.appendingPathComponent("docs/formats/vhdx.md"), encoding: .utf8)
        let declared = source.split(separator: "\n").compactMap { line in
            line.range(of: "VHDX[0-9]{3}", options: .regularExpression).map { String(line[$0]) }
        }
        let listed = document.split(separator: "\n").filter { $0.hasPrefix("| VHDX") }.map {
            String($0.dropFirst(2).prefix(7))
        }
        #expect(declared == listed)
        #expect(Set(declared).count == declared.count)
    }
}
