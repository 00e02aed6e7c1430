import BlockIO
import ByteCodec
import DiskModel
import Foundation
import Testing
import VHD

/// What qemu and libvhdi say of children that we made or gave another parent.
@Suite struct LinkPeerTests {
    struct Output {
        var exit: Int32
        var text: String
    }

    static func run(_ program: String, _ arguments: [String]) throws -> Output? {
        guard FileManager.default.isExecutableFile(atPath: program) else {
            print("SKIPPED: no \(program) here: VHD children are not shown to it")
            return nil
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        let pipe = Pipe()
        (process.standardOutput, process.standardError) = (pipe, pipe)
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Output(exit: process.terminationStatus, text: String(decoding: data, as: UTF8.self))
    }

    /// libvhdi names the parent, and qemu, which ignores parents, finds size and block size.
    static func expectKnown(_ contents: MemoryFile.Contents, _ parent: ParentReference, byteCount: UInt64) throws {
        let path = NSTemporaryDirectory() + "/vhdtests-\(UUID().uuidString).vhd"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data(contents.allBytes).write(to: URL(fileURLWithPath: path))
        if let info = try run("/usr/bin/vhdiinfo", [path]) {
            #expect(info.exit == 0 && info.text.contains("Differential"), "\(info.text)")
            #expect(info.text.contains("Parent identifier\t: \(parent.identity.id)"), "\(info.text)")
            #expect(info.text.contains("Parent filename\t\t: \(parent.name)\n"), "\(info.text)")
            #expect(info.text.contains("(\(byteCount) bytes)"), "\(info.text)")
        }
        if let info = try run("/usr/bin/qemu-img", ["info", "-f", "vpc", path]) {
            #expect(info.exit == 0 && info.text.contains("(\(byteCount) bytes)"), "\(info.text)")
            #expect(info.text.contains("cluster_size: 2097152"), "\(info.text)")
        }
    }

    @Test(arguments: [11 << 20, 104_865_792] as [UInt64]) func newChildAndAnotherParent(_ byteCount: UInt64) throws {
        let parent = try ChildCreatorTests.parent(.dynamic, byteCount)
        let file = MemoryFile()
        let reference = ChildCreatorTests.reference(parent, "../pool/base ü.vhd", "C:\\pool\\base ü.vhd")
        try ChildCreatorTests.make(file, of: parent, reference)
        try Self.expectKnown(file.contents, reference, byteCount: byteCount)
        try VHDLinkEditor.relink(file, to: Parents.longPaths)
        try Self.expectKnown(file.contents, Parents.longPaths, byteCount: byteCount)
        try VHDLinkEditor.setParentID(file, to: Parents.thirdID)
        var third = Parents.longPaths
        third.identity.id = Parents.thirdID
        try Self.expectKnown(file.contents, third, byteCount: byteCount)
    }
}
