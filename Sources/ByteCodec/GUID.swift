/// A 16-byte identity. The value holds the fields in text order, so that the same type serves VHDX and HRL (first three
/// groups little-endian on disk) and VHD (all big-endian on disk).
public struct GUID: Hashable, Sendable {
    public var data1: UInt32
    public var data2: UInt16
    public var data3: UInt16
    /// The last two groups of the text form, most significant byte first; raw bytes on disk in either order.
    public var data4: UInt64

    public init(_ data1: UInt32 = 0, _ data2: UInt16 = 0, _ data3: UInt16 = 0, _ data4: UInt64 = 0) {
        (self.data1, self.data2, self.data3, self.data4) = (data1, data2, data3, data4)
    }

    public static let zero = GUID()
    public static let byteCount = 16

    /// A new random identity (version 4).
    public static func random() -> GUID {
        var generator = SystemRandomNumberGenerator()
        return random(using: &generator)
    }

    public static func random(using generator: inout some RandomNumberGenerator) -> GUID {
        GUID(
            .random(in: 0 ... .max, using: &generator), .random(in: 0 ... .max, using: &generator),
            UInt16.random(in: 0 ... .max, using: &generator) & 0x0fff | 0x4000,
            UInt64.random(in: 0 ... .max, using: &generator) & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000)
    }

    /// From 16 bytes on disk. Traps when there are fewer.
    public init(_ bytes: RawSpan, at offset: Int = 0, _ order: ByteOrder) {
        self.init(
            bytes.integer(at: offset, order), bytes.integer(at: offset + 4, order),
            bytes.integer(at: offset + 6, order), bytes.integer(at: offset + 8, .big))
    }

    /// The 16 bytes on disk.
    public func bytes(_ order: ByteOrder) -> [UInt8] {
        var result = [UInt8].zeros(16)
        var raw = result.mutableRawBytes
        raw.store(data1, at: 0, order)
        raw.store(data2, at: 4, order)
        raw.store(data3, at: 6, order)
        raw.store(data4, at: 8, .big)
        return result
    }
}

extension GUID: CustomStringConvertible, LosslessStringConvertible {
    /// `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`, lower case.
    public var description: String {
        func hex(_ value: UInt64, _ digits: Int) -> String {
            let text = String(value, radix: 16)
            return String(repeating: "0", count: digits - text.utf8.count) + text
        }
        return "\(hex(UInt64(data1), 8))-\(hex(UInt64(data2), 4))-\(hex(UInt64(data3), 4))"
            + "-\(hex(data4 >> 48, 4))-\(hex(data4 & 0xffff_ffff_ffff, 12))"
    }

    /// The description in braces, as parent locators hold it.
    public var braced: String { "{\(description)}" }

    /// Parses 8-4-4-4-12 hexadecimal digits in either case, with or without braces.
    public init?(_ text: String) {
        var digits = Array(text.utf8)
        if digits.first == UInt8(ascii: "{") {
            guard digits.last == UInt8(ascii: "}") else { return nil }
            digits = Array(digits.dropFirst().dropLast())
        }
        guard digits.count == 36 else { return nil }
        var groups: [UInt64] = [0, 0]
        var seen = 0
        for (index, digit) in digits.enumerated() {
            if [8, 13, 18, 23].contains(index) {
                guard digit == UInt8(ascii: "-") else { return nil }
                continue
            }
            let value: UInt8
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = digit - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): value = digit - UInt8(ascii: "A") + 10
            default: return nil
            }
            groups[seen / 16] = groups[seen / 16] << 4 | UInt64(value)
            seen += 1
        }
        self.init(
            UInt32(groups[0] >> 32), UInt16(groups[0] >> 16 & 0xffff), UInt16(groups[0] & 0xffff), groups[1])
    }
}
