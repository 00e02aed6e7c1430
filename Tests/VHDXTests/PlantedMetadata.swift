import BlockIO
import ByteCodec
import DiskModel

@testable import VHDX

private let metadata = TinyImage.metadata
private let items = TinyImage.metadata + 65536
private let other = GUID(9, 9, 9, 9)
private let locatorStart = TinyImage.metadata + 0x20000

/// Corruptions of the metadata table, its items and the parent locator.
extension Planted {
    static let metadataItems = itemFlags + itemBounds + locators

    private static let itemFlags = [
        Planted(.vhdxUnknownOptional, .information, "item", at: TinyImage.item(5)) {
            $0.addItem(other, flags: 0, [1])
        },
        Planted(.vhdxMetadataSignature, .error, "one byte", at: metadata) { $0.put([0], at: metadata) },
        Planted(.vhdxItemFlags, .warning, "size not required", at: TinyImage.item(1) + 24, [.same(.metadata)]) {
            $0.put(UInt32(2), at: TinyImage.item(1) + 24)
        },
        Planted(.vhdxMetadataReserved, .information, "table", at: metadata, [.same(.metadata)]) {
            $0.put([1], at: metadata + 20)
        },
        Planted(.vhdxMetadataReserved, .information, "item", at: metadata, [.same(.metadata)]) {
            $0.put(UInt32(1), at: TinyImage.item(2) + 28)
        },
        Planted(
            .vhdxMetadataReserved, .warning, "flags of an item", at: TinyImage.item(3) + 24, [.same(.metadata)]
        ) {
            $0.put(UInt32(6 | 256), at: TinyImage.item(3) + 24)
        },
        Planted(.vhdxReservedFlags, .warning, "file parameters", at: items + 4, [.same(.metadata)]) {
            $0.put(UInt32(0x8000_0000), at: items + 4)
        },
    ]

    private static let itemBounds = [
        Planted(.vhdxItemCount, .error, "2048", at: metadata + 10) { $0.put(UInt16(2048), at: metadata + 10) },
        Planted(.vhdxUserItemCount, .error, "1025", at: metadata + 10) {
            for index in 0..<UInt32(1025) { $0.addItem(GUID(index, 7, 7, 7), flags: 1, []) }
        },
        Planted(.vhdxDuplicateItem, .error, "disk ID", at: TinyImage.item(5)) {
            $0.addItem(KnownGUID.virtualDiskID, flags: 6, [1])
        },
        Planted(.vhdxItemIDZero, .error, "one", at: TinyImage.item(5)) { $0.addItem(.zero, flags: 0, [1]) },
        Planted(.vhdxItemOutsideRegion, .error, "in the table", at: TinyImage.item(0) + 16) {
            $0.put(UInt32(65535), at: TinyImage.item(0) + 16)
        },
        Planted(.vhdxItemTooLong, .error, "1 MiB and 1", at: TinyImage.item(0) + 20) {
            $0.put(UInt32(1 << 20) + 1, at: TinyImage.item(0) + 20)
        },
        Planted(.vhdxItemOverlap, .error, "by one byte", at: TinyImage.item(5) + 16) {
            $0.addItem(other, flags: 0, [0], offset: 65536 + 39)
        },
        Planted(.vhdxEmptyItemOffset, .error, "one", at: TinyImage.item(5) + 16) {
            $0.addItem(other, flags: 0, [])
            $0.put(UInt32(0x20000), at: TinyImage.item(5) + 16)
        },
        Planted(.vhdxUnknownRequiredItem, .error, "one", at: TinyImage.item(5)) { $0.addItem(other, flags: 4, [1]) },
        Planted(.vhdxItemMissing, .error, "physical sector size", at: metadata) {
            $0.put(UInt16(4), at: metadata + 10)
        },
        Planted(.vhdxItemLength, .error, "physical sector size", at: TinyImage.item(4) + 20) {
            $0.put(UInt32(8), at: TinyImage.item(4) + 20)
        },
        Planted(.vhdxIncompleteFile, .error, "marked", at: TinyImage.item(5)) {
            $0.addItem(KnownGUID.incompleteFile, flags: 4, [])
        },
        Planted(.vhdxBlockSize, .error, "3 MiB", at: items) { $0.put(UInt32(3 << 20), at: items) },
        Planted(.vhdxLogicalSectorSize, .error, "1024", at: items + 32) { $0.put(UInt32(1024), at: items + 32) },
        Planted(.vhdxPhysicalSectorSize, .error, "0", at: items + 36) { $0.put(UInt32(0), at: items + 36) },
        Planted(.vhdxVirtualDiskSize, .error, "0", at: items + 8) { $0.put(UInt64(0), at: items + 8) },
    ]

    private static let locators = [
        Planted(.vhdxParentLocatorPresence, .error, "locator missing", at: metadata) {
            $0.put(UInt32(2), at: items + 4)
        },
        Planted(.vhdxParentLocatorPresence, .warning, "locator too many", at: TinyImage.item(5)) {
            $0.makeDifferencing()
            $0.put(UInt32(0), at: items + 4)
        },
        Planted(.vhdxParentLinkage, .error, "no linkage", at: locatorStart) {
            $0.makeDifferencing([("relative_path", "p")])
        },
        Planted(.vhdxParentLinkage, .error, "no path", at: locatorStart) {
            $0.makeDifferencing([("parent_linkage", TinyImage.linkage)])
        },
        Planted(.vhdxLocatorType, .error, "other", at: locatorStart) {
            $0.makeDifferencing()
            $0.put(other, at: locatorStart)
        },
        Planted(.vhdxLocatorCount, .error, "0", at: locatorStart + 18) { $0.makeDifferencing([]) },
        Planted(.vhdxLocatorTable, .error, "200 pairs", at: locatorStart + 18) {
            $0.makeDifferencing()
            $0.put(UInt16(200), at: locatorStart + 18)
        },
        Planted(.vhdxLocatorText, .error, "key outside", at: locatorStart + 20) {
            $0.makeDifferencing()
            $0.put(UInt32.max, at: locatorStart + 20)
        },
        Planted(.vhdxLocatorEncoding, .error, "NUL", at: locatorStart + 44) {
            $0.makeDifferencing()
            $0.put(UInt16(0), at: locatorStart + 44)
        },
        Planted(.vhdxLocatorDuplicateKey, .error, "a", at: locatorStart + 20 + 24 + 4) {
            $0.makeDifferencing([("a", "1"), ("a", "2")])
        },
    ]
}
