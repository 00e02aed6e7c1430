import ByteCodec
public import DiskModel

/// What a file system, volume manager or swap area writes where, so that it can be told by a few sectors.
public enum FileSystemSignature: String, Sendable, CaseIterable {
    case ext2, ext3, ext4, xfs, btrfs, ntfs, fat12, fat16, fat32, exfat, refs, swap, iso9660
    case hfsPlus = "hfs+"
    case apfs, lvm2, luks, bitlocker
    case linuxRAID = "linux_raid"

    /// Recognises what begins at the start of a range, by at most four small reads inside it.
    public static func recognise(_ disk: any VirtualDisk, in range: Range<UInt64>) throws(DiskError) -> Self? {
        let range = range.clamped(to: 0..<disk.geometry.virtualByteCount)
        if let found = recognise(start: try Self.piece(disk, range, at: 0, count: startByteCount)) { return found }
        for (signature, offset, magic) in distant {
            if try piece(disk, range, at: offset, count: magic.count) == magic { return signature }
        }
        return nil
    }

    /// Enough for all signatures but the distant ones.
    static let startByteCount = 8192

    private static let distant: [(Self, UInt64, [UInt8])] = [
        (.btrfs, 0x1_0040, Array("_BHRfS_M".utf8)),
        (.iso9660, 0x8001, Array("CD001".utf8)),
        (.swap, 0xfff6, Array("SWAPSPACE2".utf8)),
    ]

    /// Bytes inside a range; fewer, or none, where it ends before.
    private static func piece(_ disk: any VirtualDisk, _ range: Range<UInt64>, at offset: UInt64, count: Int)
        throws(DiskError) -> [UInt8]
    {
        let length = range.upperBound - range.lowerBound
        guard offset < length else { return [] }
        return try disk.bytes(at: range.lowerBound + offset, count: Int(min(UInt64(count), length - offset)))
    }

    /// Recognises by the first bytes of a volume, however few there are.
    static func recognise(start: [UInt8]) -> Self? {
        if let bootSector = recognise(bootSector: start) { return bootSector }
        func has(_ magic: String, at offset: Int) -> Bool { start.has(Array(magic.utf8), at: offset) }
        if start.has([0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe], at: 0) { return .luks }
        if has("XFSB", at: 0) { return .xfs }
        if has("NXSB", at: 32) { return .apfs }
        if (0..<4).contains(where: { has("LABELONE", at: $0 * 512) && has("LVM2 001", at: $0 * 512 + 24) }) {
            return .lvm2
        }
        if has("SWAPSPACE2", at: 4086) || has("SWAP-SPACE", at: 4086) { return .swap }
        if start.has([0xfc, 0x4e, 0x2b, 0xa9], at: 4096) { return .linuxRAID }
        if has("H+", at: 1024) || has("HX", at: 1024) { return .hfsPlus }
        return ext(start)
    }

    /// Recognises what writes the first sector of a volume in the manner of DOS. Such a sector may end like a master
    /// boot record, which it is not.
    static func recognise(bootSector: [UInt8]) -> Self? {
        let names: [(Self, String)] = [
            (.ntfs, "NTFS    "), (.exfat, "EXFAT   "), (.refs, "ReFS\0\0\0\0"), (.bitlocker, "-FVE-FS-"),
        ]
        for (signature, name) in names where bootSector.has(Array(name.utf8), at: 3) { return signature }
        return fat(bootSector)
    }

    /// FAT by its BIOS parameter block; which one, by the number of clusters.
    private static func fat(_ bytes: [UInt8]) -> Self? {
        guard bytes.count >= 512, bytes.has([0x55, 0xaa], at: 510), bytes[0] == 0xeb || bytes[0] == 0xe9 else {
            return nil
        }
        let raw = bytes.rawBytes
        func short(_ offset: Int) -> UInt32 { UInt32(raw.integer(at: offset, as: UInt16.self, .little)) }
        func long(_ offset: Int) -> UInt32 { raw.integer(at: offset, .little) }
        let (sectorSize, clusterSectors) = (short(11), UInt32(bytes[13]))
        let (reserved, tables, media) = (short(14), UInt32(bytes[16]), bytes[21])
        guard [512, 1024, 2048, 4096].contains(sectorSize), clusterSectors.nonzeroBitCount == 1, reserved > 0,
            (1...2).contains(tables), media == 0xf0 || media >= 0xf8
        else { return nil }
        let sectors = UInt64(short(19) != 0 ? short(19) : long(32))
        let tableSectors = UInt64(short(22) != 0 ? short(22) : long(36))
        let rootSectors = (UInt64(short(17)) * 32 + UInt64(sectorSize) - 1) / UInt64(sectorSize)
        let overhead = UInt64(reserved) + UInt64(tables) * tableSectors + rootSectors
        guard tableSectors > 0, sectors > overhead else { return nil }
        if short(22) == 0 { return .fat32 }
        let clusters = (sectors - overhead) / UInt64(clusterSectors)
        return clusters < 4085 ? .fat12 : .fat16
    }

    /// The ext family by its superblock; which one, by the features it uses.
    private static func ext(_ bytes: [UInt8]) -> Self? {
        guard bytes.count >= 2048, bytes.has([0x53, 0xef], at: 1024 + 56) else { return nil }
        func features(_ offset: Int) -> UInt32 { bytes.rawBytes.integer(at: 1024 + offset, .little) }
        let (compatible, incompatible, readOnly) = (features(92), features(96), features(100))
        // A journal of its own on a device of its own is no file system.
        guard incompatible & 0x8 == 0 else { return nil }
        // ext2 and ext3 know file types, recovery and meta groups; sparse superblocks, large files and B-trees.
        if incompatible & ~0x16 != 0 || readOnly & ~0x7 != 0 { return .ext4 }
        return compatible & 0x4 != 0 ? .ext3 : .ext2
    }
}

extension [UInt8] {
    /// Whether the bytes at an offset are these; false past the end.
    func has(_ magic: [UInt8], at offset: Int) -> Bool {
        offset <= count - magic.count && self[offset..<offset + magic.count].elementsEqual(magic)
    }
}
