import BlockIO
import ByteCodec
import DiskModel
import Foundation
import Testing
import VHD

/// Real images have no errors, and no repair that costs nothing changes what they show.
@Suite struct CheckCleanTests {
    static var deep: CheckOptions {
        var options = CheckOptions()
        options.isDeep = true
        options.now = Int64(Date().timeIntervalSince1970)
        return options
    }

    static func summary(_ report: CheckReport) -> String {
        let lines = report.findings.map { "\($0.finding.severity.rawValue) \($0.finding.detail.code)" }
        return Set(lines).sorted().map { line in "\(line) × \(lines.count { $0 == line })" }.joined(separator: ", ")
    }

    @Test(arguments: RealImages.rows) func corpus(_ row: RealImages.Row) throws {
        guard let file = try RealImages.open(row.file) else { return }
        let report = try VHDChecker.check(file, Self.deep) { _, _ in }
        print("CheckCleanTests: \(row.file): \(Self.summary(report))")
        // Two were edited by hand; see the corpus's README.
        let expected: Set<FormatError.Code> = row.file.hasPrefix("image") ? [.vhdChecksum] : []
        let errors = report.findings.filter { $0.finding.severity == .error }
        #expect(Set(errors.map(\.finding.detail.code)) == expected, "\(errors.map(\.finding.detail.description))")
        #expect(report.isReadable == expected.isEmpty)
        try Self.mend(file, row, isReadable: report.isReadable)
    }

    /// Mends what costs nothing, in memory: every byte stays where it was.
    private static func mend(_ file: PosixFile, _ row: RealImages.Row, isReadable: Bool) throws {
        func extents(_ file: any BlockFile) throws -> [Extent] {
            var options = VHDReadOptions()
            options.accepted = [.vhdChecksum]
            var result: [Extent] = []
            try VHDLayer(reading: file, options: options).forEachExtent(in: 0..<row.byteCount) { result.append($0) }
            return result
        }
        let copy = try OverlayFile(over: file)
        let actions = try VHDChecker.repair(copy, RepairKind.lossless, .init()) { _, _ in }
        print("CheckCleanTests: \(row.file) mended: \(actions.map { "\($0.code): \($0.what)" })")
        if row.type == "fixed" {
            #expect(try contents(VHDLayer(reading: copy)) == contents(VHDLayer(reading: file)))
        } else {
            #expect(try extents(copy) == extents(file))
        }
        let report = try VHDChecker.check(copy, .init()) { _, _ in }
        #expect(report.isReadable, "\(report.findings)")
        if isReadable { #expect(report.count(.error) == 0) }
    }

    @Test func fixtures() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("Fixtures").path
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".vhd.gz") }
        #expect(names.count >= 4)
        for name in names.sorted() {
            let file = try RealImages.unpack("\(folder)/\(name)")
            let report = try VHDChecker.check(file, Self.deep) { _, _ in }
            print("CheckCleanTests: \(name): \(Self.summary(report))")
            #expect(report.count(.error) == 0 && report.isReadable, "\(report.findings)")
        }
    }

    static let sizes: [(options: String, size: String)] = [
        ("subformat=fixed", "1M"), ("subformat=fixed,force_size=on", "5M"), ("subformat=dynamic", "1M"),
        ("subformat=dynamic", "100M"), ("subformat=dynamic,force_size=on", "64M"),
        ("subformat=dynamic,force_size=on", "3G"), ("subformat=dynamic", "200G"),
    ]

    @Test(arguments: sizes.indices) func qemu(_ index: Int) throws {
        guard QemuTests.program != nil else { return }
        let folder = NSTemporaryDirectory() + "/vhdtests-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (options, size) = Self.sizes[index]
        let path = folder + "/q.vhd"
        #expect(try QemuTests.run(["create", "-q", "-f", "vpc", "-o", options, path, size]) == 0)
        let file = try PosixFile(path)
        let report = try VHDChecker.check(file, Self.deep) { _, _ in }
        print("CheckCleanTests: qemu-img \(options) \(size): \(Self.summary(report))")
        #expect(report.count(.error) == 0 && report.isReadable, "\(report.findings)")
    }

    /// Images of ours, written and closed, give no warning at all.
    @Test func ours() throws {
        for (type, size) in [(VHDCreator.NewType.fixed, 3 << 20), (.dynamic, 11 << 20)]
            as [(VHDCreator.NewType, UInt64)]
        {
            let file = MemoryFile(try newImage(type, size, block: 512 << 10))
            let disk = try VHDLayer(writing: file)
            for offset in stride(from: UInt64(0), to: size, by: 1_300_480) {
                try disk.write([UInt8](repeating: 7, count: 512).rawBytes, at: offset)
            }
            try disk.close()
            let report = try VHDChecker.check(file, Self.deep) { _, _ in }
            #expect(report.findings.isEmpty, "\(report.findings)")
        }
    }
}
