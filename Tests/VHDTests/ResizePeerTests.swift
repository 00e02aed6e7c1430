import BlockIO
import ByteCodec
import Digest
import DiskModel
import FaultInjection
import Foundation
import Testing
import VHD

/// Real images made longer, shorter and compact, and what qemu and libvhdi say of images we resized.
@Suite struct ResizePeerTests {
    // MARK: Real images

    /// A real image as a file of ours.
    private static func copy(_ name: String) throws -> MemoryFile? {
        guard let real = try RealImages.open(name) else { return nil }
        let file = MemoryFile()
        var position: UInt64 = 0
        while let data = try real.data(from: position) {
            let count = min(data.upperBound - data.lowerBound, 1 << 20)
            try file.write(try real.bytes(at: data.lowerBound, count: Int(count)), at: data.lowerBound)
            position = data.lowerBound + count
        }
        file.resize(to: try real.byteCount())
        return file
    }

    /// The hash of a range; `zeros` where nothing is allocated.
    private static func fingerprint(
        _ file: MemoryFile, _ range: Range<UInt64>, _ parent: VHDLayer?
    ) throws -> String {
        let (digest, layer) = (Digest(.sha256), try VHDLayer(reading: file))
        var hasData = false
        let isLarge = range.upperBound - range.lowerBound > 1 << 30
        try CorpusTests.hash(layer, range, parent, digest, skipsHoles: isLarge, &hasData)
        return isLarge ? (hasData ? "data" : "zeros") : hexadecimal(digest.finish())
    }

    @Test(arguments: [
        "hyperv2012r2-dynamic.vhd", "virtualpc-dynamic.vhd", "xen-dyn.vhd", "qemu-dynamic.vhd", "ext2.vhd",
        "d2v-zerofilled.vhd", "fat-parent.vhd",
    ]) func realImages(_ name: String) throws {
        guard let row = RealImages.rows.first(where: { $0.file == name }), let file = try Self.copy(name) else {
            return
        }
        func check(_ size: UInt64) throws {
            #expect(try VHDLayer(reading: file).geometry.virtualByteCount == size)
            #expect(try Self.fingerprint(file, 0..<row.byteCount, nil) == row.hash, "at \(size) bytes")
            guard size > row.byteCount else { return }
            // What follows in the last block may be data of zeros; behind it, nothing is allocated.
            let middle = min(size, row.byteCount + (16 << 20))
            let digest = Digest(.sha256)
            digest.updateZeros(count: middle - row.byteCount)
            #expect(try Self.fingerprint(file, row.byteCount..<middle, nil) == hexadecimal(digest.finish()))
            guard size - middle > 1 << 30 else { return }
            #expect(try Self.fingerprint(file, middle..<size, nil) == "zeros", "at \(size) bytes")
        }
        try check(row.byteCount)
        let id = try VHDLayer(reading: file).footer
        for size in [row.byteCount + 512, 2 * row.byteCount, row.byteCount + (3 << 30), row.byteCount] {
            let plan = try VHDResizer.resize(file, to: size, progress: quiet)
            #expect(file.byteCount() == plan.newFileByteCount && plan.droppedBlockCount == 0)
            try check(size)
        }
        let footer = try VHDLayer(reading: file).footer
        #expect(footer.uniqueID == id.uniqueID && footer.timestamp == id.timestamp)
        #expect(footer.originalSize == id.originalSize && footer.creatorApplication == id.creatorApplication)
        guard row.type != "fixed" else { return }
        let plan = try VHDCompactor.compact(file, progress: quiet)
        try check(row.byteCount)
        print("ResizePeerTests: \(name): \(plan)")
        // Grown and shrunk as a compact image, too.
        _ = try VHDResizer.resize(file, to: 3 * row.byteCount, progress: quiet)
        _ = try VHDCompactor.compact(file, progress: quiet)
        try check(3 * row.byteCount)
    }

    @Test(arguments: [("fat-differential.vhd", "fat-parent.vhd"), ("xen-child.vhd", "xen-dyn.vhd")])
    func realChildren(_ names: (child: String, parent: String)) throws {
        guard let row = RealImages.rows.first(where: { $0.file == names.child }),
            let file = try Self.copy(names.child), let below = try Self.copy(names.parent)
        else { return }
        let parent = try VHDLayer(reading: below)
        let locators = try VHDLayer(reading: file).parentLink?.locators
        _ = try VHDCompactor.compact(file, progress: quiet)
        #expect(try Self.fingerprint(file, 0..<row.byteCount, parent) == row.hash)
        for size in [row.byteCount + 512, row.byteCount + (3 << 30), row.byteCount] {
            _ = try VHDResizer.resize(file, to: size, progress: quiet)
            #expect(try Self.fingerprint(file, 0..<row.byteCount, parent) == row.hash)
        }
        _ = try VHDCompactor.compact(file, progress: quiet)
        #expect(try Self.fingerprint(file, 0..<row.byteCount, parent) == row.hash)
        #expect(try VHDLayer(reading: file).parentLink?.locators == locators)
    }

    // MARK: Peers

    private static func run(_ program: String, _ arguments: [String]) throws -> (exit: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, output)
    }

    /// Our own programs' results against a raw file that had the same done to it.
    @Test(
        arguments: [(VHDCreator.NewType.fixed, 0), (.dynamic, 2 << 20), (.dynamic, 512 << 10)]
            as [(VHDCreator.NewType, UInt64)])
    func peersAgree(_ kind: (type: VHDCreator.NewType, block: UInt64)) throws {
        guard QemuTests.program != nil else { return }
        let folder = NSTemporaryDirectory() + "/vhdtests-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (image, raw) = (folder + "/a.vhd", folder + "/a.raw")
        let seed = UInt64.random(in: 0 ... .max)
        var (random, size) = (SplitMix(seed: seed), UInt64(20 << 20))
        let id = GUID.random()
        let (file, plain) = (try PosixFile(image, .create), try PosixFile(raw, .create))
        try VHDCreator.create(
            on: file, type: kind.type, virtualByteCount: size, blockByteCount: max(kind.block, 512 << 10),
            uniqueID: id, created: DiskTimestamp(rawValue: 1))
        try plain.resize(to: size)
        var moved = 0
        let most: UInt64 = kind.type == .fixed ? 90 << 20 : 3 << 30
        for next in [20 << 20, 20 << 20 + 512, 80 << 20, 77 << 20, most, most / 2, 70 << 20] as [UInt64] {
            let plan = try VHDResizer.resize(file, to: next, progress: quiet)
            if plan.movesTable { moved += 1 }
            try plain.resize(to: next)
            size = next
            try Self.expectEqual(image, raw, "\(size) bytes, seed \(seed)")
            let disk = try VHDLayer(writing: file)
            for _ in 0..<12 {
                let start = UInt64.random(in: 0..<size / 512 - 64, using: &random) * 512
                let bytes = random.bytes(64 * 512)
                try disk.write(bytes.rawBytes, at: start)
                try plain.write(bytes, at: start)
            }
            let zeros = UInt64.random(in: 0..<5, using: &random) << 21..<7 << 21
            try disk.writeZeroes(zeros)
            try plain.zero(zeros)
            try disk.close()
            if kind.type == .dynamic, next % 3 != 0 { _ = try VHDCompactor.compact(file, progress: quiet) }
            try Self.expectEqual(image, raw, "\(size) bytes, seed \(seed)")
            try Self.expectIdentity(id, of: image)
        }
        if kind.block == 512 << 10 { #expect(moved > 0) }
    }

    /// What qemu says of both, and that it finds its way through the table: of copies, which are not locked.
    private static func expectEqual(_ image: String, _ raw: String, _ what: String) throws {
        guard let program = QemuTests.program else { return }
        for path in [image, raw] {
            #expect(try run("/bin/cp", ["--sparse=always", path, path + ".copy"]).exit == 0)
        }
        let compared = try run(program, ["compare", "-f", "vpc", "-F", "raw", image + ".copy", raw + ".copy"])
        #expect(compared.exit == 0, "\(what): \(compared.output)")
        let map = try run(program, ["map", "-f", "vpc", "--output=json", image + ".copy"])
        #expect(map.exit == 0, "\(what): \(map.output)")
    }

    /// That libvhdi opens an image and knows it again. Its sizes are of no use: it goes by the Original Size, which a
    /// resize leaves alone.
    private static func expectIdentity(_ id: GUID, of image: String) throws {
        guard FileManager.default.isExecutableFile(atPath: "/usr/bin/vhdiinfo") else {
            return print("SKIPPED: no vhdiinfo here: resized VHD images are not shown to it")
        }
        let info = try run("/usr/bin/vhdiinfo", [image])
        #expect(info.exit == 0 && info.output.contains("\(id)".lowercased()), "\(info.output)")
    }

    /// qemu writes to an image whose table we moved to the end of the file, and we read it.
    @Test func qemuWritesBehindAMovedTable() throws {
        guard QemuTests.program != nil else { return }
        guard FileManager.default.isExecutableFile(atPath: "/usr/bin/qemu-io") else {
            return print("SKIPPED: no qemu-io here: qemu does not write to resized VHD images")
        }
        let folder = NSTemporaryDirectory() + "/vhdtests-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let image = folder + "/a.vhd"
        do {
            let file = try PosixFile(image, .create)
            try VHDCreator.create(
                on: file, type: .dynamic, virtualByteCount: 20 << 20, uniqueID: .random(),
                created: DiskTimestamp(rawValue: 1))
            let disk = try VHDLayer(writing: file)
            try disk.write([UInt8](repeating: 0x11, count: 1 << 20).rawBytes, at: 5 << 20)
            try disk.close()
            #expect(try VHDResizer.resize(file, to: 3 << 30, progress: quiet).movesTable)
        }
        let result = try Self.run(
            "/usr/bin/qemu-io",
            ["-f", "vpc", "-c", "write -P 0x22 1G 3M", "-c", "read -P 0x11 5M 1M", "-c", "read -P 0 2G 1M", image])
        #expect(result.exit == 0 && !result.output.contains("failed"), "\(result.output)")
        let file = try PosixFile(image, .write)
        func check() throws {
            let layer = try VHDLayer(reading: file)
            #expect(try contents(layer, 5 << 20..<6 << 20).allSatisfy { $0 == 0x11 })
            #expect(try contents(layer, 1 << 30..<1 << 30 + 3 << 20).allSatisfy { $0 == 0x22 })
            #expect(try contents(layer, 1 << 30 + 3 << 20..<1 << 30 + 8 << 20).allSatisfy { $0 == 0 })
            _ = try layer.census()
        }
        try check()
        _ = try VHDResizer.resize(file, to: 9 << 30, progress: quiet)
        try check()
        _ = try VHDCompactor.compact(file, progress: quiet)
        try check()
    }
}
