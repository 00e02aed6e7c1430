import BlockIO
import ByteCodec
import DiskModel

@testable import VHDX

let mebibyte: UInt64 = 1 << 20

/// A small image that tests take apart: log at 1 MiB, metadata at 2 MiB, table at 3 MiB, blocks from 4 MiB on.
/// Fields are put at offsets written out by hand, so that the tests do not lean on the field lists they test.
struct TinyImage {
    var contents: MemoryFile.Contents

    init(
        type: ImageType = .dynamic, byteCount: UInt64 = 8 << 20, blockByteCount: UInt64 = 1 << 20,
        logicalSectorByteCount: Int = 512
    ) throws {
        let file = MemoryFile()
        try VHDXCreator.create(
            on: file, type: type, virtualByteCount: byteCount, blockByteCount: blockByteCount,
            logicalSectorByteCount: logicalSectorByteCount, virtualDiskID: GUID(1, 2, 3, 4), creator: "test")
        contents = file.contents
    }

    var file: MemoryFile { MemoryFile(contents) }

    mutating func put(_ bytes: [UInt8], at offset: UInt64) { contents.write(bytes.rawBytes, at: offset) }
    mutating func put<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at offset: UInt64) {
        put(little(value), at: offset)
    }
    mutating func put(_ guid: GUID, at offset: UInt64) { put(guid.bytes(.little), at: offset) }
    func bytes(_ offset: UInt64, _ count: UInt64) -> [UInt8] { contents.bytes(offset..<offset + count) }
    func integer<T: FixedWidthInteger & BitwiseCopyable>(_ offset: UInt64, as: T.Type = T.self) -> T {
        bytes(offset, UInt64(T.bitWidth / 8)).rawBytes.integer(at: 0, .little)
    }

    /// Puts the right checksum into headers and region tables.
    mutating func seal() {
        for (offset, count): (UInt64, UInt64) in [(65536, 4096), (131072, 4096), (196608, 65536), (262144, 65536)] {
            let all = bytes(offset, count)
            put(crc32c(all.rawBytes, skippingField: 4), at: offset + 4)
        }
    }

    /// Changes both headers at an offset inside them.
    mutating func inHeaders<T: FixedWidthInteger & BitwiseCopyable>(_ offset: UInt64, _ value: T) {
        put(value, at: 65536 + offset)
        put(value, at: 131072 + offset)
        seal()
    }
    mutating func setLogGUID(_ guid: GUID) {
        put(guid, at: 65536 + 48)
        put(guid, at: 131072 + 48)
        seal()
    }

    /// Changes both region tables at an offset inside them. Entry 0 is the table's, at 16; entry 1 is the
    /// metadata's, at 48.
    mutating func inRegionTables<T: FixedWidthInteger & BitwiseCopyable>(_ offset: UInt64, _ value: T) {
        put(value, at: 196608 + offset)
        put(value, at: 262144 + offset)
        seal()
    }
    mutating func addRegion(_ guid: GUID, _ offset: UInt64, _ length: UInt32, required: Bool) {
        let count: UInt32 = integer(196608 + 8)
        for start: UInt64 in [196608, 262144] {
            let at = start + 16 + UInt64(count) * 32
            put(guid, at: at)
            put(offset, at: at + 16)
            put(length, at: at + 24)
            put(UInt32(required ? 1 : 0), at: at + 28)
        }
        inRegionTables(8, count + 1)
    }

    static let metadata: UInt64 = 2 << 20
    static let table: UInt64 = 3 << 20
    /// Where the metadata entry of an item stands, in the order in which the creator writes them.
    static func item(_ index: UInt64) -> UInt64 { metadata + 32 + 32 * index }

    mutating func addItem(_ id: GUID, flags: UInt32, _ bytes: [UInt8], offset: UInt32 = 0x20000) {
        let count: UInt16 = integer(Self.metadata + 10)
        let at = Self.item(UInt64(count))
        put(id, at: at)
        put(bytes.isEmpty ? 0 : offset, at: at + 16)
        put(UInt32(bytes.count), at: at + 20)
        put(flags, at: at + 24)
        put(UInt32(0), at: at + 28)
        put(count + 1, at: Self.metadata + 10)
        if !bytes.isEmpty { put(bytes, at: Self.metadata + UInt64(offset)) }
    }

    mutating func setEntry(_ index: UInt64, _ value: UInt64) { put(value, at: Self.table + 8 * index) }

    /// Appends a MiB-aligned run of bytes and gives its offset.
    mutating func append(_ bytes: [UInt8], count: UInt64? = nil) -> UInt64 {
        let offset = contents.byteCount.roundedUp(to: mebibyte)
        contents.resize(to: offset + (count ?? UInt64(bytes.count)))
        put(bytes, at: offset)
        return offset
    }

    /// Makes it a differencing image with a locator of these pairs.
    mutating func makeDifferencing(
        _ pairs: [(String, String)] = [("parent_linkage", linkage), ("relative_path", "p.vhdx")]
    ) {
        put(UInt32(2), at: Self.metadata + 65536 + 4)
        addItem(KnownGUID.parentLocator, flags: 4, locator(pairs), offset: 0x20000)
    }
    static let linkage = "{00112233-4455-6677-8899-aabbccddeeff}"
}

let testGUID = GUID(0x0011_2233, 0x4455, 0x6677, 0x8899_aabb_ccdd_eeff)

func little<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) -> [UInt8] {
    var result = [UInt8].zeros(T.bitWidth / 8)
    var raw = result.mutableRawBytes
    raw.store(value, at: 0, .little)
    return result
}

func locator(_ pairs: [(String, String)]) -> [UInt8] {
    var table = KnownGUID.parentLocatorType.bytes(.little) + little(UInt16(0)) + little(UInt16(pairs.count))
    var texts: [UInt8] = []
    let start = 20 + 12 * pairs.count
    for (key, value) in pairs {
        let (keyBytes, valueBytes) = (utf16Bytes(key, .little), utf16Bytes(value, .little))
        table += little(UInt32(start + texts.count)) + little(UInt32(start + texts.count + keyBytes.count))
        table += little(UInt16(keyBytes.count)) + little(UInt16(valueBytes.count))
        texts += keyBytes + valueBytes
    }
    return table + texts
}

/// A log entry made by hand.
struct TinyLogEntry {
    enum Change { case zero(offset: UInt64, count: UInt64), page(offset: UInt64, [UInt8]) }
    var sequence: UInt64
    var tail: UInt32 = 0
    var guid = testGUID
    var flushed: UInt64 = 4 << 20
    var last: UInt64 = 4 << 20
    var changes: [Change] = []

    var bytes: [UInt8] {
        let headPages = (64 + 32 * changes.count + 4095) / 4096
        let dataCount = changes.filter { if case .page = $0 { true } else { false } }.count
        let length = 4096 * (headPages + dataCount)
        var head = [UInt8]("loge".utf8) + little(UInt32(0)) + little(UInt32(length)) + little(tail)
        head += little(sequence) + little(UInt32(changes.count)) + little(UInt32(0))
        head += guid.bytes(.little) + little(flushed) + little(last)
        var data: [UInt8] = []
        for change in changes {
            switch change {
            case .zero(let offset, let count):
                head += [UInt8]("zero".utf8) + little(UInt32(0)) + little(count) + little(offset) + little(sequence)
            case .page(let offset, let page):
                head += [UInt8]("desc".utf8) + page[4092...] + page[..<8] + little(offset) + little(sequence)
                data += [UInt8]("data".utf8) + little(UInt32(sequence >> 32)) + page[8..<4092]
                data += little(UInt32(truncatingIfNeeded: sequence))
            }
        }
        var all = head + [UInt8].zeros(4096 * headPages - head.count) + data
        all.replaceSubrange(4..<8, with: little(crc32c(all.rawBytes)))
        return all
    }
}

extension TinyImage {
    /// Puts an entry into the log (1 MiB at 1 MiB), going round its end; gives the offset behind it.
    @discardableResult mutating func log(_ entry: TinyLogEntry, at offset: UInt64) -> UInt64 {
        let bytes = entry.bytes
        for start in stride(from: 0, to: bytes.count, by: 4096) {
            put(Array(bytes[start..<start + 4096]), at: mebibyte + (offset + UInt64(start)) % mebibyte)
        }
        return (offset + UInt64(bytes.count)) % mebibyte
    }

    /// The page of the table that makes block 0 present at an offset.
    static func tablePage(_ values: [UInt64]) -> [UInt8] {
        let head = values.flatMap { little($0) }
        return head + [UInt8].zeros(4096 - head.count)
    }
}

/// The bytes of a layer, the parent's asked from `parent`.
func contents(of layer: VHDXLayer, _ range: Range<UInt64>, limit: Int = 1000, parent: VHDXLayer? = nil) throws
    -> [UInt8]
{
    var result = [UInt8].zeros(Int(range.upperBound - range.lowerBound))
    var position = range.lowerBound
    while position < range.upperBound {
        for extent in try layer.extents(in: position..<range.upperBound, limit: limit) {
            precondition(extent.offset == position)
            var bytes = [UInt8].zeros(Int(extent.byteCount))
            switch extent.source {
            case .file(let offset): bytes = try layer.file.bytes(at: offset, count: bytes.count)
            case .parent: if let parent { bytes = try contents(of: parent, extent.range) }
            case .zero, .hole: break
            }
            var raw = result.mutableRawBytes
            raw.copy(bytes.rawBytes, at: Int(position - range.lowerBound))
            position = extent.end
        }
    }
    return result
}

/// Whether two long arrays are equal; comparing them element by element takes long without optimisation.
func areEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    a.count == b.count && crc32c(a.rawBytes) == crc32c(b.rawBytes)
}
