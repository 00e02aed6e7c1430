import ByteCodec
public import DiskModel

/// A partition as a table lists it.
public struct PartitionEntry: Sendable, Equatable {
    /// 1 to 4 for the slots of an MBR, from 5 on for logical partitions; the slot plus 1 in a GPT; 0 for a disk that is
    /// one volume without a table.
    public var index: Int
    /// `0x07` in an MBR, a GUID in a GPT; nil without a table.
    public var type: String?
    /// What the type means; nil where it is not known here.
    public var typeName: String?
    /// Byte offset on the virtual disk.
    public var start: UInt64
    /// In bytes, as the table says; may reach past the disk's end.
    public var byteCount: UInt64
    public var name: String?
    /// What its first sectors look like.
    public var fileSystem: FileSystemSignature?
}

/// A look at how a virtual disk is divided: a few sectors read, nothing trusted, everything bounded. It is made to tell
/// a person what a disk holds and judges nothing.
public struct PartitionGlance: Sendable, Equatable {
    public enum Table: String, Sendable { case none, mbr, gpt }

    public var table: Table
    /// In the order of the table.
    public var entries: [PartitionEntry]
    /// What is odd about the table, in words.
    public var remarks: [String] = []

    /// More are not listed.
    public static let entryLimit = 128

    /// - Throws: what reading the disk throws; odd contents are no errors.
    public init(_ disk: any VirtualDisk) throws(DiskError) {
        let size = disk.geometry.virtualByteCount
        let start = try disk.bytes(at: 0, count: Int(min(size, UInt64(FileSystemSignature.startByteCount))))
        var found: Self
        if let gpt = try Self.gpt(disk, start) {
            found = gpt
        } else if FileSystemSignature.recognise(bootSector: start) == nil, let mbr = try Self.mbr(disk, start) {
            found = mbr
        } else {
            found = Self(table: .none, entries: [])
        }
        if found.entries.isEmpty, let whole = try FileSystemSignature.recognise(disk, in: 0..<size) {
            let entry = PartitionEntry(index: 0, start: 0, byteCount: size, fileSystem: whole)
            self = Self(table: .none, entries: [entry])
            return
        }
        try found.addFileSystems(disk)
        self = found
    }

    init(table: Table, entries: [PartitionEntry], remarks: [String] = []) {
        (self.table, self.entries, self.remarks) = (table, entries, remarks)
    }

    private mutating func addFileSystems(_ disk: any VirtualDisk) throws(DiskError) {
        for index in entries.indices {
            let entry = entries[index]
            guard let range = checkedRange(entry.start, entry.byteCount),
                range.upperBound <= disk.geometry.virtualByteCount
            else {
                remarks.append("partition \(entry.index) reaches past the end of the disk")
                continue
            }
            if let type = entry.type, MBRType.isExtended(type) { continue }
            entries[index].fileSystem = try FileSystemSignature.recognise(disk, in: range)
        }
    }
}
