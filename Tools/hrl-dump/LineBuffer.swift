import ByteCodec
import Toolbox

/// Bytes of lines on their way out, written by hand: a line costs neither an allocation nor a `String`.
///
/// A line is begun with `reserve`, which makes room for all of it; the puts after it only check that they stay inside.
@safe struct LineBuffer: ~Copyable {
    private static let flushByteCount = 128 << 10
    /// 10^19 is the largest that a number can hold.
    private static let powerCount = 20

    /// "00" to "99", two bytes each. Here, where finding them takes no lock.
    private let pairs: UnsafeMutablePointer<UInt16>
    private let powersOfTen: UnsafeMutablePointer<UInt64>
    private let out: OutputStream
    private var memory: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    init(_ out: OutputStream) {
        self.out = out
        unsafe memory = .allocate(byteCount: 2 * Self.flushByteCount, alignment: 64)
        unsafe pairs = .allocate(capacity: 100)
        for pair in UInt16(0)..<100 {
            // The tens stand first in memory.
            unsafe pairs[Int(pair)] = UInt16(littleEndian: (48 + pair / 10) | (48 + pair % 10) << 8)
        }
        unsafe powersOfTen = .allocate(capacity: Self.powerCount)
        unsafe powersOfTen[0] = 1
        for power in 1..<Self.powerCount { unsafe powersOfTen[power] = powersOfTen[power - 1] * 10 }
    }

    deinit {
        unsafe memory.deallocate()
        unsafe pairs.deallocate()
        unsafe powersOfTen.deallocate()
    }

    /// Makes room for a line of at most so many bytes.
    mutating func reserve(_ byteCount: Int) throws {
        if unsafe count + byteCount > memory.count || count >= Self.flushByteCount { try flush() }
        if unsafe byteCount > memory.count {
            unsafe memory.deallocate()
            unsafe memory = .allocate(byteCount: byteCount, alignment: 64)
        }
    }

    /// Sends everything.
    mutating func flush() throws {
        guard count > 0 else { return }
        let bytes = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: memory[..<count]))
        count = 0
        try out.write(bytes)
    }

    private mutating func claim(_ byteCount: Int) -> Int {
        let start = count
        unsafe precondition(byteCount <= memory.count - start, "a line longer than was reserved")
        count = start + byteCount
        return start
    }

    mutating func put(byte: UInt8) {
        let start = claim(1)
        // SAFETY: claimed, here and below.
        unsafe memory.storeBytes(of: byte, toByteOffset: start, as: UInt8.self)
    }

    mutating func put(_ text: StaticString) {
        let start = claim(text.utf8CodeUnitCount)
        unsafe memory.baseAddress!.advanced(by: start).copyMemory(
            from: text.utf8Start, byteCount: text.utf8CodeUnitCount)
    }

    mutating func put(_ bytes: [UInt8]) {
        let start = claim(bytes.count)
        unsafe bytes.withUnsafeBytes { source in
            guard let from = source.baseAddress else { return }
            unsafe memory.baseAddress!.advanced(by: start).copyMemory(from: from, byteCount: source.count)
        }
    }

    /// A decimal number.
    mutating func put(_ value: UInt64) {
        let start = claim(digitCount(value))
        var (rest, position) = (value, count)
        while rest >= 100 {
            position -= 2
            let (quotient, pair) = rest.quotientAndRemainder(dividingBy: 100)
            storePair(Int(truncatingIfNeeded: pair), at: position)
            rest = quotient
        }
        if position - start == 2 {
            storePair(Int(truncatingIfNeeded: rest), at: start)
        } else {
            unsafe memory.storeBytes(
                of: UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest), toByteOffset: start, as: UInt8.self)
        }
    }

    /// A decimal number, right-aligned in `width` bytes or more.
    mutating func put(_ value: UInt64, width: Int) {
        let padding = max(0, width - digitCount(value))
        for _ in 0..<padding { put(byte: UInt8(ascii: " ")) }
        put(value)
    }

    /// Two lower-case digits a byte.
    mutating func put(hexadecimal bytes: RawSpan) {
        let start = claim(2 * bytes.byteCount)
        unsafe bytes.withUnsafeBytes { source in
            for index in 0..<source.count {
                let byte = unsafe source[index]
                unsafe memory.storeBytes(
                    of: Self.hexadecimal(byte >> 4), toByteOffset: start + 2 * index, as: UInt8.self)
                unsafe memory.storeBytes(
                    of: Self.hexadecimal(byte & 15), toByteOffset: start + 2 * index + 1, as: UInt8.self)
            }
        }
    }

    /// A hexadecimal number of at least so many digits.
    mutating func put(hexadecimal value: UInt64, digits: Int) {
        let needed = max(digits, (67 - value.leadingZeroBitCount) / 4)
        for index in (0..<needed).reversed() {
            put(byte: Self.hexadecimal(index < 16 ? UInt8(truncatingIfNeeded: value >> UInt64(4 * index)) & 15 : 0))
        }
    }

    private static func hexadecimal(_ digit: UInt8) -> UInt8 {
        digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
    }

    private func digitCount(_ value: UInt64) -> Int {
        // 1233 / 4096 is a little more than log10(2): right, or one too few; at most 19.
        let estimate = ((64 - (value | 1).leadingZeroBitCount) * 1233) >> 12
        return estimate + (unsafe (value | 1) >= powersOfTen[estimate] ? 1 : 0)
    }

    /// The pair is below 100, and the position inside what was claimed.
    private func storePair(_ pair: Int, at position: Int) {
        unsafe memory.storeBytes(of: pairs[pair], toByteOffset: position, as: UInt16.self)
    }
}
