/// Visits the fields of an on-disk structure in layout order.
public protocol FieldCoder: ~Copyable, ~Escapable {
    /// An integer.
    mutating func field<T: FixedWidthInteger & BitwiseCopyable>(_ name: StaticString, _ value: inout T)
        throws(FormatError)
    /// A GUID, in the structure's byte order.
    mutating func field(_ name: StaticString, _ value: inout GUID) throws(FormatError)
    /// `count` opaque bytes; the array always has that many.
    mutating func bytes(_ name: StaticString, _ value: inout [UInt8], count: Int) throws(FormatError)
    /// `count` reserved bytes, written as zeros; after reading, `allZero` says whether they were.
    mutating func reserved(_ name: StaticString, count: Int, allZero: inout Bool) throws(FormatError)
}

/// A structure that lists its fields once, for reading, writing and dumping.
public protocol DiskStruct: Sendable {
    /// Size on disk; a test checks it against the field list.
    static var byteCount: Int { get }
    static var byteOrder: ByteOrder { get }
    init()
    mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError)
}

extension DiskStruct {
    /// Decodes the fields and checks nothing but the length.
    /// - Throws: `FormatError` with code `.truncated` and the offset inside the structure.
    @inlinable public init(parsing bytes: RawSpan) throws(FormatError) {
        self.init()
        var reader = FieldReader(bytes, order: Self.byteOrder)
        try fields(&reader)
    }

    /// Encodes the fields; always `byteCount` bytes.
    @inlinable public func serialized() -> [UInt8] {
        var bytes = [UInt8].zeros(Self.byteCount)
        var target = bytes.mutableRawBytes
        serialize(into: &target, at: 0)
        return bytes
    }

    /// Encodes the fields into the `byteCount` bytes from `offset` on. Traps where the span ends before.
    @inlinable public func serialize(into target: inout MutableRawSpan, at offset: Int) {
        target.withPart(offset..<offset + Self.byteCount) { part in
            unsafe part.withUnsafeMutableBytes { bytes in
                // SAFETY: the writer lives inside this closure, for which it has the bytes alone.
                var writer = unsafe FieldWriter(MutableRawSpan(_unsafeBytes: bytes), order: Self.byteOrder)
                var copy = self
                do { try copy.fields(&writer) } catch { preconditionFailure("a writer throws nothing: \(error)") }
                precondition(writer.offset == Self.byteCount, "the fields do not fill the structure")
            }
        }
    }

    /// The fields with names, offsets and values, for people.
    public func dumped() -> [FieldDump] {
        var copy = self
        var dumper = FieldDumper()
        do { try copy.fields(&dumper) } catch { preconditionFailure("a dumper throws nothing: \(error)") }
        return dumper.fields
    }
}

public struct FieldReader: FieldCoder, ~Copyable, ~Escapable {
    @usableFromInline let source: RawSpan
    @usableFromInline let order: ByteOrder
    @usableFromInline var offset = 0

    @inlinable @_lifetime(copy source)
    public init(_ source: RawSpan, order: ByteOrder) {
        self.source = source
        self.order = order
    }

    @inlinable @inline(__always) @_lifetime(self: copy self)
    mutating func advance(_ name: StaticString, _ count: Int) throws(FormatError) -> Int {
        guard count <= source.byteCount - offset else { throw truncated(name, count) }
        defer { offset += count }
        return offset
    }

    /// Apart, so that reading a field that is there stays small.
    @usableFromInline @inline(never)
    func truncated(_ name: StaticString, _ count: Int) -> FormatError {
        FormatError(
            .truncated, field: "\(name)", offset: UInt64(offset),
            "needs \(count) bytes, \(source.byteCount - offset) are left", section: "")
    }

    @inlinable @inline(__always) @_lifetime(self: copy self)
    public mutating func field<T: FixedWidthInteger & BitwiseCopyable>(
        _ name: StaticString, _ value: inout T
    ) throws(FormatError) {
        value = source.integer(at: try advance(name, T.bitWidth / 8), order)
    }

    @inlinable @inline(__always) @_lifetime(self: copy self)
    public mutating func field(_ name: StaticString, _ value: inout GUID) throws(FormatError) {
        value = GUID(source, at: try advance(name, GUID.byteCount), order)
    }

    @inlinable @inline(__always) @_lifetime(self: copy self)
    public mutating func bytes(_ name: StaticString, _ value: inout [UInt8], count: Int) throws(FormatError) {
        let start = try advance(name, count)
        value = source.array(start..<start + count)
    }

    @inlinable @inline(__always) @_lifetime(self: copy self)
    public mutating func reserved(_ name: StaticString, count: Int, allZero: inout Bool) throws(FormatError) {
        let start = try advance(name, count)
        allZero = isZero(source.extracting(start..<start + count))
    }
}

/// Traps where the fields need more bytes than there are.
public struct FieldWriter: FieldCoder, ~Copyable, ~Escapable {
    @usableFromInline var target: MutableRawSpan
    @usableFromInline let order: ByteOrder
    @usableFromInline var offset = 0

    @inlinable @_lifetime(copy target)
    init(_ target: consuming MutableRawSpan, order: ByteOrder) {
        self.target = target
        self.order = order
    }

    @inlinable @inline(__always) @_lifetime(self: copy self)
    public mutating func field<T: FixedWidthInteger & BitwiseCopyable>(
        _ name: StaticString, _ value: inout T
    ) throws(FormatError) {
        target.store(value, at: offset, order)
        offset += T.bitWidth / 8
    }

    @inlinable @inline(__always) @_lifetime(self: copy self)
    public mutating func field(_ name: StaticString, _ value: inout GUID) throws(FormatError) {
        add(value.bytes(order))
    }

    @inlinable @inline(__always) @_lifetime(self: copy self)
    public mutating func bytes(_ name: StaticString, _ value: inout [UInt8], count: Int) throws(FormatError) {
        precondition(value.count == count, "\(name) has \(value.count) bytes, not \(count)")
        add(value)
    }

    @inlinable @inline(__always) @_lifetime(self: copy self)
    public mutating func reserved(_ name: StaticString, count: Int, allZero: inout Bool) throws(FormatError) {
        target.zero(offset..<offset + count)
        offset += count
    }

    @inlinable @_lifetime(self: copy self)
    mutating func add(_ bytes: [UInt8]) {
        target.copy(bytes.rawBytes, at: offset)
        offset += bytes.count
    }
}

/// One field of a dumped structure.
public struct FieldDump: Sendable, Equatable {
    public enum Value: Sendable, Equatable { case integer(UInt64), guid(GUID), bytes([UInt8]), reserved(allZero: Bool) }
    public var name: String
    /// Byte offset inside the structure.
    public var offset: Int
    public var byteCount: Int
    public var value: Value
}

struct FieldDumper: FieldCoder, ~Copyable {
    var fields: [FieldDump] = []
    var offset = 0

    mutating func add(_ name: StaticString, _ byteCount: Int, _ value: FieldDump.Value) {
        fields.append(FieldDump(name: "\(name)", offset: offset, byteCount: byteCount, value: value))
        offset += byteCount
    }

    mutating func field<T: FixedWidthInteger & BitwiseCopyable>(_ name: StaticString, _ value: inout T)
        throws(FormatError)
    { add(name, T.bitWidth / 8, .integer(UInt64(truncatingIfNeeded: value))) }

    mutating func field(_ name: StaticString, _ value: inout GUID) throws(FormatError) { add(name, 16, .guid(value)) }

    mutating func bytes(_ name: StaticString, _ value: inout [UInt8], count: Int) throws(FormatError) {
        add(name, count, .bytes(value))
    }

    mutating func reserved(_ name: StaticString, count: Int, allZero: inout Bool) throws(FormatError) {
        add(name, count, .reserved(allZero: allZero))
    }
}
