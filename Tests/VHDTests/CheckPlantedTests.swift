import BlockIO
import ByteCodec
import DiskModel
import Testing
import VHD

/// Every rule, by planting its breach in an image with no other: it is found, nothing else is, and its repairs mend it.
@Suite struct CheckPlantedTests {
    /// What the good images show of their own.
    static let always: Set<FormatError.Code> = [.vhdUnusualBlockSize, .vhdFixedLength]

    static func check(_ bytes: [UInt8], _ options: CheckOptions = .init()) throws -> CheckReport {
        let file = MemoryFile(bytes)
        let report = try VHDChecker.check(file, options) { _, _ in }
        #expect(file.allBytes == bytes, "a check changed the file")
        return report
    }

    static func repaired(_ bytes: [UInt8], _ kinds: Set<RepairKind>) throws -> ([UInt8], [RepairAction]) {
        let file = MemoryFile(bytes)
        let actions = try VHDChecker.repair(file, kinds, .init()) { _, _ in }
        return (file.allBytes, actions)
    }

    static func isShown(_ planted: Planted, in report: CheckReport) -> Bool {
        report.findings.contains { $0.finding.detail.code == planted.code && $0.finding.severity == planted.severity }
    }

    @Test(arguments: Planted.all) func isFound(_ planted: Planted) throws {
        let report = try Self.check(planted.bytes, planted.options)
        let found = report.findings.first {
            $0.finding.detail.code == planted.code && $0.finding.detail.offset == planted.offset
        }
        let all = report.findings.map { "\($0.finding.severity) \($0.finding.detail) \($0.repairs)" }
        #expect(found?.finding.severity == planted.severity, "\(all)")
        #expect(Set(found?.repairs ?? []) == planted.repairs, "\(all)")
        let errors = Set(report.findings.filter { $0.finding.severity == .error }.map(\.finding.detail.code))
        #expect(errors.subtracting([planted.code]) == planted.otherErrors, "\(all)")
        #expect(report.isReadable == planted.isReadable)
        if planted.lacksData {
            #expect(throws: DiskError.self) { _ = try contents(VHDLayer(reading: MemoryFile(planted.bytes))) }
        } else if planted.isReadable {
            #expect(try contents(VHDLayer(reading: MemoryFile(planted.bytes))) == planted.disk)
        } else {
            #expect(throws: DiskError.self) { _ = try VHDLayer(reading: MemoryFile(planted.bytes)).census() }
        }
        for finding in report.findings {
            let line = finding.finding.detail.description
            #expect(!line.contains("\n") && line.utf8.count < 300, "\(line)")
        }
    }

    @Test(arguments: Planted.all) func isMended(_ planted: Planted) throws {
        for kind in planted.repairs {
            let (bytes, actions) = try Self.repaired(planted.bytes, [kind])
            #expect(actions.contains { $0.kind == kind } && actions.allSatisfy { $0.kind == kind }, "\(actions)")
            let report = try Self.check(bytes, planted.options)
            #expect(!Self.isShown(planted, in: report), "\(kind): \(report.findings)")
            let layer = try? VHDLayer(reading: MemoryFile(bytes))
            #expect(layer != nil, "\(kind): \(report.findings)")
            if let layer {
                #expect(try contents(layer) == planted.changed[kind] ?? planted.disk, "\(kind)")
                #expect(report.isReadable)
            }
            let (again, none) = try Self.repaired(bytes, [kind])
            #expect(again == bytes && none.isEmpty, "\(kind) again: \(none)")
        }
    }

    @Test(arguments: Planted.all) func othersChangeNothing(_ planted: Planted) throws {
        for left in [RepairKind.setBits, .zeroSectors] {
            let kinds = Set(RepairKind.allCases).subtracting(planted.repairs)
                .subtracting(planted.otherRepairs.union([left]))
            let (bytes, actions) = try Self.repaired(planted.bytes, kinds)
            #expect(bytes == planted.bytes && actions.isEmpty, "\(actions)")
        }
    }

    @Test func goodImagesAreGood() throws {
        var deep = CheckOptions()
        deep.isDeep = true
        deep.now = DiskTimestamp(rawValue: 0).unixSeconds
        for bytes in [Good.dynamic().bytes, Good.differencing().bytes, Good.xen().bytes, Good.fixed()] {
            let report = try Self.check(bytes, deep)
            #expect(report.isReadable)
            let codes = report.findings.map(\.finding.detail.code)
            #expect(Self.always.isSuperset(of: codes), "\(report.findings)")
            #expect(report.deepByteCount > 0)
        }
        #expect(try contents(Good.differencing().layer()) == Good.disk)
        #expect(try contents(Good.xen().layer()) == Good.disk)
    }

    /// Everything at once that can cost nothing: the disk stays what it is, and doing it again does nothing.
    @Test(arguments: Planted.all) func losslessTogether(_ planted: Planted) throws {
        let (bytes, actions) = try Self.repaired(planted.bytes, RepairKind.lossless)
        let report = try Self.check(bytes, planted.options)
        if !planted.repairs.isDisjoint(with: RepairKind.lossless) {
            #expect(!actions.isEmpty && !Self.isShown(planted, in: report), "\(actions) \(report.findings)")
        }
        if planted.isReadable { #expect(report.isReadable) }
        if report.isReadable, !planted.lacksData {
            #expect(try contents(VHDLayer(reading: MemoryFile(bytes))) == planted.disk)
        }
        let (again, none) = try Self.repaired(bytes, RepairKind.lossless)
        #expect(again == bytes && none.isEmpty, "\(none)")
    }

    /// A byte of Table Offset was changed so that a sector of ones behind the table looks like an empty table: the checksum
    /// says that a byte is wrong, and what it was would fit as well.
    @Test func aShiftedTableIsNotSealed() throws {
        var image = TinyImage()
        image.footer.currentSize = 128 * 4096
        image.footer.geometry = geometryCHS(virtualByteCount: 128 * 4096)
        image.header?.maxTableEntries = 128
        image.table = [UInt32](repeating: .max, count: 128)
        image.body = [UInt8](repeating: 0xff, count: 512)
        image.addBlock(5, bits: 0xff, fill: 1)
        let shifted = image.bytes.with([8], at: 512 + 22)
        let report = try Self.check(shifted)
        let sum = try #require(report.findings.first { $0.finding.detail.code == .vhdChecksum })
        #expect(sum.repairs.isEmpty && !report.isReadable)
        #expect(try Self.repaired(shifted, RepairKind.lossless).1.isEmpty)
        // The same image with only its checksum wrong.
        let plain = image.bytes.flipped(512 + 39)
        #expect(try Self.repaired(plain, [.checksums]).0 == image.bytes)
    }

    @Test func signedSumsOfTheFirstBatmaps() throws {
        let image = Good.xen(map: 0b1000_0000) { image, batmap in
            image.body[1024 + 4608] = 0xff
            (batmap.version, batmap.checksum) = (0x0001_0001, 127)
        }
        #expect(try !Self.check(image.bytes).findings.contains { $0.finding.detail.code == .vhdBatmap })
    }

    @Test func bothReadingsAtOnceAreRefused() {
        #expect(throws: DiskError.self) {
            _ = try VHDChecker.repair(MemoryFile(Good.dynamic().bytes), [.setBits, .zeroSectors], .init()) { _, _ in }
        }
    }
}

extension Planted {
    static let all = copies + footerFields + headerFields + parents + tables + blocks + batmaps
}
