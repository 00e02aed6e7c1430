import ByteCodec
import Testing

@Suite struct GUIDTests {
    /// Text and bytes on disk of GUIDs that VHDX names. [MS-VHDX]
    static let known: [(text: String, bytes: [UInt8])] = [
        (
            "2DC27766-F623-4200-9D64-115E9BFD4A08",
            [0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08]
        ),
        (
            "8B7CA206-4790-4B9A-B8FE-575F050F886E",
            [0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e]
        ),
        (
            "CAA16737-FA36-4D43-B3B6-33F0AA44E76B",
            [0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b]
        ),
        (
            "2FA54224-CD1B-4876-B211-5DBED83BF4B8",
            [0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8]
        ),
        (
            "BECA12AB-B2E6-4523-93EF-C309E000C746",
            [0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45, 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46]
        ),
        (
            "8141BF1D-A96F-4709-BA47-F233A8FAAB5F",
            [0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47, 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f]
        ),
        (
            "CDA348C7-445D-4471-9CC9-E9885251C556",
            [0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44, 0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56]
        ),
        (
            "A8D35F2D-B30B-454D-ABF7-D3D84834AB0C",
            [0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c]
        ),
        (
            "B04AEFB7-D19E-4A81-B789-25B8E9445913",
            [0xb7, 0xef, 0x4a, 0xb0, 0x9e, 0xd1, 0x81, 0x4a, 0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13]
        ),
    ]

    @Test func knownBytes() throws {
        for (text, bytes) in Self.known {
            let guid = try #require(GUID(text))
            #expect(guid.bytes(.little) == bytes)
            #expect(GUID(bytes.rawBytes, .little) == guid)
            #expect(guid.description == text.lowercased())
            // Big-endian order is the order of the text.
            let digits = text.filter { $0 != "-" }.lowercased()
            let inTextOrder = guid.bytes(.big).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            #expect(inTextOrder == digits)
            #expect(GUID(guid.bytes(.big).rawBytes, .big) == guid)
            #expect(GUID(bytes.rawBytes, .big) != guid)
        }
    }

    @Test func insideOtherBytes() {
        let bytes = [0xee] + Self.known[0].bytes + [0xee]
        #expect(GUID(bytes.rawBytes, at: 1, .little).description == Self.known[0].text.lowercased())
    }

    @Test func texts() {
        let guid = GUID(0x0011_2233, 0x4455, 0x6677, 0x8899_aabb_ccdd_eeff)
        let lower = "00112233-4455-6677-8899-aabbccddeeff"
        #expect(guid.description == lower)
        #expect(guid.braced == "{\(lower)}")
        for text in [
            lower, lower.uppercased(), "{\(lower)}", "{\(lower.uppercased())}", "00112233-4455-6677-8899-aAbBcCdDeEfF",
        ] {
            #expect(GUID(text) == guid, "\(text)")
        }
        #expect(GUID.zero.description == "00000000-0000-0000-0000-000000000000")
        #expect(GUID("ffffffff-ffff-ffff-ffff-ffffffffffff")?.bytes(.little) == [UInt8](repeating: 0xff, count: 16))
    }

    @Test(arguments: [
        "", "{", "}", "{}", "-", "00112233-4455-6677-8899-aabbccddeef", "00112233-4455-6677-8899-aabbccddeeff0",
        "{00112233-4455-6677-8899-aabbccddeeff", "00112233-4455-6677-8899-aabbccddeeff}",
        "{{00112233-4455-6677-8899-aabbccddeeff}}", "00112233445566778899aabbccddeeff",
        "00112233-44556677-8899-aabb-ccddeeff", "0011223-34455-6677-8899-aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddeefg", "00112233-4455-6677-8899_aabbccddeeff",
        " 00112233-4455-6677-8899-aabbccddeeff", "00112233-4455-6677-8899-aabbccddeeff\n",
        "+0112233-4455-6677-8899-aabbccddeeff", "(00112233-4455-6677-8899-aabbccddeeff)",
        "0０11223-4455-6677-8899-aabbccddee", "00112233-4455-6677-8899-aabbccddeeff\0",
    ])
    func refusedTexts(_ text: String) { #expect(GUID(text) == nil) }

    @Test func randomIsVersion4() {
        var seen: Set<GUID> = []
        for _ in 0..<500 {
            let guid = GUID.random()
            let text = Array(guid.description)
            #expect(text[14] == "4")
            #expect("89ab".contains(text[19]))
            #expect(GUID(guid.description) == guid)
            #expect(GUID(guid.bytes(.little).rawBytes, .little) == guid)
            seen.insert(guid)
        }
        #expect(seen.count == 500)
    }
}
