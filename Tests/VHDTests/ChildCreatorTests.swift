import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Foundation
import Testing
import VHD

@Suite struct ChildCreatorTests {
    static let id = GUID("c0c1c2c3-c4c5-c6c7-c8c9-cacbcccdcecf")!

    static func parent(_ type: VHDCreator.NewType = .dynamic, _ byteCount: UInt64 = 11 << 20) throws -> VHDLayer {
        try VHDLayer(reading: MemoryFile(try newImage(type, byteCount)))
    }

    static func reference(_ parent: VHDLayer, _ relative: String = "base.vhd", _ absolute: String? = nil)
        -> ParentReference
    { Parents.reference(parent.identity.id, relative, absolute) }

    @discardableResult
    static func make(
        _ file: any BlockFile, of parent: VHDLayer, _ reference: ParentReference, block: UInt64 = 2 << 20
    ) throws(DiskError) -> VHDLayer {
        try VHDCreator.createChild(
            on: file, of: parent, named: reference, blockByteCount: block, uniqueID: id,
            created: DiskTimestamp(rawValue: 0x3000_0000))
        return try VHDLayer(reading: file)
    }

    /// The least there is: a table of one sector, one path of one sector.
    @Test func bytes() throws {
        let file = MemoryFile()
        try Self.make(file, of: try Self.parent(), Self.reference(try Self.parent()))
        let bytes = file.allBytes
        #expect(bytes.count == 512 + 1024 + 512 + 512 + 512)
        #expect(Array(bytes[..<512]) == Array(bytes[2560...]))
        func field(_ range: Range<Int>) -> String {
            bytes[range].map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        }
        // 11 MiB is no whole number of tracks, so that the parent has the maximum geometry.
        #expect(field(0..<28) == "636f6e656374697800000002000100000000000000000200" + "30000000")
        #expect(field(28..<40) == "76686474" + "00010000" + "5769326b")
        #expect(field(40..<64) == "0000000000b00000" + "0000000000b00000" + "ffff10ff" + "00000004")
        #expect(field(68..<85) == "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf" + "00")
        #expect(bytes[85..<512].allSatisfy { $0 == 0 })
        #expect(field(512..<548) == "6378737061727365ffffffffffffffff00000000000006000001000000000006" + "00200000")
        #expect(field(552..<576) == "00112233445566778899aabbccddeeff" + "20000000" + "00000000")
        #expect(field(576..<594) == "0062006100730065002e007600680064" + "0000")
        #expect(bytes[592..<1088].allSatisfy { $0 == 0 })
        #expect(field(1088..<1112) == String(repeating: "0", count: 48))
        #expect(field(1112..<1136) == "57327275" + "00000200" + "00000014" + "00000000" + "0000000000000800")
        #expect(bytes[1136..<1536].allSatisfy { $0 == 0 })
        #expect(bytes[1536..<2048].allSatisfy { $0 == 0xff })
        #expect(Array(bytes[2048..<2068]) == utf16Bytes(".\\base.vhd", .little))
        #expect(bytes[2068..<2560].allSatisfy { $0 == 0 })
        for (range, sum) in [(0..<512, 64), (512..<1536, 36)] {
            #expect(Array(bytes[range]).withSum(at: sum) == Array(bytes[range]))
        }
    }

    @Test(
        arguments: [(.dynamic, 11 << 20), (.fixed, 5 << 20), (.dynamic, 4096 * 512), (.dynamic, 500 << 30)]
            as [(VHDCreator.NewType, UInt64)])
    func cleanWithAnyParent(_ type: VHDCreator.NewType, _ byteCount: UInt64) throws {
        let parent = try Self.parent(type, byteCount)
        for block in [512 << 10, 2 << 20] as [UInt64] {
            let file = MemoryFile()
            let child = try Self.make(
                file, of: parent, Self.reference(parent, "../a b/base ü.vhd", "C:\\a b\\base ü.vhd"), block: block)
            #expect(child.type == .differencing && child.geometry.virtualByteCount == byteCount)
            #expect(child.footer.geometry == parent.footer.geometry)
            #expect(child.parentLink?.identities == [parent.identity])
            #expect(
                child.parentLink?.locators == [
                    ParentLocator(kind: .relative, key: "W2ru", path: "..\\a b\\base ü.vhd"),
                    ParentLocator(kind: .absolute, key: "W2ku", path: "C:\\a b\\base ü.vhd"),
                    ParentLocator(kind: .name, key: "Parent Unicode Name", path: "base ü.vhd"),
                ])
            #expect(try child.extents(in: 0..<byteCount, limit: 9).map(\.source) == [.parent])
            let report = try VHDChecker.check(file, CheckOptions(), progress: quiet)
            #expect(report.findings.isEmpty && report.isReadable, "\(report.findings)")
            let time = DiskTimestamp(rawValue: 0x2000_0000).unixSeconds
            #expect(VHDChecker.checkParent(child: child, parent: parent, parentModificationTime: time).isEmpty)
        }
    }

    /// A child of a child, and the geometry of a parent that has another than we would write.
    @Test func grandchild() throws {
        let parent = try Good.differencing {
            $0.footer.geometry = CHSGeometry(cylinders: 7, heads: 4, sectorsPerTrack: 1)
        }
        .layer()
        let file = MemoryFile()
        let child = try Self.make(file, of: parent, Self.reference(parent), block: 4096)
        #expect(child.footer.geometry == parent.footer.geometry && child.footer.currentSize == 16384)
        #expect(try contents(child, parent: parent) == Good.disk)
        #expect(child.header?.maxTableEntries == 4)
    }

    @Test func timesAreClamped() throws {
        let parent = try Self.parent()
        for (time, raw) in [(-5, 0), (Int64.min, 0), (.max, .max), (946_684_801, 1)] as [(Int64, UInt32)] {
            var reference = Self.reference(parent)
            reference.modified = time
            #expect(try Self.make(MemoryFile(), of: parent, reference).header?.parentTimestamp == raw)
        }
    }

    @Test func longestNamesAndPaths() throws {
        let parent = try Self.parent()
        let name = String(repeating: "n", count: 256)
        let long = String(repeating: "x", count: 32768)
        let child = try Self.make(MemoryFile(), of: parent, Self.reference(parent, name, long))
        #expect(child.parentLink?.locators.map(\.path) == [".\\" + name, long, name])
        #expect(child.header?.parentLocators[0].platformDataLength == 65536)
    }

    // MARK: Refusals

    @Test(
        arguments: [
            ("", nil, "is empty"), ("/base.vhd", nil, "begins with a slash"), ("..", nil, "no file name"),
            ("a/.", nil, "no file name"), ("a\\b.vhd", nil, "backslash"), ("a\\b/c.vhd", nil, "backslash"),
            ("a\0.vhd", nil, "control character 0x0"), ("a\u{9f}/b.vhd", nil, "control character 0x9f"),
            ("b.vhd", "", "is empty"), ("b.vhd", "C:\\\n", "control character 0xa"),
            (String(repeating: "n", count: 257), nil, "257 UTF-16 units"),
            (String(repeating: "😀", count: 129), nil, "258 UTF-16 units"),
            (String(repeating: "d/", count: 16384) + "b.vhd", nil, "longer than the 65536"),
            ("b.vhd", String(repeating: "x", count: 32769), "longer than the 65536"),
        ] as [(String, String?, String)])
    func pathsThatCannotBe(_ relative: String, _ absolute: String?, _ text: String) throws {
        let (parent, file) = (try Self.parent(), MemoryFile())
        expectRefusal(text) { try Self.make(file, of: parent, Self.reference(parent, relative, absolute)) }
        #expect(file.byteCount() == 0)
        let child = MemoryFile(Children.good())
        let before = child.allBytes
        expectRefusal(text) { try VHDLinkEditor.relink(child, to: Self.reference(parent, relative, absolute)) }
        #expect(child.allBytes == before)
    }

    @Test func otherRefusals() throws {
        let parent = try Self.parent()
        let file = MemoryFile([1])
        expectRefusal("not empty") { try Self.make(file, of: parent, Self.reference(parent)) }
        #expect(file.allBytes == [1])
        expectRefusal("no power of two") { try Self.make(MemoryFile(), of: parent, Self.reference(parent), block: 513) }
        do {
            try Self.make(MemoryFile(), of: parent, Parents.reference())
            Issue.record("another parent was named")
        } catch { #expect(error.kind == .identityMismatch) }
        var nobody = Self.reference(parent)
        nobody.identity.id = .zero
        expectRefusal("all zeros") { try Self.make(MemoryFile(), of: parent, nobody) }
        nobody.identity = DiskIdentity(format: .vhdx, id: Self.id)
        expectRefusal("VHDX") { try Self.make(MemoryFile(), of: parent, nobody) }
        var own = TinyImage()
        own.footer.uniqueID = Self.id
        let twin = try own.layer()
        expectRefusal("same Unique ID") { try Self.make(MemoryFile(), of: twin, Self.reference(twin)) }
        let large = MemoryFile()
        let size = VHDCreator.largestDynamicByteCount + 512
        try VHDCreator.create(
            on: large, type: .fixed, virtualByteCount: size, uniqueID: TinyImage.id, created: DiskTimestamp(rawValue: 1)
        )
        let fixed = try VHDLayer(reading: large)
        expectRefusal("too large") { try Self.make(MemoryFile(), of: fixed, Self.reference(fixed)) }
    }

    // MARK: Power cuts

    private static func count(_ recording: RecordingFile.Recording) -> (none: Int, whole: Int, other: Int) {
        var counts = (none: 0, whole: 0, other: 0)
        PowerCuts(recording, imageLimit: 4096).forEachImage { image in
            let file = MemoryFile(image.contents)
            guard let recognised = try? VHDLayer.recognises(file), recognised else {
                return counts.none += image.marks.isEmpty ? 1 : 0
            }
            do {
                let child = try VHDLayer(reading: file)
                _ = try child.census()
                let isWhole =
                    try child.parentLink?.locators.map(\.path) == [".\\base.vhd", "C:\\base.vhd", "base.vhd"]
                    && child.extents(in: 0..<11 << 20, limit: 9).map(\.source) == [.parent]
                if isWhole { counts.whole += 1 } else { counts.other += 1 }
            } catch { counts.other += 1 }
        }
        return counts
    }

    private static func recording() throws -> RecordingFile.Recording {
        let (parent, file) = (try Self.parent(), RecordingFile(.init()))
        try make(file, of: parent, reference(parent, "base.vhd", "C:\\base.vhd"))
        file.mark(1)
        return file.recording
    }

    @Test func everyCut() throws {
        let counts = Self.count(try Self.recording())
        print("ChildCreatorTests: \(counts)")
        #expect(counts.none > 0 && counts.whole > 0 && counts.other == 0)
    }

    @Test func footersBeforeTheBodyAreCaught() throws {
        var recording = try Self.recording()
        let first = try #require(
            recording.operations.firstIndex { if case .sync = $0 { true } else { false } })
        recording.operations.remove(at: first)
        let counts = Self.count(recording)
        print("ChildCreatorTests: control, footers before the body: \(counts)")
        #expect(counts.other > 0)
    }

    @Test func everyFailingCall() throws {
        let parent = try Self.parent()
        for after in 0..<20 {
            let file = MemoryFile()
            do {
                try Self.make(FailingFile(file, after: after), of: parent, Self.reference(parent))
                #expect(after == 8, "the number of calls has changed")
                return
            } catch { #expect(error.kind == .io) }
            guard try VHDLayer.recognises(file) else { continue }
            #expect(try VHDLayer(reading: file).parentLink?.locators.count == 2)
        }
        Issue.record("twenty calls were not enough")
    }
}
