import ByteCodec
import Testing

/// Every kind of field once, unaligned on purpose.
private struct Sample: DiskStruct, Equatable {
    static let byteCount = 1 + 2 + 4 + 8 + 3 + 16 + 5 + 8
    static let byteOrder = ByteOrder.little
    var small: UInt8 = 0
    var medium: UInt16 = 0
    var large: UInt32 = 0
    var huge: UInt64 = 0
    var name: [UInt8] = .zeros(3)
    var id = GUID.zero
    var reservedIsZero = true
    var signed: Int64 = 0

    mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.field("Small", &small)
        try f.field("Medium", &medium)
        try f.field("Large", &large)
        try f.field("Huge", &huge)
        try f.bytes("Name", &name, count: 3)
        try f.field("Id", &id)
        try f.reserved("Reserved", count: 5, allZero: &reservedIsZero)
        try f.field("Signed", &signed)
    }

    static let filled: Sample = {
        var sample = Sample()
        sample.small = 0x01
        sample.medium = 0x0203
        sample.large = 0x0405_0607
        sample.huge = 0x0809_0a0b_0c0d_0e0f
        sample.name = Array("abc".utf8)
        sample.id = GUID(0x0011_2233, 0x4455, 0x6677, 0x8899_aabb_ccdd_eeff)
        sample.signed = -2
        return sample
    }()
}

/// The same fields, big-endian.
private struct BigSample: DiskStruct {
    static let byteCount = Sample.byteCount
    static let byteOrder = ByteOrder.big
    var inner = Sample()
    mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try inner.fields(&f)
    }
}

@Suite struct FieldCoderTests {
    private static let names = ["Small", "Medium", "Large", "Huge", "Name", "Id", "Reserved", "Signed"]
    private static let offsets = [0, 1, 3, 7, 15, 18, 34, 39]
    private static let counts = [1, 2, 4, 8, 3, 16, 5, 8]

    @Test func littleEndianBytes() {
        let bytes = Sample.filled.serialized()
        let expected: [UInt8] =
            [0x01, 0x03, 0x02, 0x07, 0x06, 0x05, 0x04, 0x0f, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x08] + "abc".utf8
            + [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]
            + [0, 0, 0, 0, 0] + [0xfe] + [UInt8](repeating: 0xff, count: 7)
        #expect(bytes == expected)
        #expect(bytes.count == Sample.byteCount)
    }

    @Test func bigEndianBytes() throws {
        var sample = BigSample()
        sample.inner = .filled
        let bytes = sample.serialized()
        #expect(bytes[..<15] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
        #expect(
            bytes[18..<34] == [
                0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
            ])
        #expect(bytes[39...] == [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe])
        #expect(try BigSample(parsing: bytes.rawBytes).inner == .filled)
    }

    @Test func readerUndoesWriter() throws {
        let parsed = try Sample(parsing: Sample.filled.serialized().rawBytes)
        #expect(parsed == .filled)
        // More bytes than needed are no matter.
        #expect(try Sample(parsing: (Sample.filled.serialized() + [9, 9]).rawBytes) == .filled)
    }

    @Test func reservedBytes() throws {
        var bytes = Sample.filled.serialized()
        for place in 34..<39 {
            bytes[place] = 0x80
            var parsed = try Sample(parsing: bytes.rawBytes)
            #expect(!parsed.reservedIsZero)
            // Written back as zeros all the same.
            bytes[place] = 0
            #expect(parsed.serialized() == bytes)
            parsed.reservedIsZero = true
            #expect(parsed == .filled)
        }
    }

    /// Every length that is too short names the field that does not fit, and where it begins.
    @Test(arguments: 0..<Sample.byteCount) func truncated(_ length: Int) throws {
        let bytes = Array(Sample.filled.serialized()[..<length])
        let error = try #require(throws: FormatError.self) { _ = try Sample(parsing: bytes.rawBytes) }
        let hit = try #require(Self.offsets.lastIndex { $0 <= length })
        #expect(error.code == .truncated)
        #expect(error.field == Self.names[hit])
        #expect(error.offset == UInt64(Self.offsets[hit]))
        let left = length - Self.offsets[hit]
        #expect(error.problem == "needs \(Self.counts[hit]) bytes, \(left) are left")
        #expect(error.description.hasPrefix("TRUNCATED: \(Self.names[hit]) needs "))
    }

    @Test func dump() {
        let dump = Sample.filled.dumped()
        #expect(dump.map(\.name) == Self.names)
        #expect(dump.map(\.offset) == Self.offsets)
        #expect(dump.map(\.byteCount) == Self.counts)
        #expect(dump[1].value == .integer(0x0203))
        #expect(dump[4].value == .bytes(Array("abc".utf8)))
        #expect(dump[5].value == .guid(Sample.filled.id))
        #expect(dump[6].value == .reserved(allZero: true))
        #expect(dump[7].value == .integer(UInt64.max - 1))
    }

    /// Every single bit of the bytes comes back, except those of the reserved field.
    @Test func everyBit() throws {
        for bit in 0..<8 * Sample.byteCount where !(34..<39).contains(bit / 8) {
            var bytes = [UInt8].zeros(Sample.byteCount)
            bytes[bit / 8] = 1 << UInt8(bit % 8)
            #expect(try Sample(parsing: bytes.rawBytes).serialized() == bytes)
            #expect(try BigSample(parsing: bytes.rawBytes).serialized() == bytes)
        }
    }
}
