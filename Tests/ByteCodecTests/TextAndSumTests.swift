import ByteCodec
import Testing

@Suite struct UTF16TextTests {
    @Test(arguments: ["", "a", ".\\Parent.vhd", "ß", "日本語.vhdx", "😀 x", "\u{0}", "a\u{0}b"])
    func roundTrip(_ text: String) {
        for order in [ByteOrder.little, .big] {
            let bytes = utf16Bytes(text, order)
            #expect(bytes.count == 2 * text.utf16.count)
            #expect(strictUTF16(bytes.rawBytes, order) == text)
        }
    }

    @Test func orders() {
        #expect(utf16Bytes("aß", .little) == [0x61, 0x00, 0xdf, 0x00])
        #expect(utf16Bytes("aß", .big) == [0x00, 0x61, 0x00, 0xdf])
        #expect(utf16Bytes("😀", .big) == [0xd8, 0x3d, 0xde, 0x00])
    }

    /// Unpaired surrogates: a first half alone, at the end, doubled; a second half alone; the halves swapped.
    @Test(
        arguments: [
            [0xd8, 0x3d], [0xd8, 0x3d, 0x00, 0x61], [0x00, 0x61, 0xd8, 0x3d], [0xd8, 0x3d, 0xd8, 0x3d], [0xde, 0x00],
            [0xde, 0x00, 0xd8, 0x3d],
        ] as [[UInt8]])
    func unpaired(_ bytes: [UInt8]) {
        #expect(strictUTF16(bytes.rawBytes, .big) == nil)
        let shown = lenientUTF16(bytes.rawBytes, .big)
        #expect(shown.contains("\u{fffd}"))
        #expect(shown.contains("a") == bytes.contains(0x61))
    }

    @Test func oddLength() {
        #expect(strictUTF16([0x61].rawBytes, .little) == nil)
        #expect(strictUTF16([0x61, 0, 0x62].rawBytes, .little) == nil)
        #expect(lenientUTF16([0x61, 0, 0x62].rawBytes, .little) == "a")
        #expect(lenientUTF16([UInt8]().rawBytes, .little) == "")
    }

    @Test func lenientEndsAtNUL() {
        #expect(lenientUTF16(utf16Bytes("QEMU\u{0}rest", .little).rawBytes, .little) == "QEMU")
        #expect(lenientUTF16(utf16Bytes("\u{0}x", .big).rawBytes, .big) == "")
    }
}

@Suite struct ChecksumTests {
    @Test func crcVectors() {
        func check(_ bytes: [UInt8], _ expected: UInt32) { #expect(crc32c(bytes.rawBytes) == expected) }
        check([], 0)
        check(Array("123456789".utf8), 0xe306_9283)
        check(.zeros(32), 0x8a91_36aa)
        check([UInt8](repeating: 0xff, count: 32), 0x62a8_ab43)
        check(Array(0...31), 0x46dd_794e)
        check((0...31).reversed(), 0x113f_db5c)
        check(.zeros(4096), 0x98f9_4189)
        check(.zeros(65536), 0x72c0_c4a4)
    }

    @Test func crcInPieces() {
        let bytes = (0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 3) }
        let whole = crc32c(bytes.rawBytes)
        for cut in [0, 1, 7, 8, 63, 64, 511, 512, 4095, 4999, 5000] {
            let first = crc32c(bytes.rawBytes.extracting(0..<cut))
            #expect(crc32c(bytes.rawBytes.extracting(cut..<5000), initial: first) == whole)
        }
    }

    /// The header of the VHDX reference's vectors.
    @Test func crcSkippingItsField() {
        var header = [UInt8].zeros(4096)
        var raw = header.mutableRawBytes
        let id = GUID(0x0011_2233, 0x4455, 0x6677, 0x8899_aabb_ccdd_eeff).bytes(.little)
        raw.copy(Array("head".utf8).rawBytes, at: 0)
        raw.store(0xdead_beef as UInt32, at: 4, .little)
        raw.store(1 as UInt64, at: 8, .little)
        raw.copy(id.rawBytes, at: 16)
        raw.copy(id.rawBytes, at: 32)
        raw.store(1 as UInt16, at: 66, .little)
        raw.store(0x10_0000 as UInt32, at: 68, .little)
        raw.store(0x10_0000 as UInt64, at: 72, .little)
        #expect(crc32c(header.rawBytes, skippingField: 4) == 0x26c5_251a)
        header[5] = 0
        #expect(crc32c(header.rawBytes, skippingField: 4) == 0x26c5_251a)
        header[8] = 2
        #expect(crc32c(header.rawBytes, skippingField: 4) != 0x26c5_251a)
    }

    /// The fixed footer of the VHD reference's vectors: the first 85 bytes, the rest zeros.
    @Test func footerSum() {
        let text =
            "636f6e65637469780000000200010000ffffffffffffffff0000000077696e20000a00005769326b0000000000a00000"
            + "0000000000a00000012d041100000002ffffe85500112233445566778899aabbccddeeff00"
        let digits = Array(text.utf8)
        var footer = stride(from: 0, to: digits.count, by: 2).map {
            UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)!
        }
        #expect(footer.count == 85)
        footer += [UInt8].zeros(512 - 85)
        #expect(complementedByteSum(footer.rawBytes, skippingField: 64) == 0xffff_e855)
        footer[64] = 0x12
        #expect(complementedByteSum(footer.rawBytes, skippingField: 64) == 0xffff_e855)
        footer[511] = 1
        #expect(complementedByteSum(footer.rawBytes, skippingField: 64) == 0xffff_e854)
    }

    /// An unused entry of a log is all zeros; the algorithm gives all ones.
    @Test func sumsOfZerosAndOnes() {
        #expect(complementedByteSum([UInt8].zeros(32).rawBytes, skippingField: 8) == 0xffff_ffff)
        #expect(byteSum([UInt8](repeating: 0xff, count: 1000).rawBytes) == 255_000)
        #expect(byteSum([UInt8]().rawBytes) == 0)
        let odd = (0..<4099).map { UInt8(truncatingIfNeeded: $0) }
        #expect(byteSum(odd.rawBytes) == odd.reduce(0) { $0 + UInt32($1) })
        #expect(byteSum(odd.rawBytes.extracting(3..<4098)) == odd[3..<4098].reduce(0) { $0 + UInt32($1) })
    }

    @Test func zeroTest() {
        for count in [0, 1, 7, 8, 63, 64, 65, 127, 128, 4096, 5000] {
            var bytes = [UInt8].zeros(count)
            #expect(isZero(bytes.rawBytes) == true)
            for place in Set([0, 1, count / 2, count - 2, count - 1]) where bytes.indices.contains(place) {
                bytes[place] = 0x40
                #expect(isZero(bytes.rawBytes) == false, "\(count) bytes, \(place)")
                bytes[place] = 0
            }
        }
    }
}

@Suite struct ArithmeticTests {
    @Test func checked() {
        #expect(UInt64.max.adding(0) == .max)
        #expect(UInt64.max.adding(1) == nil)
        #expect((UInt64.max - 5).adding(5) == .max)
        #expect((UInt64(1) << 32).multiplied(by: 1 << 32) == nil)
        #expect((UInt64(1) << 32).multiplied(by: (1 << 32) - 1) == UInt64.max - (1 << 32) + 1)
        #expect(UInt64.max.multiplied(by: 0) == 0)
        #expect(checkedRange(.max, 0) == .max ..< .max)
        #expect(checkedRange(.max, 1) == nil)
        #expect(checkedRange(5, 7) == 5..<12)
    }

    @Test func rounding() {
        #expect(UInt64(0).roundedUp(to: 512) == 0)
        #expect(UInt64(1).roundedUp(to: 512) == 512)
        #expect(UInt64(512).roundedUp(to: 512) == 512)
        #expect(UInt64(513).roundedDown(to: 512) == 512)
        #expect(UInt64.max.roundedDown(to: 4096) == UInt64.max - 4095)
        #expect(UInt64.max.roundedUp(to: 1) == .max)
        #expect(UInt64.max.dividedRoundingUp(by: 2) == 1 << 63)
        #expect(UInt64(0).dividedRoundingUp(by: 7) == 0)
        #expect(UInt64(7).dividedRoundingUp(by: 7) == 1)
        #expect(UInt64(8).dividedRoundingUp(by: 7) == 2)
        #expect(!UInt64(0).isPowerOfTwo && !UInt64(3).isPowerOfTwo && !UInt64.max.isPowerOfTwo)
        #expect(UInt64(1).isPowerOfTwo && (UInt64(1) << 63).isPowerOfTwo)
    }
}

@Suite struct BytesTests {
    @Test func integersAnywhere() {
        let bytes: [UInt8] = Array(0...20)
        #expect(bytes.rawBytes.integer(at: 3, as: UInt16.self, .little) == 0x0403)
        #expect(bytes.rawBytes.integer(at: 3, as: UInt16.self, .big) == 0x0304)
        #expect(bytes.rawBytes.integer(at: 13, as: UInt64.self, .big) == 0x0d0e_0f10_1112_1314)
        #expect(bytes.rawBytes.array(1..<4) == [1, 2, 3])
    }

    @Test func stores() {
        var bytes = [UInt8](repeating: 0xee, count: 12)
        var raw = bytes.mutableRawBytes
        raw.store(0x0102_0304 as UInt32, at: 1, .big)
        raw.store(0x0506 as UInt16, at: 5, .little)
        raw.copy([7, 8].rawBytes, at: 7)
        raw.copy([UInt8]().rawBytes, at: 12)
        raw.zero(10..<11)
        raw.withPart(11..<12) { $0.store(9 as UInt8, at: 0, .little) }
        #expect(bytes == [0xee, 1, 2, 3, 4, 6, 5, 7, 8, 0xee, 0, 9])
    }

    /// A copy of an array does not see what is stored into the original.
    @Test func copiesAreApart() {
        var bytes: [UInt8] = [1, 2, 3]
        let copy = bytes
        var raw = bytes.mutableRawBytes
        raw.store(9 as UInt8, at: 0, .little)
        #expect(copy == [1, 2, 3])
        #expect(bytes == [9, 2, 3])
        #expect([UInt8](copying: copy.rawBytes.extracting(1..<3)) == [2, 3])
    }
}

@Suite struct FindingsTests {
    static let code = FormatError.Code("TEST001")
    static func error(_ number: UInt64 = 0, _ code: FormatError.Code = code) -> FormatError {
        FormatError(code, field: "Field", offset: number, "is wrong", section: "1")
    }

    @Test func refuses() {
        var findings = Findings(accepting: [.init("OTHER")])
        #expect(throws: Self.error(7)) { try findings.refuse(Self.error(7)) }
        #expect(findings.all.isEmpty)
    }

    @Test func accepts() throws {
        var findings = Findings(accepting: [Self.code])
        try findings.refuse(Self.error(7))
        findings.warn(Self.error(8, .init("OTHER")))
        #expect(findings.all == [Finding(.error, Self.error(7)), Finding(.warning, Self.error(8, .init("OTHER")))])
        #expect(throws: FormatError.self) { try findings.refuse(Self.error(9, .init("OTHER"))) }
    }

    @Test func keepsNoMoreThanTheLimit() {
        var findings = Findings()
        for number in 0..<UInt64(Findings.keptCount) + 25 { findings.note(.information, Self.error(number)) }
        #expect(findings.all.count == Findings.keptCount)
        #expect(findings.droppedCount == 25)
        #expect(findings.all.last?.detail.offset == UInt64(Findings.keptCount) - 1)
    }

    @Test func orderOfSeverities() {
        #expect(Finding.Severity.information < .warning && .warning < Finding.Severity.error)
        #expect(!(Finding.Severity.error < .error))
        #expect(Finding.Severity.information.rawValue == "info")
    }

    @Test func texts() {
        #expect(Self.error(0x1000).description == "TEST001: Field is wrong (offset 0x1000)")
        #expect(FormatError.Code("A") < FormatError.Code("B"))
    }
}
