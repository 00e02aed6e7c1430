import BlockIO
import ByteCodec
import DiskModel
import Testing
import VHD

/// Rules 29 to 31, of a child and a parent that was found.
@Suite struct CheckParentTests {
    static func parent(_ change: (inout TinyImage) -> Void = { _ in }) throws -> VHDLayer {
        try Good.dynamic {
            $0.footer.uniqueID = TinyImage.parentID
            change(&$0)
        }.layer()
    }

    static let time = DiskTimestamp(rawValue: 1000)

    static func child(_ timestamp: UInt32 = time.rawValue) throws -> VHDLayer {
        try Good.differencing { $0.header?.parentTimestamp = timestamp }.layer()
    }

    static func findings(_ child: VHDLayer, _ parent: VHDLayer, _ time: Int64? = time.unixSeconds) -> [Finding] {
        VHDChecker.checkParent(child: child, parent: parent, parentModificationTime: time).map(\.finding)
    }

    @Test func theRightParent() throws {
        #expect(Self.findings(try Self.child(), try Self.parent()).isEmpty)
    }

    @Test func anotherDisk() throws {
        let found = Self.findings(try Self.child(), try Self.parent { $0.footer.uniqueID = TinyImage.id })
        #expect(found.map(\.detail.code) == [.vhdParentMismatch])
        #expect(found.first?.severity == .error && found.first?.detail.offset == 552)
    }

    @Test func changedSince() throws {
        let found = Self.findings(try Self.child(), try Self.parent(), Self.time.unixSeconds + 1)
        #expect(found.map(\.detail.code) == [.vhdParentModified])
        #expect(found.first?.severity == .warning && found.first?.detail.offset == 568)
        // A time nobody knows, or nobody noted.
        #expect(Self.findings(try Self.child(), try Self.parent(), nil).isEmpty)
        #expect(Self.findings(try Self.child(0), try Self.parent()).isEmpty)
        // Before 2000 there is no time to note.
        #expect(!Self.findings(try Self.child(), try Self.parent(), -5).isEmpty)
    }

    @Test(arguments: [16384 - 512, 8192] as [UInt64]) func anotherSize(_ size: UInt64) throws {
        let found = Self.findings(try Self.child(), try Self.parent { $0.footer.currentSize = size })
        #expect(found.map(\.detail.code) == [.vhdParentSize])
        #expect(found.first?.severity == .warning)
        #expect(found.first?.detail.offset == UInt64(Good.differencing().bytes.count - 512 + 48))
    }

    @Test func noChild() throws { #expect(Self.findings(try Self.parent(), try Self.child()).isEmpty) }
}
