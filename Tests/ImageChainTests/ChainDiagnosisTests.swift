import BlockIO
import ByteCodec
import DiskModel
import Foundation
import Testing
import ToolTesting
import VHD
import VHDX

@testable import ImageChain

/// What is said about chains that do not hold, and the repairs that are named.
@Suite struct ChainDiagnosisTests {
    private let scratch = try! Scratch()

    private func diagnosis(_ path: String, _ options: OpenOptions = .init()) throws -> ChainDiagnosis {
        let links = try ImageChain.walk(path, options).links
        var error: DiskError?
        if links.last?.parentError == nil {
            do throws(DiskError) { _ = try ImageChain(leafFirst: links.map(\.layer)) } catch let failure {
                error = failure
            }
        }
        return try ChainDiagnosis(links, error: error, options, CheckOptions()) { _, _ in }
    }

    private func repair(_ link: LinkDiagnosis, _ kind: ChainRepair.Kind) throws -> ChainRepair {
        try #require(link.repairs.first { $0.kind == kind }, "\(link.repairs)")
    }

    private func vhdPair(at parentName: String, named: String = "base.vhd", base: UInt64 = 1) throws -> String {
        _ = try scratch.write(parentName, ChainImages.vhdBase(base))
        return try scratch.write("leaf.vhd", ChainImages.vhdChild(3, of: 1, [.relative(named)], name: named))
    }

    @Test func whole() throws {
        let result = try diagnosis(vhdPair(at: "base.vhd"))
        #expect(result.isWhole && result.errorCount == 0 && result.pendingLogCount == 0)
        // The blocks of these images are smaller than Windows takes.
        let warnings = result.links.flatMap(\.findings).filter { $0.finding.severity == .warning }
        #expect(warnings.map(\.finding.detail.code.rawValue) == ["VHD016"] && result.warningCount == 1)
        #expect(result.links.map(\.path) == [scratch.path("leaf.vhd"), scratch.path("base.vhd")])
        #expect(result.links.allSatisfy { $0.repairs.isEmpty && $0.isReadable && $0.checkError == nil })
        let parent = try #require(result.links[0].parent)
        #expect(parent.outcome == .match && parent.isInPlace && parent.scan == nil && parent.differences.isEmpty)
        #expect(parent.expected == [.init(field: "Parent Unique ID", id: ChainImages.id(1))])
        #expect(parent.found?.id == ChainImages.id(1))
        #expect(result.links[1].parent == nil)
        #expect(result.links[0].fileByteCount == UInt64(try fileBytes(scratch.path("leaf.vhd")).count))
    }

    /// The parent has another name beside the child.
    @Test func otherName() throws {
        let leaf = try vhdPair(at: "zz other's.vhd")
        _ = try scratch.write("a.vhd", ChainImages.vhdBase(9))
        _ = try scratch.write("b", [1, 2, 3])
        let result = try diagnosis(leaf)
        #expect(!result.isWhole && result.errorCount == 1)
        let parent = try #require(result.links[0].parent)
        #expect(parent.outcome == .missing && parent.path == nil)
        #expect(parent.scan?.path == scratch.path("zz other's.vhd") && parent.scan?.fileCount == 4)
        let repair = try repair(result.links[0], .relink)
        #expect(repair.command == ["vhdrebase", "--parent", scratch.path("zz other's.vhd"), leaf])
        #expect(repair.risk == nil)
    }

    /// A folder the user named: found by name, or under another one.
    @Test(arguments: ["base.vhd", "renamed.vhd"]) func otherFolder(_ name: String) throws {
        try FileManager.default.createDirectory(atPath: scratch.path("away"), withIntermediateDirectories: false)
        let leaf = try vhdPair(at: "away/\(name)")
        #expect(try diagnosis(leaf).links[0].repairs.map(\.kind) == [.nameFolder])
        let result = try diagnosis(leaf, OpenOptions(parentFolders: [scratch.path("away")]))
        #expect(result.isWhole == (name == "base.vhd"))
        let found = scratch.path("away/\(name)")
        // The folder is needed again where the parent has parents of its own.
        #expect(
            try repair(result.links[0], .relink).command
                == ["vhdrebase", "--parent-dir", scratch.path("away"), "--parent", found, leaf])
    }

    /// What lies in the folder and is no file, or part of the chain, is not taken for the parent.
    @Test func scanTakesRegularFilesOnly() throws {
        try FileManager.default.createDirectory(atPath: scratch.path("away"), withIntermediateDirectories: false)
        let leaf = try vhdPair(at: "away/base.vhd", named: "gone.vhd")
        try FileManager.default.createSymbolicLink(
            atPath: scratch.path("link.vhd"), withDestinationPath: scratch.path("away/base.vhd"))
        let made = try runProgram("/usr/bin/mkfifo", [scratch.path("fifo")])
        #expect(made.exit == 0)
        let scan = try #require(try diagnosis(leaf).links[0].parent?.scan)
        #expect(scan.path == nil && scan.fileCount == 1)
        // A child that names itself: its own file has the id.
        let own = try scratch.write("own.vhd", ChainImages.vhdChild(5, of: 5, [.relative("gone.vhd")]))
        #expect(try diagnosis(own).links[0].parent?.scan?.path == nil)
    }

    @Test func mismatch() throws {
        let leaf = try vhdPair(at: "base.vhd", base: 7)
        let result = try diagnosis(leaf)
        let parent = try #require(result.links[0].parent)
        #expect(parent.outcome == .mismatch && parent.found?.id == ChainImages.id(7))
        let repair = try repair(result.links[0], .forceRelink)
        #expect(repair.command == ["vhdrebase", "--force-identity", "--parent", scratch.path("base.vhd"), leaf])
        #expect(repair.risk?.contains("wrong bytes") == true && repair.risk?.contains("merge") == true)
        // The right one is there under another name: that comes first.
        _ = try scratch.write("right.vhd", ChainImages.vhdBase(1))
        let better = try diagnosis(leaf).links[0]
        #expect(better.repairs.map(\.kind) == [.relink])
        #expect(better.repairs[0].command == ["vhdrebase", "--parent", scratch.path("right.vhd"), leaf])
    }

    /// Another size is another disk: nobody is told to force that.
    @Test func mismatchOfSize() throws {
        _ = try scratch.write("base.vhd", ChainImages.vhdBase(7, size: 8192))
        let leaf = try scratch.write("leaf.vhd", ChainImages.vhdChild(3, of: 1, [.relative("base.vhd")]))
        let link = try diagnosis(leaf).links[0]
        #expect(link.repairs.map(\.kind) == [.nameFolder])
        // A merge may have given the right one this size.
        #expect(link.repairs[0].reason.contains("or got this size after the child was made, as by a merge"))
        #expect(link.parent?.differences.map(\.what) == [.virtualSize])
        #expect(link.parent?.differences.first?.child == "16384" && link.parent?.differences.first?.parent == "8192")
    }

    /// The mismatch was accepted: the chain goes on, and is still no good one.
    @Test func acceptedMismatch() throws {
        let leaf = try vhdPair(at: "base.vhd", base: 7)
        let result = try diagnosis(leaf, OpenOptions(accepted: [.parentIdentity]))
        #expect(result.isWhole && result.links.count == 2 && result.errorCount == 1)
        #expect(result.links[0].parent?.outcome == .mismatch)
        #expect(result.links[0].repairs.contains { $0.kind == .forceRelink })
    }

    /// The second link is broken: the first is described, the second too.
    @Test func damagedBelow() throws {
        let file = MemoryFile()
        try VHDCreator.create(
            on: file, type: .dynamic, virtualByteCount: 1 << 20, uniqueID: ChainImages.id(1),
            created: DiskTimestamp(rawValue: 0))
        try file.write([1], at: 512 + 36)
        let base = try scratch.write("base.vhd", file.allBytes)
        _ = try scratch.write("mid.vhd", ChainImages.vhdChild(2, of: 1, [.relative("base.vhd")], name: "base.vhd"))
        let leaf = try scratch.write(
            "leaf.vhd", ChainImages.vhdChild(3, of: 2, [.relative("mid.vhd")], name: "mid.vhd"))
        let result = try diagnosis(leaf)
        #expect(result.links.count == 2 && !result.isWhole && result.links[0].repairs.isEmpty)
        let parent = try #require(result.links[1].parent)
        #expect(parent.outcome == .damaged && parent.path == base && parent.damageRepairs == [.checksums])
        #expect(try repair(result.links[1], .mend).command == ["vhdcheck", "--repair=checksums", base])
        // The command does what it says.
        _ = try ImageChecker.repair(try PosixFile(base, .write), as: .vhd, [.checksums], CheckOptions()) { _, _ in }
        #expect(try diagnosis(leaf).isWhole)
    }

    @Test func noHopeForTheParent() throws {
        var bytes = ChainImages.vhdChild(1, of: 9, [])
        bytes.replaceSubrange(512..<1024, with: [UInt8](repeating: 0xff, count: 512))
        let base = try scratch.write("base.vhd", bytes)
        let leaf = try scratch.write("leaf.vhd", ChainImages.vhdChild(3, of: 1, [.relative("base.vhd")]))
        #expect(try repair(try diagnosis(leaf).links[0], .check).command == ["vhdcheck", base])
    }

    @Test func loop() throws {
        _ = try scratch.write("a.vhd", ChainImages.vhdChild(1, of: 2, [.relative("b.vhd")]))
        let b = try scratch.write("b.vhd", ChainImages.vhdChild(2, of: 1, [.relative("a.vhd")]))
        let result = try diagnosis(b)
        #expect(result.links.count == 2 && !result.isWhole)
        #expect(result.links[1].parent?.outcome == .loop && result.links[1].repairs.map(\.kind) == [.nameFolder])
    }

    /// A path that leads too far up is followed when its folder is named: the command does that.
    @Test func outside() throws {
        try FileManager.default.createDirectory(atPath: scratch.path("x/y"), withIntermediateDirectories: true)
        _ = try scratch.write("base.vhd", ChainImages.vhdBase(1))
        let leaf = try scratch.write("x/y/leaf.vhd", ChainImages.vhdChild(3, of: 1, [.relative("..\\..\\base.vhd")]))
        let repair = try repair(try diagnosis(leaf).links[0], .nameFolder)
        #expect(Array(repair.command.prefix(3)) == ["vhdinfo", "--chain", "--parent-dir"])
        #expect(repair.command.last == leaf)
        #expect(try diagnosis(leaf, OpenOptions(parentFolders: [repair.command[3]])).isWhole)
    }

    // MARK: VHDX

    @Test func sectorSizes() throws {
        _ = try scratch.write("base.vhdx", try ChainImages.vhdxBase(1, sector: 4096).allBytes)
        let leaf = try scratch.write(
            "leaf.vhdx", try ChainImages.vhdxChild(3, of: 1, [("relative_path", "base.vhdx")]).allBytes)
        let result = try diagnosis(leaf)
        #expect(!result.isWhole && result.error?.kind == .refused)
        #expect(result.links[0].parent?.differences.map(\.what).contains(.logicalSectorSize) == true)
        #expect(result.links[0].findings.contains { $0.finding.detail.code.rawValue == "VHDX030" })
    }

    @Test func pendingLog() throws {
        guard let path = try Corpus.path("vhdx-log-replay.vhdx") else { return }
        let result = try diagnosis(path)
        #expect(result.isWhole && result.errorCount + result.warningCount == 0 && result.pendingLogCount == 1)
        #expect(result.links[0].repairs.map(\.command) == [["vhdcheck", "--repair=log", path]])
    }

    /// The parent's file was changed since the child was made.
    @Test func timestamps() throws {
        guard let folder = try Corpus.unpackedFolder() else { return }
        for name in ["xen-child.vhd", "xen-dyn.vhd"] {
            try FileManager.default.copyItem(atPath: "\(folder)/\(name)", toPath: scratch.path(name))
        }
        let result = try diagnosis(scratch.path("xen-child.vhd"))
        #expect(result.isWhole && result.warningCount == 1)
        #expect(result.links[0].parent?.differences.map(\.what) == [.modified])
    }

    /// Names that look like options are written so that no program takes them for one.
    @Test func dashes() throws {
        _ = try vhdPair(at: "base.vhd", base: 7)
        let links = try ImageChain.walk(scratch.path("leaf.vhd")).links
        var link = links[0]
        link.path = "-leaf.vhd"
        let result = try ChainDiagnosis([link], error: nil, OpenOptions(), CheckOptions()) { _, _ in }
        #expect(result.links[0].repairs.contains { $0.command.last == "./-leaf.vhd" })
    }
}
