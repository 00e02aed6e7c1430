import BlockIO
import ByteCodec
import DiskModel
import Testing
import VHD

/// Writing into copies of real children, made by Windows and by XenServer: what was written is there, all other bytes are
/// the same.
@Suite struct DifferencingCorpusTests {
    /// A copy of a real child in memory, mended where it was edited by hand, and its parent.
    static func child(_ name: String) throws -> (OverlayFile, VHDLayer)? {
        guard let below = try RealImages.open(name), let parentName = CorpusTests.parents[name],
            let parent = try CorpusTests.layer(parentName)
        else { return nil }
        let file = try OverlayFile(over: below)
        if name.hasPrefix("image") { _ = try VHDChecker.repair(file, [.checksums], .init()) { _, _ in } }
        return (file, parent)
    }

    @Test(arguments: CorpusTests.parents.keys.sorted()) func writing(_ name: String) throws {
        guard let (file, parent) = try Self.child(name) else { return }
        let disk = try VHDLayer(writing: file)
        let size = disk.geometry.virtualByteCount
        let (identity, link) = (disk.identity, disk.parentLink?.locators)
        var expected = try contents(disk, 0..<size, parent: parent)
        let end = size.roundedDown(to: 512)
        for (index, share) in [0, 1, 3, 4, 7, 8].enumerated() {
            let start = min(end / 8 * UInt64(share) / 512 * 512, end - 2048)
            let range = start + 512..<start + 2048
            if index % 3 == 1 {
                try disk.writeZeroes(range)
                expected.replaceSubrange(Int(range.lowerBound)..<Int(range.upperBound), with: [UInt8].zeros(1536))
            } else {
                let bytes = [UInt8](repeating: 0xd0 + UInt8(index), count: 1536)
                try disk.write(bytes.rawBytes, at: range.lowerBound)
                expected.replaceSubrange(Int(range.lowerBound)..<Int(range.upperBound), with: bytes)
            }
            if index == 2 { try disk.flush() }
        }
        #expect(try contents(disk, 0..<size, parent: parent) == expected)
        try disk.close()
        let reader = try VHDLayer(reading: file)
        #expect(try contents(reader, 0..<size, parent: parent) == expected)
        #expect(reader.identity == identity && reader.parentLink?.locators == link)
        var options = CheckOptions()
        options.isDeep = true
        let report = try VHDChecker.check(file, options) { _, _ in }
        #expect(report.count(.error) == 0 && report.isReadable, "\(report.findings)")
        print("DifferencingCorpusTests: \(name): \(expected.count) bytes compared")
    }
}
