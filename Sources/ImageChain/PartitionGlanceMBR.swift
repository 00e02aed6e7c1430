import ByteCodec
import DiskModel

/// The four slots of a master or extended boot record.
struct BootRecord: Equatable {
    struct Slot: Equatable {
        var status: UInt8
        var type: UInt8
        /// In sectors; relative to different things in the links of an extended partition.
        var start: UInt64
        var count: UInt64
        var isUsed: Bool { type != 0 && count > 0 }
        var isExtended: Bool { MBRType.extended.contains(type) }
    }
    var slots: [Slot]

    /// Nil when the bytes are no such sector.
    init?(_ bytes: [UInt8]) {
        guard bytes.count >= 512, bytes.has([0x55, 0xaa], at: 510) else { return nil }
        let raw = bytes.rawBytes
        slots = (0..<4).map { slot in
            let offset = 446 + 16 * slot
            return Slot(
                status: bytes[offset], type: bytes[offset + 4],
                start: UInt64(raw.integer(at: offset + 8, as: UInt32.self, .little)),
                count: UInt64(raw.integer(at: offset + 12, as: UInt32.self, .little)))
        }
        // Boot code and text in the place of a table show by this byte, which is 0x00 or 0x80.
        guard slots.allSatisfy({ $0.status & 0x7f == 0 }) else { return nil }
    }
}

enum MBRType {
    static let extended: Set<UInt8> = [0x05, 0x0f, 0x85]
    static let protective: UInt8 = 0xee

    static func text(_ type: UInt8) -> String { (type < 16 ? "0x0" : "0x") + String(type, radix: 16) }
    static func isExtended(_ text: String) -> Bool { extended.contains { self.text($0) == text } }

    static let names: [UInt8: String] = [
        0x01: "FAT12", 0x04: "FAT16 below 32 MiB", 0x05: "extended", 0x06: "FAT16", 0x07: "NTFS, exFAT or HPFS",
        0x0b: "FAT32", 0x0c: "FAT32 (LBA)", 0x0e: "FAT16 (LBA)", 0x0f: "extended (LBA)", 0x11: "hidden FAT12",
        0x12: "diagnostics", 0x14: "hidden FAT16", 0x16: "hidden FAT16", 0x17: "hidden NTFS", 0x1b: "hidden FAT32",
        0x1c: "hidden FAT32 (LBA)", 0x1e: "hidden FAT16 (LBA)", 0x27: "Windows recovery", 0x42: "Windows dynamic disk",
        0x63: "Unix System V", 0x82: "Linux swap", 0x83: "Linux", 0x84: "hibernation", 0x85: "Linux extended",
        0x8e: "Linux LVM", 0xa5: "FreeBSD", 0xa6: "OpenBSD", 0xa8: "macOS UFS", 0xa9: "NetBSD", 0xab: "macOS boot",
        0xaf: "macOS HFS+", 0xbe: "Solaris boot", 0xbf: "Solaris", 0xee: "GPT protective", 0xef: "EFI system",
        0xfb: "VMware VMFS", 0xfd: "Linux RAID",
    ]
}

extension PartitionGlance {
    /// The partitions of a master boot record; nil when there is none.
    static func mbr(_ disk: any VirtualDisk, _ start: [UInt8]) throws(DiskError) -> Self? {
        guard let record = BootRecord(start) else { return nil }
        let sector = UInt64(disk.geometry.logicalSectorByteCount)
        var result = Self(table: .mbr, entries: [])
        for (index, slot) in record.slots.enumerated() where slot.isUsed {
            result.append(index + 1, slot, base: 0, sector)
            if slot.type == MBRType.protective {
                result.remarks.append("the boot record stands for a GPT, which is missing or damaged")
            }
        }
        for slot in record.slots where slot.isUsed && slot.isExtended {
            try result.addLogical(disk, slot, sector)
        }
        return result
    }

    private mutating func append(_ index: Int, _ slot: BootRecord.Slot, base: UInt64, _ sector: UInt64) {
        // Both factors have 33 bits at most: nothing can overflow.
        entries.append(
            PartitionEntry(
                index: index, type: MBRType.text(slot.type), typeName: MBRType.names[slot.type],
                start: (base + slot.start) * sector, byteCount: slot.count * sector))
    }

    /// Follows the links of an extended partition, each of which stands in a sector of its own.
    private mutating func addLogical(_ disk: any VirtualDisk, _ extended: BootRecord.Slot, _ sector: UInt64)
        throws(DiskError)
    {
        var position = extended.start
        var seen: Set<UInt64> = []
        var index = max(4, entries.map(\.index).max() ?? 4)
        while entries.count < Self.entryLimit, seen.count < Self.entryLimit {
            guard position >= extended.start, position - extended.start < extended.count,
                (position + 1) * sector <= disk.geometry.virtualByteCount, seen.insert(position).inserted,
                let record = BootRecord(try disk.bytes(at: position * sector, count: 512))
            else {
                remarks.append("the links of the extended partition break off at sector \(position)")
                return
            }
            if record.slots[0].isUsed {
                index += 1
                append(index, record.slots[0], base: position, sector)
            }
            guard record.slots[1].isUsed, record.slots[1].isExtended else { return }
            position = extended.start + record.slots[1].start
        }
        remarks.append("more than \(Self.entryLimit) partitions: the others are not listed")
    }
}
