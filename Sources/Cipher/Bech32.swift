/// Bech32 (BIP 173) without its limit of 90 characters, as age writes its keys.
enum Bech32 {
    private static let alphabet = Array("qpzry9x8gf2tvdw0s3jn54khce6mua7l".utf8)

    /// - Parameter prefix: lower case.
    /// - Returns: lower case.
    static func encode(_ bytes: [UInt8], prefix: String) -> String {
        let values = regroup(bytes, from: 8, to: 5, pads: true) ?? []
        let sum = checksum(expanded(prefix) + values + [0, 0, 0, 0, 0, 0]) ^ 1
        let tail = (0..<6).map { UInt8(sum >> (5 * (5 - UInt32($0))) & 31) }
        return prefix + "1" + String(decoding: (values + tail).map { alphabet[Int($0)] }, as: UTF8.self)
    }

    /// - Returns: the prefix, lower case, and the bytes; nil for what is not of this kind, mixes cases, or was mistyped.
    static func decode(_ text: String) -> (prefix: String, bytes: [UInt8])? {
        let isLower = text == text.lowercased(), isUpper = text == text.uppercased()
        guard isLower != isUpper, text.utf8.allSatisfy({ (33...126).contains($0) }) else { return nil }
        let octets = Array(text.lowercased().utf8)
        guard let separator = octets.lastIndex(of: UInt8(ascii: "1")), separator > 0, octets.count - separator > 6
        else { return nil }
        var values: [UInt8] = []
        for octet in octets[(separator + 1)...] {
            guard let value = alphabet.firstIndex(of: octet) else { return nil }
            values.append(UInt8(value))
        }
        let prefix = String(decoding: octets[..<separator], as: UTF8.self)
        guard checksum(expanded(prefix) + values) == 1,
            let bytes = regroup(values.dropLast(6), from: 5, to: 8, pads: false)
        else { return nil }
        return (prefix, bytes)
    }

    private static func expanded(_ prefix: String) -> [UInt8] {
        prefix.utf8.map { $0 >> 5 } + [0] + prefix.utf8.map { $0 & 31 }
    }

    /// The BCH code's remainder.
    private static func checksum(_ values: [UInt8]) -> UInt32 {
        let generators: [UInt32] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3]
        var sum: UInt32 = 1
        for value in values {
            let top = sum >> 25
            sum = (sum & 0x1ff_ffff) << 5 ^ UInt32(value)
            for (bit, generator) in generators.enumerated() where top >> UInt32(bit) & 1 == 1 { sum ^= generator }
        }
        return sum
    }

    /// Bits in groups of another width. Nil for padding that is too long or not zero.
    private static func regroup(
        _ values: some Sequence<UInt8>, from: UInt32, to width: UInt32, pads: Bool
    ) -> [UInt8]? {
        var (bits, count): (UInt32, UInt32) = (0, 0)
        var result: [UInt8] = []
        for value in values {
            bits = (bits << from | UInt32(value)) & 0xffff
            count += from
            while count >= width {
                count -= width
                result.append(UInt8(bits >> count & (1 << width - 1)))
            }
        }
        let rest = bits & (1 << count - 1)
        if pads {
            if count > 0 { result.append(UInt8(rest << (width - count) & (1 << width - 1))) }
        } else if count >= from || rest != 0 {
            return nil
        }
        return result
    }
}
