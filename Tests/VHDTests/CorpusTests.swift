import BlockIO
import ByteCodec
import Digest
import DiskModel
import Foundation
import Testing
import VHD

/// Real images, which stand in a folder `shared/corpus` beside the checkout and are no part of it.
enum RealImages {
    static let folder: String? = {
        var url = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        while url.path != "/" {
            let candidate = url.appendingPathComponent("shared/corpus")
            if FileManager.default.fileExists(atPath: candidate.appendingPathComponent("EXPECT.tsv").path) {
                return candidate.path
            }
            url.deleteLastPathComponent()
        }
        print("SKIPPED: no folder shared/corpus beside the checkout: tests on real VHD images do not run")
        return nil
    }()

    struct Row: Sendable, CustomStringConvertible {
        var file: String
        var type: String
        var byteCount: UInt64
        var hash: String
        var description: String { file }
    }

    static let rows: [Row] = {
        guard let folder, let text = try? String(contentsOfFile: folder + "/EXPECT.tsv", encoding: .utf8) else {
            return []
        }
        return text.split(separator: "\n").dropFirst().compactMap { line in
            let columns = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            guard columns.count >= 7, columns[0].hasSuffix(".vhd"), let size = UInt64(columns[4]) else { return nil }
            return Row(file: columns[0], type: columns[3], byteCount: size, hash: columns[6])
        }
    }()

    /// An unpacked image; the file is gone as soon as the object is.
    static func open(_ name: String) throws -> PosixFile? { try folder.map { try unpack("\($0)/\(name).gz") } }

    static func unpack(_ source: String) throws -> PosixFile {
        let path = NSTemporaryDirectory() + "/vhdtests-\(UUID().uuidString)"
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = [
            "-c", "gzip -dc \"$1\" | dd of=\"$2\" conv=sparse bs=64k status=none", "sh", source, path,
        ]
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0)
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try PosixFile(path)
    }
}

@Suite struct CorpusTests {
    struct MissingParent: Error {}
    static let parents = [
        "fat-differential.vhd": "fat-parent.vhd", "image-differential.vhd": "image.vhd", "xen-child.vhd": "xen-dyn.vhd",
    ]

    static func layer(_ name: String) throws -> VHDLayer? {
        guard let file = try RealImages.open(name) else { return nil }
        let options: VHDReadOptions = name.hasPrefix("image") ? .accepting(.vhdChecksum) : .init()
        return try VHDLayer(reading: file, options: options)
    }

    @Test(arguments: RealImages.rows) func contents(_ row: RealImages.Row) throws {
        guard let layer = try Self.layer(row.file) else { return }
        #expect(layer.type.rawValue == row.type)
        #expect(layer.geometry.virtualByteCount == row.byteCount)
        let parentName = Self.parents[row.file]
        let parent = parentName == nil ? nil : try Self.layer(parentName ?? "")
        if let parent { #expect(layer.parentLink?.identities == [parent.identity]) }
        #expect((layer.parentLink == nil) == (layer.type != .differencing))
        let digest = Digest(.sha256)
        var hasData = false
        try Self.hash(layer, 0..<row.byteCount, parent, digest, skipsHoles: row.hash == "zeros", &hasData)
        if row.hash == "zeros" {
            #expect(!hasData)
        } else {
            #expect(hexadecimal(digest.finish()) == row.hash)
        }
        let census = try layer.census()
        if let block = layer.geometry.blockByteCount {
            #expect(census.counts.map(\.count).reduce(0, +) == row.byteCount.dividedRoundingUp(by: block))
        }
        #expect(try !layer.report().structures.isEmpty)
        #expect(try VHDLayer.recognises(layer.file))
    }

    static func hash(
        _ layer: VHDLayer, _ range: Range<UInt64>, _ parent: VHDLayer?, _ digest: Digest, skipsHoles: Bool,
        _ hasData: inout Bool
    ) throws {
        var position = range.lowerBound
        while position < range.upperBound {
            for extent in try layer.extents(in: position..<range.upperBound, limit: 64) {
                switch extent.source {
                case .file(let offset):
                    hasData = true
                    var done: UInt64 = 0
                    while done < extent.byteCount {
                        let count = min(extent.byteCount - done, 1 << 20)
                        let piece = try layer.file.bytes(at: offset + done, count: Int(count))
                        digest.update(piece.rawBytes)
                        done += count
                    }
                case .zero, .hole: if !skipsHoles { digest.updateZeros(count: extent.byteCount) }
                case .parent:
                    guard let parent else { throw MissingParent() }
                    try hash(parent, extent.range, nil, digest, skipsHoles: skipsHoles, &hasData)
                }
                position = extent.end
            }
        }
    }

    @Test(arguments: ["image.vhd", "image-differential.vhd"]) func editedImagesAreRefused(_ name: String) throws {
        guard let file = try RealImages.open(name) else { return }
        expectRule(.vhdChecksum, "Checksum") { _ = try VHDLayer(reading: file) }
    }

    @Test func locatorsOfRealChildren() throws {
        guard let windows = try Self.layer("fat-differential.vhd"), let xen = try Self.layer("xen-child.vhd") else {
            return
        }
        #expect(
            windows.parentLink?.locators == [
                ParentLocator(kind: .relative, key: "W2ru", path: ".\\fat-parent.vhd"),
                ParentLocator(kind: .absolute, key: "W2ku", path: "C:\\Projects\\dfvfs\\test_data\\fat-parent.vhd"),
                ParentLocator(kind: .name, key: "Parent Unicode Name", path: "fat-parent.vhd"),
            ])
        #expect(xen.parentLink?.locators.map(\.key) == ["W2ru", "MacX", "W2ku", "Parent Unicode Name"])
        #expect(xen.parentLink?.locators[1].path == "file://./xen-dyn.vhd")
    }

    @Test func virtualPCSize() throws {
        guard let layer = try Self.layer("virtualpc-dynamic.vhd") else { return }
        expectFinding(.vhdGeometrySize, .information, in: layer)
        #expect(layer.findings.contains { $0.detail.problem.contains("136363130880") })
    }
}
