import BlockIO
import ByteCodec
import DiskModel
import Foundation
import Testing

@testable import VHDX

/// Images of other makers, and what qemu says about those that we call clean.
@Suite(.serialized) struct CheckImagesTests {
    static let fixtures: [String] = {
        let folder = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Fixtures").path
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.filter { $0.hasSuffix(".vhdx.gz") }.sorted().map { folder + "/" + $0 }
    }()

    private static func codes(_ report: CheckReport, _ severity: Finding.Severity) -> Set<String> {
        Set(report.findings.filter { $0.finding.severity == severity }.map { $0.finding.detail.code.rawValue })
    }

    private static func tell(_ name: String, _ report: CheckReport) {
        print(
            "VHDX check, \(name): errors \(codes(report, .error).sorted()), warnings "
                + "\(codes(report, .warning).sorted()), information \(codes(report, .information).sorted())")
    }

    @Test(.enabled(if: CorpusTests.folder != nil), arguments: CorpusTests.expectations)
    func corpus(_ expectation: CorpusTests.Expectation) throws {
        let report = try check(try CorpusTests.image(expectation.file).contents, isDeep: true)
        Self.tell(expectation.file, report)
        #expect(report.count(.error) == 0, "\(report.lines(.error))")
        #expect(report.isReadable)
        #expect(Self.codes(report, .warning) == (expectation.log == "dirty" ? ["VHDX005"] : []), "\(report.lines())")
    }

    @Test func fixturesAreThere() { #expect(Self.fixtures.count == 5) }

    @Test(arguments: fixtures) func fixture(_ path: String) throws {
        let name = String(path.split(separator: "/").last!)
        let report = try check(try CorpusTests.unpacked(path, name).contents, isDeep: true)
        Self.tell(name, report)
        let warnings: Set<String> =
            name.hasPrefix("dirty") ? ["VHDX005"] : name.hasPrefix("fixed") ? ["VHDX026"] : []
        #expect(report.count(.error) == 0, "\(report.lines(.error))")
        #expect(Self.codes(report, .warning).isSubset(of: warnings), "\(report.lines(.warning))")
    }

    /// The lossless repairs on real images: what they show stays.
    @Test(.enabled(if: CorpusTests.folder != nil), arguments: CorpusTests.expectations)
    func corpusRepaired(_ expectation: CorpusTests.Expectation) throws {
        guard expectation.type != "differencing" else { return }
        let file = try CorpusTests.image(expectation.file)
        let actions = try VHDXChecker.repair(file, RepairKind.lossless, CheckOptions()) { _, _ in }
        print("VHDX repair, \(expectation.file): \(actions.map { "\($0.kind.rawValue) \($0.what)" })")
        #expect(try CorpusTests.hash(try VHDXLayer(reading: file), parent: nil) == expectation.hash)
        let report = try check(file.contents)
        #expect(report.findings.allSatisfy { $0.repairs.isEmpty }, "\(report.lines())")
    }

    @Test(
        .enabled(if: QemuTests.program != nil),
        arguments: [
            "subformat=dynamic", "subformat=fixed", "subformat=fixed,block_state_zero=off", "block_size=1M",
            "block_size=256M", "block_state_zero=off", "log_size=4M", "log_size=64M,block_size=2M",
        ])
    func imagesOfQemu(_ options: String) throws {
        try QemuTests.withFolder { folder in
            let path = folder + "/q.vhdx"
            let made = try QemuTests.run(["create", "-f", "vhdx", "-o", options, path, "300M"])
            #expect(made.status == 0, "\(made.output)")
            let report = try VHDXChecker.check(try PosixFile(path), CheckOptions()) { _, _ in }
            Self.tell("qemu-img \(options)", report)
            #expect(report.count(.error) == 0, "\(report.lines(.error))")
            // Blocks that are all there, the last one cut at the disk's end; or none.
            let isFixed = options.contains("fixed")
            let expected = !isFixed ? [] : options.contains("zero=off") ? ["VHDX027"] : ["VHDX026"]
            #expect(Self.codes(report, .warning) == Set(expected), "\(report.lines())")
            // All of it, allocation too.
            let kinds = RepairKind.lossless.union([.tails, .allocate])
            _ = try VHDXChecker.repair(try PosixFile(path, .write), kinds, CheckOptions()) { _, _ in }
            let after = try VHDXChecker.check(try PosixFile(path), CheckOptions()) { _, _ in }
            #expect(after.worst ?? .information == .information, "\(after.lines())")
            let checked = try QemuTests.run(["check", "-f", "vhdx", path])
            #expect(checked.status == 0, "\(checked.output)")
        }
    }

    /// What has neither error nor warning, qemu calls clean too.
    @Test(.enabled(if: QemuTests.program != nil)) func cleanImagesAreCleanForQemu() throws {
        var images: [(name: String, contents: MemoryFile.Contents)] = []
        for kind in GoodImage.Kind.allCases { images.append((kind.rawValue, try GoodImage.make(kind).contents)) }
        for planted in CheckRulesTests.planted {
            let contents = try planted.image().contents
            images.append((planted.name, contents))
            for mending in planted.mendings {
                images.append(("\(planted.name), mended", try repair(contents, [mending.kind]).contents))
            }
        }
        var count = 0
        try QemuTests.withFolder { folder in
            for (name, contents) in images {
                let report = try check(contents)
                guard report.isReadable, report.worst ?? .information == .information,
                    try VHDXLayer(reading: MemoryFile(contents)).type != .differencing
                else { continue }
                count += 1
                let path = folder + "/a.vhdx"
                try QemuTests.store(contents, path)
                let checked = try QemuTests.run(["check", "-f", "vhdx", path])
                #expect(checked.status == 0, "\(name): \(checked.output)")
            }
        }
        print("VHDX: qemu-img agrees on \(count) images that the checker calls clean")
        #expect(count > 30)
    }
}
