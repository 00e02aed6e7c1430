public import BlockIO
import ByteCodec

/// Lays out partition tables, from the formats' descriptions and not by the code under test.
public struct DiskBuilder {
    public let byteCount: UInt64
    public let sector: Int
    public private(set) var contents = MemoryFile.Contents()

    public init(byteCount: UInt64, sector: Int = 512) {
        (self.byteCount, self.sector) = (byteCount, sector)
        contents.resize(to: byteCount)
    }

    public mutating func put(_ bytes: [UInt8], at offset: UInt64) { contents.write(bytes.rawBytes, at: offset) }
    public mutating func put(_ text: String, at offset: UInt64) { put(Array(text.utf8), at: offset) }

    public static func little(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
    }

    /// A boot record at a sector: type, start and count of each slot, in sectors.
    public mutating func bootRecord(at lba: UInt64 = 0, _ slots: [(type: UInt8, start: UInt64, count: UInt64)]) {
        let base = lba * UInt64(sector)
        for (index, slot) in slots.enumerated() {
            let entry =
                [index == 0 ? 0x80 : 0, 0, 0, 0, slot.type, 0, 0, 0] + Self.little(slot.start, 4)
                + Self.little(slot.count, 4)
            put(entry, at: base + 446 + 16 * UInt64(index))
        }
        put([0x55, 0xaa], at: base + 510)
    }

    public typealias GPTPartition = (type: String, first: UInt64, last: UInt64, name: String)

    /// A GPT with its header at a sector; `slots` maps entry numbers to partitions.
    public mutating func gpt(
        at lba: UInt64 = 1, alternate: UInt64 = 0, entriesAt: UInt64 = 2, count: Int = 128, size: Int = 128,
        _ slots: [Int: GPTPartition]
    ) {
        var table = [UInt8].zeros(count * size)
        for (index, partition) in slots {
            let name = Array((utf16Bytes(partition.name, .little) + .zeros(72)).prefix(72))
            let entry =
                GUID(partition.type)!.bytes(.little) + GUID(1, 2, 3, UInt64(index)).bytes(.little)
                + Self.little(partition.first, 8) + Self.little(partition.last, 8) + Self.little(0, 8) + name
            table.replaceSubrange(index * size..<index * size + 128, with: entry)
        }
        func header(_ checksum: UInt32) -> [UInt8] {
            Array("EFI PART".utf8) + Self.little(0x10000, 4) + Self.little(92, 4) + Self.little(UInt64(checksum), 4)
                + .zeros(4) + Self.little(lba, 8) + Self.little(alternate, 8) + Self.little(34, 8)
                + Self.little(1000, 8)
                + GUID(7).bytes(.little) + Self.little(entriesAt, 8) + Self.little(UInt64(count), 4)
                + Self.little(UInt64(size), 4) + Self.little(UInt64(slowCRC32(table)), 4)
        }
        put(header(slowCRC32(header(0))), at: lba * UInt64(sector))
        put(table, at: entriesAt * UInt64(sector))
    }

    /// A boot record, a GPT and its backup at the end of the disk.
    public mutating func wholeGPT(_ slots: [Int: GPTPartition]) {
        let last = byteCount / UInt64(sector) - 1
        let entries = last - 128 * 128 / UInt64(sector)
        bootRecord([(0xee, 1, min(last, 0xffff_ffff))])
        gpt(alternate: last, slots)
        gpt(at: last, alternate: 1, entriesAt: entries, slots)
    }
}

/// CRC-32 bit by bit.
public func slowCRC32(_ bytes: [UInt8]) -> UInt32 {
    var value = UInt32.max
    for byte in bytes {
        for bit in 0..<8 {
            let odd = (value ^ UInt32(byte >> UInt8(bit))) & 1 == 1
            value = value >> 1 ^ (odd ? 0xedb8_8320 : 0)
        }
    }
    return ~value
}
