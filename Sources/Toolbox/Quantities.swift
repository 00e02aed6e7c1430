import ArgumentParser

/// A number of bytes on the command line: `4096`, `0x1000`, `64K`, `1MiB`, `2T`; powers of 1024.
public struct ByteQuantity: Sendable, Equatable {
    public var byteCount: UInt64
    public init(_ byteCount: UInt64) { self.byteCount = byteCount }

    /// What is valid, for messages.
    public static let rule = "a whole number of bytes, or with K, M, G or T (powers of 1024), such as 1536M or 64KiB"

    /// For `transform:`.
    /// - Throws: `ValidationError` that says what is valid.
    public static func parse(_ text: String) throws -> Self {
        guard let value = Self(argument: text) else { throw ValidationError("it takes \(rule)") }
        return value
    }

    public init?(argument: String) {
        let text = argument.lowercased()
        if text.hasPrefix("0x") {
            guard let value = UInt64(text.dropFirst(2), radix: 16) else { return nil }
            byteCount = value
            return
        }
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let value = UInt64(digits) else { return nil }
        let shifts: [Substring: UInt64] = [
            "": 0, "b": 0, "k": 10, "kib": 10, "m": 20, "mib": 20, "g": 30, "gib": 30, "t": 40, "tib": 40,
        ]
        guard let shift = shifts[text.dropFirst(digits.count)] else { return nil }
        let (product, overflow) = value.multipliedReportingOverflow(by: 1 << shift)
        guard !overflow else { return nil }
        byteCount = product
    }
}

/// `OFFSET+LENGTH` on the command line, each a `ByteQuantity`.
public struct ByteRangeArgument: Sendable, Equatable {
    public var range: Range<UInt64>

    /// For `transform:`.
    /// - Throws: `ValidationError` that says what is valid.
    public static func parse(_ text: String) throws -> Self {
        guard let value = Self(argument: text) else {
            throw ValidationError("it takes OFFSET+LENGTH, such as 1M+512, each \(ByteQuantity.rule)")
        }
        return value
    }

    /// As on the command line, in bytes.
    public var text: String { "\(range.lowerBound)+\(range.upperBound - range.lowerBound)" }

    public init?(argument: String) {
        let parts = argument.split(separator: "+", omittingEmptySubsequences: false)
        guard parts.count == 2, let offset = ByteQuantity(argument: String(parts[0])),
            let length = ByteQuantity(argument: String(parts[1]))
        else { return nil }
        let (end, overflow) = offset.byteCount.addingReportingOverflow(length.byteCount)
        guard !overflow else { return nil }
        range = offset.byteCount..<end
    }
}

/// Sizes for people.
public enum Quantity {
    /// `64 MiB (67108864 bytes)`; below 1 KiB, or with `plain`, only the bytes.
    public static func bytes(_ byteCount: UInt64, plain: Bool = false) -> String {
        if plain { return "\(byteCount)" }
        guard byteCount >= 1024 else { return "\(byteCount) bytes" }
        return "\(short(byteCount)) (\(byteCount) bytes)"
    }

    /// `64 MiB`, `1.5 GiB`: at most one decimal, cut off, never rounded up.
    public static func short(_ byteCount: UInt64) -> String {
        var unit = 0
        var divisor: UInt64 = 1
        while unit < 5, byteCount / divisor >= 1024 { (unit, divisor) = (unit + 1, divisor << 10) }
        guard unit > 0 else { return "\(byteCount) B" }
        let tenths = byteCount % divisor * 10 / divisor
        let name = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"][unit]
        return tenths == 0 ? "\(byteCount / divisor) \(name)" : "\(byteCount / divisor).\(tenths) \(name)"
    }

    /// `1048576 (0x100000)`.
    public static func offset(_ offset: UInt64) -> String { "\(offset) (0x\(String(offset, radix: 16)))" }
}
