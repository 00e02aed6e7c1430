import BlockIO
import ByteCodec
import DiskModel

@testable import VHDX

private let olderHeader: UInt64 = 65536
private let newerHeader: UInt64 = 131072
private let regions: UInt64 = 196608
private let secondRegions: UInt64 = 262144
private let metadata = TinyImage.metadata
private let items = TinyImage.metadata + 65536
private let other = GUID(9, 9, 9, 9)

/// Corruptions of identifier, headers, log and regions.
extension Planted {
    static let structures =
        identifiers + headers + headerBounds + logs + regionTables + regionBounds

    private static let identifiers = [
        Planted(.vhdxIdentifier, .error, "one byte", at: 0, [.good(.identifier)]) { $0.put([0x56], at: 0) },
        Planted(.vhdxIdentifier, .error, "junk over it and the creator", at: 0, [.good(.identifier)]) {
            $0.put((0..<520).map { UInt8(truncatingIfNeeded: $0 * 7 + 1) }, at: 0)
        },
        Planted(.vhdxFileTooSmall, .error, "half a MiB", at: 1 << 19) { $0.contents.resize(to: 1 << 19) },
    ]

    private static let headers = [
        Planted(.vhdxHeaders, .warning, "older one", at: olderHeader, [.same(.headers)]) {
            $0.put([1], at: olderHeader + 100)
        },
        Planted(.vhdxHeaders, .warning, "newer one", at: newerHeader, [.same(.headers)]) {
            $0.put([1], at: newerHeader)
        },
        Planted(.vhdxHeaders, .error, "both", at: olderHeader) {
            for start in [olderHeader, newerHeader] { $0.put([1], at: start + 100) }
        },
        Planted(.vhdxHeaders, .error, "both without signature", at: olderHeader) {
            for start in [olderHeader, newerHeader] { $0.put([1], at: start) }
        },
        Planted(.vhdxEqualSequenceNumbers, .warning, "different", at: newerHeader + 8, [.same(.headers)]) {
            $0.put(UInt64(2), at: olderHeader + 8)
            $0.put(testGUID, at: olderHeader + 16)
            $0.seal()
        },
        Planted(.vhdxEqualSequenceNumbers, .warning, "different logs", at: newerHeader + 8) {
            $0.put(UInt64(2), at: olderHeader + 8)
            $0.put(testGUID, at: newerHeader + 48)
            $0.seal()
        },
        Planted(.vhdxEqualSequenceNumbers, .information, "identical", at: newerHeader + 8) {
            $0.put(UInt64(2), at: olderHeader + 8)
            $0.seal()
        },
        Planted(.vhdxHeaderReserved, .information, "one byte", at: newerHeader + 80) {
            $0.put([1], at: newerHeader + 4000)
            $0.seal()
        },
    ]

    private static let headerBounds = [
        Planted(.vhdxVersion, .error, "2", at: newerHeader + 66) { $0.inHeaders(66, UInt16(2)) },
        Planted(.vhdxLogVersion, .error, "1", at: newerHeader + 64) {
            $0.setLogGUID(testGUID)
            $0.inHeaders(64, UInt16(1))
        },
        Planted(.vhdxLogVersion, .warning, "1, without a log", at: newerHeader + 64, [.same(.headers)]) {
            $0.inHeaders(64, UInt16(1))
        },
        Planted(.vhdxLogVersion, .warning, "1, in the only header", at: newerHeader + 64, [.same(.headers)]) {
            $0.inHeaders(64, UInt16(1))
            $0.put([1], at: olderHeader + 100)
        },
        Planted(.vhdxLogLength, .error, "0", at: newerHeader + 68) {
            $0.setLogGUID(testGUID)
            $0.inHeaders(68, UInt32(0))
        },
        Planted(.vhdxLogLength, .error, "above 1 GiB", at: newerHeader + 68) { $0.inHeaders(68, UInt32(1025 << 20)) },
        Planted(.vhdxAlignment, .error, "log length", at: newerHeader + 68) { $0.inHeaders(68, UInt32(4096)) },
        Planted(.vhdxAlignment, .error, "log offset", at: newerHeader + 72) {
            $0.inHeaders(72, UInt64(1 << 20) + 4096)
        },
        Planted(.vhdxAlignment, .error, "log over the headers", at: newerHeader + 72) { $0.inHeaders(72, UInt64(0)) },
        Planted(.vhdxStructurePastEnd, .error, "log behind the file", at: newerHeader + 72) {
            $0.inHeaders(72, UInt64(64 << 20))
        },
        Planted(.vhdxStructurePastEnd, .error, "log overflows", at: newerHeader + 72) {
            $0.inHeaders(72, UInt64.max - 0xf_ffff)
        },
        Planted(.vhdxStructurePastEnd, .error, "unused log cut", at: newerHeader + 72, [.good(.tails)]) {
            let start = $0.contents.byteCount
            $0.inHeaders(72, start)
            $0.contents.resize(to: start + 5000)
        },
        Planted(.vhdxStructurePastEnd, .error, "log with entries cut", at: newerHeader + 72) {
            let start = $0.contents.byteCount
            $0.setLogGUID(testGUID)
            $0.inHeaders(72, start)
            $0.contents.resize(to: start + 5000)
        },
        Planted(
            .vhdxSequenceNumberExhausted, .warning, "largest", at: newerHeader + 8
        ) {
            $0.put(UInt64.max, at: newerHeader + 8)
            $0.seal()
        },
    ]

    private static let logs = [
        Planted(.vhdxDirtyLog, .warning, "one entry", at: newerHeader + 48, [.same(.log)]) { image in
            let data = image.append([UInt8](repeating: 77, count: 4096), count: mebibyte)
            var values = (0..<8).map { image.integer(TinyImage.table + 8 * $0, as: UInt64.self) }
            values[4] = data | 6
            let end = image.contents.byteCount
            image.log(
                TinyLogEntry(
                    sequence: 9, flushed: end, last: end,
                    changes: [.page(offset: TinyImage.table, TinyImage.tablePage(values))]), at: 0)
            image.setLogGUID(testGUID)
        },
        Planted(.vhdxNoLogSequence, .error, "empty ring", at: newerHeader + 48, [.good(.dropLog)]) {
            $0.setLogGUID(testGUID)
        },
        Planted(.vhdxNoLogSequence, .error, "torn entry", at: newerHeader + 48, [.good(.dropLog)]) {
            $0.log(TinyLogEntry(sequence: 9), at: 8192)
            $0.put([1], at: mebibyte + 8192 + 2000)
            $0.setLogGUID(testGUID)
        },
        Planted(
            .vhdxNewerLogEntries, .error, "an entry between them damaged", at: mebibyte + 8192 + 16, [.good(.dropLog)]
        ) {
            $0.log(TinyLogEntry(sequence: 9), at: 0)
            $0.log(TinyLogEntry(sequence: 10), at: 4096)
            $0.log(TinyLogEntry(sequence: 11), at: 8192)
            $0.put([1], at: mebibyte + 4096 + 2000)
            $0.setLogGUID(testGUID)
        },
        Planted(
            .vhdxNewerLogEntries, .error, "a tail that is not there", at: mebibyte + 65536 + 16, [.good(.dropLog)]
        ) {
            $0.log(TinyLogEntry(sequence: 9), at: 0)
            $0.log(TinyLogEntry(sequence: 20, tail: 8192), at: 65536)
            $0.setLogGUID(testGUID)
        },
        Planted(.vhdxFlushedFileOffset, .error, "cut file", at: mebibyte + 48) {
            $0.log(TinyLogEntry(sequence: 1, flushed: 99 << 20, last: 99 << 20), at: 0)
            $0.setLogGUID(testGUID)
        },
        Planted(.vhdxReplayTooLarge, .error, "1025 ranges", at: mebibyte, [.good(.log)]) {
            let change = TinyLogEntry.Change.zero(offset: TinyImage.table + 65536, count: 4096)
            $0.log(TinyLogEntry(sequence: 1, changes: [TinyLogEntry.Change](repeating: change, count: 1025)), at: 0)
            $0.setLogGUID(testGUID)
        },
    ]

    private static let regionTables = [
        Planted(.vhdxRegionTableCopies, .warning, "second bad", at: secondRegions, [.same(.regions)]) {
            $0.put([1], at: secondRegions + 1000)
        },
        Planted(.vhdxRegionTableCopies, .warning, "first bad", at: regions, [.same(.regions)]) {
            $0.put([1], at: regions)
        },
        Planted(.vhdxRegionTableCopies, .warning, "different", at: secondRegions, [.same(.regions)]) {
            $0.put([1], at: secondRegions + 1000)
            $0.seal()
        },
        Planted(.vhdxRegionTables, .error, "both bad", at: regions) {
            for start in [regions, secondRegions] { $0.put([1], at: start + 1000) }
        },
        Planted(.vhdxRegionTables, .error, "both without signature", at: regions) {
            for start in [regions, secondRegions] { $0.put([1], at: start) }
        },
        Planted(.vhdxRegionNotRequired, .information, "table", at: regions + 16 + 28, [.same(.regions)]) {
            $0.inRegionTables(16 + 28, UInt32(0))
        },
        Planted(.vhdxRegionNotRequired, .information, "metadata", at: regions + 48 + 28, [.same(.regions)]) {
            $0.inRegionTables(48 + 28, UInt32(0))
        },
        Planted(.vhdxUnknownOptional, .information, "region", at: regions + 16 + 64) {
            $0.addRegion(other, $0.append([0], count: mebibyte), 1 << 20, required: false)
        },
    ]

    private static let regionBounds = [
        Planted(.vhdxOverlap, .error, "region over the log", at: regions) {
            $0.addRegion(other, 1 << 20, 1 << 20, required: false)
        },
        Planted(.vhdxAlignment, .error, "region offset", at: regions + 16 + 16) {
            $0.inRegionTables(16 + 16, UInt64(3 << 20) + 512)
        },
        Planted(.vhdxAlignment, .error, "region length", at: regions + 48 + 24) {
            $0.inRegionTables(48 + 24, UInt32(4096))
        },
        Planted(.vhdxStructurePastEnd, .error, "table behind the file", at: regions + 16 + 16) {
            $0.inRegionTables(16 + 16, UInt64(64 << 20))
        },
        Planted(.vhdxStructurePastEnd, .error, "region overflows", at: regions + 48 + 16) {
            $0.inRegionTables(48 + 16, UInt64.max - 0xf_ffff)
        },
        Planted(.vhdxStructurePastEnd, .error, "end of the metadata cut", at: regions + 48 + 16, [.good(.tails)]) {
            let all = $0.bytes(metadata, mebibyte)
            let start = $0.append(all)
            $0.inRegionTables(48 + 16, start)
            $0.contents.resize(to: start + 70000)
        },
        Planted(.vhdxStructurePastEnd, .error, "metadata items cut", at: regions + 48 + 16) {
            let all = $0.bytes(metadata, mebibyte)
            let start = $0.append(all)
            $0.inRegionTables(48 + 16, start)
            $0.contents.resize(to: start + 65544)
        }.but(.vhdxVirtualDiskSize, "it was cut off").but(.vhdxLogicalSectorSize, "it was cut off")
            .but(.vhdxPhysicalSectorSize, "it was cut off"),
        Planted(.vhdxStructurePastEnd, .error, "end of the table cut", at: regions + 16 + 16, [.good(.tails)]) {
            let all = $0.bytes(TinyImage.table, mebibyte)
            let start = $0.append(all)
            $0.inRegionTables(16 + 16, start)
            $0.contents.resize(to: start + 64)
        },
        Planted(.vhdxStructurePastEnd, .error, "entries cut", at: regions + 16 + 16) {
            let all = $0.bytes(TinyImage.table, mebibyte)
            let start = $0.append(all)
            $0.inRegionTables(16 + 16, start)
            $0.contents.resize(to: start + 63)
        },
        Planted(.vhdxTableTooSmall, .error, "disk of 64 TiB", at: regions) { $0.put(UInt64(64 << 40), at: items + 8) },
        Planted(.vhdxRegionCount, .error, "2048", at: regions + 8) { $0.inRegionTables(8, UInt32(2048)) },
        Planted(.vhdxDuplicateRegion, .error, "metadata", at: regions + 16 + 64) {
            $0.addRegion(KnownGUID.metadata, 2 << 20, 1 << 20, required: true)
        },
        Planted(.vhdxRegionLength, .error, "table", at: regions + 16 + 24) { $0.inRegionTables(16 + 24, UInt32(0)) },
        Planted(.vhdxUnknownRequiredRegion, .error, "one", at: regions + 16 + 64) {
            $0.addRegion(other, $0.append([0], count: mebibyte), 1 << 20, required: true)
        },
        Planted(.vhdxRegionMissing, .error, "metadata", at: regions) { $0.inRegionTables(8, UInt32(1)) },
    ]
}
