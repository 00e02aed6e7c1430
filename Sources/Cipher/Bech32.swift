import ByteCodec

/// Bech32 (BIP 173) without its limit of 90 characters, as age writes its keys. What is made on the way is overwritten: it
/// may be a secret.
enum Bech32 {
    private static let alphabet = Array("qpzry9x8gf2tvdw0s3jn54khce6mua7l".utf8)
    private static let separator = UInt8(ascii: "1")
    private static let checksumCount = 6

    /// - Parameter prefix: lower case.
    /// - Returns: lower case.
    static func encode(_ bytes: [UInt8], prefix: String) -> String {
        String(decoding: octets(bytes.rawBytes, prefix: prefix), as: UTF8.self)
    }

    /// As `encode`, for a secret: the caller overwrites the result.
    static func octets(_ bytes: RawSpan, prefix: String) -> [UInt8] {
        var copy = [UInt8](copying: bytes)
        var values = regroup(copy, from: 8, to: 5, pads: true) ?? []
        defer {
            cleanse(&copy)
            cleanse(&values)
        }
        var checksum = Checksum(prefix: prefix.utf8)
        for value in values { checksum.add(value) }
        for _ in 0..<checksumCount { checksum.add(0) }
        let sum = checksum.sum ^ 1
        var result = Array(prefix.utf8)
        result.reserveCapacity(result.count + 1 + values.count + checksumCount)
        result.append(separator)
        for value in values { result.append(alphabet[Int(value)]) }
        for place in 0..<checksumCount { result.append(alphabet[Int(sum >> (5 * (5 - UInt32(place))) & 31)]) }
        return result
    }

    /// - Returns: the prefix, lower case, and the bytes; nil for what is not of this kind, mixes cases, or was mistyped.
    static func decode(_ text: String) -> (prefix: String, bytes: [UInt8])? {
        let octets = Array(text.utf8)
        return decode(octets.rawBytes)
    }

    /// As above. Where it is a secret, the caller overwrites the bytes.
    static func decode(_ text: RawSpan) -> (prefix: String, bytes: [UInt8])? {
        var octets = [UInt8](copying: text)
        var values: [UInt8] = []
        values.reserveCapacity(octets.count)
        defer {
            cleanse(&octets)
            cleanse(&values)
        }
        guard hasOneCase(octets), octets.allSatisfy({ (33...126).contains($0) }) else { return nil }
        for place in octets.indices { octets[place] = lowercased(octets[place]) }
        guard let place = octets.lastIndex(of: separator), place > 0, octets.count - place > checksumCount
        else { return nil }
        var checksum = Checksum(prefix: octets[..<place])
        for octet in octets[(place + 1)...] {
            guard let value = alphabet.firstIndex(of: octet) else { return nil }
            values.append(UInt8(value))
            checksum.add(UInt8(value))
        }
        guard checksum.sum == 1, let bytes = regroup(values.dropLast(checksumCount), from: 5, to: 8, pads: false)
        else { return nil }
        return (String(decoding: octets[..<place], as: UTF8.self), bytes)
    }

    private static func lowercased(_ octet: UInt8) -> UInt8 {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(octet) ? octet | 0x20 : octet
    }

    /// Whether there are letters, all of one case.
    private static func hasOneCase(_ octets: [UInt8]) -> Bool {
        let hasUpper = octets.contains { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) }
        let hasLower = octets.contains { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) }
        return hasUpper != hasLower
    }

    /// The BCH code's remainder, of a prefix and the values behind it.
    private struct Checksum {
        private static let generators: [UInt32] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3]
        private(set) var sum: UInt32 = 1

        init(prefix: some Collection<UInt8>) {
            for octet in prefix { add(octet >> 5) }
            add(0)
            for octet in prefix { add(octet & 31) }
        }

        mutating func add(_ value: UInt8) {
            let top = sum >> 25
            sum = (sum & 0x1ff_ffff) << 5 ^ UInt32(value)
            for (bit, generator) in Self.generators.enumerated() where top >> UInt32(bit) & 1 == 1 { sum ^= generator }
        }
    }

    /// Bits in groups of another width. Nil for padding that is too long or not zero.
    private static func regroup(
        _ values: some Collection<UInt8>, from: UInt32, to width: UInt32, pads: Bool
    ) -> [UInt8]? {
        var (bits, count): (UInt32, UInt32) = (0, 0)
        var result: [UInt8] = []
        result.reserveCapacity(values.count * Int(from) / Int(width) + 1)
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
            cleanse(&result)
            return nil
        }
        return result
    }
}
