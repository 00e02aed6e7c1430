import BlockIO
import ByteCodec
import DiskModel
import Digest
import Foundation
import Testing

@testable import VHDX

/// Real images of other makers, kept beside the checkout.
@Suite struct CorpusTests {
    static let folder: URL? = {
        var folder = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent()
        while folder.path != "/" {
            folder.deleteLastPathComponent()
            let corpus = folder.appendingPathComponent("shared/corpus")
            if FileManager.default.fileExists(atPath: corpus.appendingPathComponent("EXPECT.tsv").path) {
                return corpus
            }
        }
        print("SKIPPED: no folder shared/corpus beside the checkout; tests with real VHDX images did not run")
        return nil
    }()

    struct Expectation: CustomTestStringConvertible, Sendable {
        var file, type, size, log, hash: String
        var testDescription: String { file }
    }

    static let expectations: [Expectation] = {
        guard let folder,
            let text = try? String(contentsOf: folder.appendingPathComponent("EXPECT.tsv"), encoding: .utf8)
        else { return [] }
        return text.split(separator: "\n").dropFirst().map { $0.split(separator: "\t").map(String.init) }
            .filter { $0[0].hasSuffix(".vhdx") }
            .map { Expectation(file: $0[0], type: $0[3], size: $0[4], log: $0[5], hash: $0[6]) }
    }()

    /// An image of the corpus, unpacked into memory.
    static func image(_ name: String) throws -> MemoryFile {
        try unpacked(folder!.appendingPathComponent(name + ".gz").path, name)
    }

    static func unpacked(_ path: String, _ name: String) throws -> MemoryFile {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/gzip")
        process.arguments = ["-dc", path]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let file = MemoryFile(path: name)
        var offset: UInt64 = 0
        while let piece = try pipe.fileHandleForReading.read(upToCount: 1 << 20), !piece.isEmpty {
            let bytes = [UInt8](piece)
            var at = 0
            while at < bytes.count {
                // Pages of zeros stay holes.
                let end = min(bytes.count, (at / 4096 + 1) * 4096)
                if !isZero(bytes.rawBytes.extracting(at..<end)) {
                    try file.write(bytes.rawBytes.extracting(at..<end), at: offset + UInt64(at))
                }
                at = end
            }
            offset += UInt64(bytes.count)
        }
        process.waitUntilExit()
        file.resize(to: offset)
        return file
    }

    static func hash(_ layer: VHDXLayer, parent: VHDXLayer?) throws -> String {
        let digest = Digest(.sha256)
        var position: UInt64 = 0
        while position < layer.geometry.virtualByteCount {
            for extent in try layer.extents(in: position..<layer.geometry.virtualByteCount, limit: 1000) {
                switch extent.source {
                case .zero, .hole: digest.updateZeros(count: extent.byteCount)
                case .file(let offset): try update(digest, layer.file, offset, extent.byteCount)
                case .parent:
                    let above = try contents(of: parent!, extent.range)
                    digest.update(above.rawBytes)
                }
                position = extent.end
            }
        }
        return hexadecimal(digest.finish())
    }

    private static func update(_ digest: Digest, _ file: any BlockFile, _ offset: UInt64, _ byteCount: UInt64) throws {
        var done: UInt64 = 0
        while done < byteCount {
            let bytes = try file.bytes(at: offset + done, count: Int(min(1 << 20, byteCount - done)))
            digest.update(bytes.rawBytes)
            done += UInt64(bytes.count)
        }
    }

    @Test(.enabled(if: folder != nil), arguments: expectations)
    func contentsAreRight(_ expectation: Expectation) throws {
        let file = try Self.image(expectation.file)
        let before = Digest.hash(.sha256, file.allBytes.rawBytes)
        #expect(try VHDXLayer.recognises(file))
        let layer = try VHDXLayer(reading: file)
        #expect(layer.type.rawValue == expectation.type)
        #expect(String(layer.geometry.virtualByteCount) == expectation.size)
        #expect(try layer.report().log.state.rawValue == expectation.log)
        #expect(layer.hasReplayedLog == (expectation.log == "dirty"))
        var parent: VHDXLayer?
        if let link = layer.parentLink {
            let above = try VHDXLayer(reading: try Self.image("fat-parent.vhdx"))
            #expect(link.identities.contains(above.identity))
            #expect(link.locators.first?.kind == .relative)
            parent = above
        }
        #expect(try Self.hash(layer, parent: parent) == expectation.hash)
        let census = try layer.census()
        let blocks = layer.geometry.virtualByteCount.dividedRoundingUp(by: layer.geometry.blockByteCount!)
        #expect(census.counts.reduce(0) { $0 + $1.count } == blocks)
        #expect(Digest.hash(.sha256, file.allBytes.rawBytes) == before, "reading changed the file")
    }

    @Test(.enabled(if: folder != nil)) func dirtyLogIsReplayedIntoTheFile() throws {
        let file = try Self.image("vhdx-log-replay.vhdx")
        let reading = try VHDXLayer(reading: MemoryFile(file.contents))
        // The ring holds five entries; the last one says that only two of them are still needed.
        #expect(try reading.report().log.entryCount == 2)
        let hash = try Self.hash(reading, parent: nil)
        let before = reading.currentHeader
        let writing = try VHDXLayer(writing: file)
        try writing.close()
        let after = try VHDXLayer(reading: file)
        #expect(after.currentHeader.logGUID == .zero)
        #expect(after.dataWriteGUID == before.dataWriteGUID)
        #expect(after.currentHeader.fileWriteGUID != before.fileWriteGUID)
        #expect(after.currentHeader.sequenceNumber == before.sequenceNumber + 4)
        #expect(try Self.hash(after, parent: nil) == hash)
    }

    /// One byte of the last but one entry, which the last one needs: the older entries alone show a disk of zeros.
    @Test(.enabled(if: folder != nil)) func damageInTheLogIsNotPassedOver() throws {
        let file = try Self.image("vhdx-log-replay.vhdx")
        try file.write([0], at: 0x105025)
        let error = try #require(throws: DiskError.self) { try VHDXLayer(reading: file) }
        #expect(error.formatError?.code == .vhdxNewerLogEntries && error.formatError?.offset == 0x107010, "\(error)")
        #expect(throws: DiskError.self) { try VHDXLayer(writing: file) }
        let report = try check(file.contents)
        let found = try #require(report.findings.first { $0.finding.detail.code == .vhdxNewerLogEntries })
        #expect(found.finding.severity == .error && found.repairs == [.dropLog] && !report.isReadable)
        let untouched = try repair(file.contents, RepairKind.lossless.union([.log]))
        #expect(untouched.actions.isEmpty && areSame(untouched.contents, file.contents))
        let dropped = try repair(file.contents, [.dropLog])
        #expect(dropped.actions.map(\.kind) == [.dropLog])
        #expect(try check(dropped.contents).count(.error) == 0)
    }

    @Test(.enabled(if: folder != nil)) func paddingOfTheTableIsIgnored() throws {
        let layer = try VHDXLayer(reading: try Self.image("ext2.vhdx"))
        _ = try layer.census()
        #expect(layer.findings.contains { $0.detail.code == .vhdxTablePadding && $0.severity == .information })
    }
}
