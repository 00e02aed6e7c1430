import BlockIO
import ByteCodec
import DiskModel
import RawDisk
import Testing
import ToolTesting

@testable import ImageChain

/// What is refused, and what is said, before an image gets another size. Raw images are resized here; the other formats
/// have tests of their own.
@Suite struct ResizingTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private func resizing(_ name: String, _ target: ResizeTarget, raw: Bool = true) throws -> Resizing {
        let file = OpenedFile(try PosixFile(scratch.path(name), .write))
        let options = OpenOptions(format: raw ? .raw : nil, parentFolders: [scratch.folder])
        return try Resizing(file, to: target, options) { (_, _) throws(DiskError) in }
    }

    private func raw(_ byteCount: Int) throws -> String {
        try scratch.write("disk.raw", [UInt8](repeating: 1, count: byteCount))
    }

    @Test func rawBothWays() throws {
        let path = try raw(8192)
        let larger = try resizing("disk.raw", .larger(by: 4096))
        #expect(larger.plan.newVirtualByteCount == 12288 && larger.tail == nil && larger.changesSize)
        #expect(try fileBytes(path).count == 8192, "nothing is done before perform")
        _ = try larger.perform { (_, _) throws(DiskError) in }
        #expect(try fileBytes(path) == [UInt8](repeating: 1, count: 8192) + [UInt8](repeating: 0, count: 4096))
    }

    @Test func rawSmaller() throws {
        let path = try raw(8192)
        let smaller = try resizing("disk.raw", .smaller(by: 512))
        #expect(smaller.tail?.firstNonzero == 7680 && smaller.tail?.storedByteCount == 512)
        _ = try smaller.perform { (_, _) throws(DiskError) in }
        #expect(try fileBytes(path) == [UInt8](repeating: 1, count: 7680))
    }

    @Test func sizesThatCannotBe() throws {
        _ = try raw(8192)
        for target: ResizeTarget in [
            .exactly(0), .exactly(8191), .exactly(.max), .larger(by: .max), .larger(by: 1), .smaller(by: 8192),
            .smaller(by: .max),
        ] {
            try diskError(.refused) { _ = try resizing("disk.raw", target) }
        }
        #expect(try resizing("disk.raw", .exactly(8192)).changesSize == false)
        #expect(
            try diskError(.refused) { _ = try resizing("disk.raw", .exactly(1000)) }.hint?.hasSuffix("512 and 1024")
                == true)
    }

    /// A child may not come to show what its parent has past the child's old end.
    @Test(arguments: [(24576, 24576, true), (24576, 16896, true), (16384, 24576, false), (8192, 24576, false)])
    func childrenDoNotShowTheirParentsEnd(parentSize: Int, newSize: UInt64, isRefused: Bool) throws {
        _ = try scratch.write("parent.vhd", try ChainImages.vhdBase(1, size: parentSize, fill: 1))
        let child = ChainImages.vhdChild(2, of: 1, size: 16384, [.relative(".\\parent.vhd")])
        _ = try scratch.write("child.vhd", child)
        let chain = try ImageChain.open(scratch.path("child.vhd"))
        if isRefused {
            let error = try diskError(.refused) { try Resizing.refuseShowingParent(chain, to: newSize) }
            #expect(error.explanation.contains("parent.vhd has \(parentSize) bytes and the child 16384"))
            try diskError(.refused) { _ = try resizing("child.vhd", .exactly(newSize), raw: false) }
        } else {
            try Resizing.refuseShowingParent(chain, to: newSize)
        }
    }
}
