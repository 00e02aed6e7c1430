import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Foundation
import Testing

@testable import VHDX

/// Images we wrote, as qemu sees them.
@Suite(.serialized) struct QemuTests {
    static let program: String? = {
        let found = ["/usr/bin/qemu-img", "/usr/local/bin/qemu-img"].first {
            FileManager.default.isExecutableFile(atPath: $0)
        }
        if found == nil { print("SKIPPED: no qemu-img; images we wrote were not compared with it") }
        return found
    }()

    static func run(_ arguments: [String]) throws -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program!)
        process.arguments = arguments
        let pipe = Pipe()
        (process.standardOutput, process.standardError) = (pipe, pipe)
        try process.run()
        let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: output, as: UTF8.self))
    }

    static func withFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("vhdx-\(GUID.random())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    /// Puts contents into a sparse file of the host.
    static func store(_ contents: MemoryFile.Contents, _ path: String) throws {
        try? FileManager.default.removeItem(atPath: path)
        let file = try PosixFile(path, .create)
        try file.resize(to: contents.byteCount)
        for page in contents.pages.pageIndices {
            let start = page * PageMap.pageByteCount
            let end = min(start + PageMap.pageByteCount, contents.byteCount)
            try file.write(contents.bytes(start..<end), at: start)
        }
    }

    struct Shape: Sendable {
        var type: ImageType
        var size: UInt64
        var block: UInt64
        init(_ type: ImageType, _ size: UInt64, _ block: UInt64) {
            (self.type, self.size, self.block) = (type, size, block)
        }
    }
    static let shapes: [Shape] = [
        Shape(.dynamic, 12 << 20, 1 << 20), Shape(.fixed, 12 << 20, 1 << 20), Shape(.dynamic, 5 << 30, 32 << 20),
        Shape(.dynamic, (3 << 20) + 512, 2 << 20), Shape(.dynamic, 64 << 40, 256 << 20),
    ]

    @Test(.enabled(if: program != nil), arguments: shapes)
    func agreesOnImagesWeWrote(_ shape: Shape) throws {
        let (type, size, block) = (shape.type, shape.size, shape.block)
        try Self.withFolder { folder in
            let path = folder + "/a.vhdx"
            let seed = UInt64.random(in: 0 ... .max)
            var random = SplitMix(seed: seed)
            do {
                let file = try PosixFile(path, .create)
                try VHDXCreator.create(on: file, type: type, virtualByteCount: size, blockByteCount: block)
                let layer = try VHDXLayer(writing: file)
                for _ in 0..<8 {
                    let sector = UInt64.random(in: 0..<size / 512, using: &random)
                    try layer.write(
                        [UInt8](repeating: .random(in: 1...255, using: &random), count: 512).rawBytes, at: sector * 512)
                    if Bool.random(using: &random) { try layer.flush() }
                }
                try layer.writeZeroes(0..<min(size, 1 << 20))
                try layer.close()
            }
            let check = try Self.run(["check", "-f", "vhdx", path])
            #expect(check.status == 0, "seed \(seed): \(check.output)")
            let info = try Self.run(["info", "--output=json", "-f", "vhdx", path])
            #expect(info.output.contains("\"virtual-size\": \(size)"), "\(info.output)")
            guard size < 1 << 36 else { return }
            try Self.compareWithRaw(path, folder, size, "seed \(seed)")
        }
    }

    /// Our reading as a raw file against qemu's reading of the image.
    static func compareWithRaw(_ path: String, _ folder: String, _ size: UInt64, _ name: String) throws {
        let raw = folder + "/raw"
        try? FileManager.default.removeItem(atPath: raw)
        try writeRaw(path, raw, size)
        let compare = try run(["compare", "-f", "vhdx", "-F", "raw", path, raw])
        #expect(compare.status == 0, "\(name): \(compare.output)")
    }

    private static func writeRaw(_ path: String, _ raw: String, _ size: UInt64) throws {
        let file = try PosixFile(raw, .create)
        try file.resize(to: size)
        let layer = try VHDXLayer(reading: try PosixFile(path))
        for extent in try layer.extents(in: 0..<size, limit: 100_000) {
            guard case .file(let offset) = extent.source else { continue }
            var position = offset
            let end = offset + extent.byteCount
            while position < end, let data = try layer.file.data(from: position), data.lowerBound < end {
                position = max(position, data.lowerBound)
                let count = min(end, data.upperBound, position + (1 << 20)) - position
                let bytes = try layer.file.bytes(at: position, count: Int(count))
                if !isZero(bytes.rawBytes) { try file.write(bytes, at: extent.offset + (position - offset)) }
                position += count
            }
        }
    }

    @Test(.enabled(if: program != nil)) func agreesOnImagesOfPowerCuts() throws {
        let size: UInt64 = 4 << 20
        let file = RecordingFile(try TinyImage(byteCount: size).contents)
        let layer = try VHDXLayer(writing: file)
        for (index, offset): (Int, UInt64) in [0, 1 << 20, 512, 3 << 20].enumerated() {
            try layer.write([UInt8](repeating: UInt8(index + 1), count: 1024).rawBytes, at: offset)
            if index != 2 { try layer.flush() }
        }
        try layer.close()
        var count = 0
        var tried = 0
        try Self.withFolder { folder in
            try PowerCuts(file.recording, imageLimit: 40).forEachImage { image in
                count += 1
                guard count % 17 == 0 else { return }
                tried += 1
                let path = folder + "/cut.vhdx"
                try Self.store(image.contents, path)
                let before = try VHDXLayer(reading: MemoryFile(image.contents))
                let ours = try contents(of: before, 0..<size)
                // This replays the log.
                let repair = try Self.run(["check", "-r", "all", "-f", "vhdx", path])
                #expect(repair.status == 0, "\(image.fates): \(repair.output)")
                let check = try Self.run(["check", "-f", "vhdx", path])
                #expect(check.status == 0, "\(image.fates): \(check.output)")
                let after = try VHDXLayer(reading: try PosixFile(path))
                let theirs = try contents(of: after, 0..<size)
                #expect(areEqual(theirs, ours), "\(image.fates)")
                try Self.compareWithRaw(path, folder, size, image.fates)
            }
        }
        print("VHDX: qemu-img agrees on \(tried) of \(count) images of power cuts")
        #expect(tried > 10)
    }

    /// Logs made by hand, replayed by both.
    @Test(.enabled(if: program != nil)) func agreesOnReplay() throws {
        try Self.withFolder { folder in
            // qemu takes the first entry it meets from the ring's start on, so no entry may start behind the wrap.
            let shapes: [(start: UInt64, isDouble: Bool)] = [
                (0, true), (mebibyte - 4096, false), (mebibyte - 12288, true), (mebibyte - 65536, true),
            ]
            for (index, shape) in shapes.enumerated() {
                var image = try TinyImage()
                let data = image.append([UInt8](repeating: 9, count: 1 << 20))
                image.setLogGUID(testGUID)
                let page = TinyImage.tablePage([0, data | 6])
                var entry = TinyLogEntry(
                    sequence: 1 << 32 | 5, tail: UInt32(shape.start), last: 5 << 20,
                    changes: [.page(offset: TinyImage.table, page)])
                let next = image.log(entry, at: shape.start)
                if shape.isDouble {
                    entry.sequence += 1
                    entry.changes = [
                        .zero(offset: TinyImage.table + 4096, count: 8192), .page(offset: TinyImage.table, page),
                    ]
                    image.log(entry, at: next)
                }
                let path = folder + "/\(index).vhdx"
                try Self.store(image.contents, path)
                let repair = try Self.run(["check", "-r", "all", "-f", "vhdx", path])
                #expect(repair.status == 0, "\(repair.output)")
                let ours = try contents(of: try VHDXLayer(reading: image.file), 0..<8 << 20)
                let theirs = try contents(of: try VHDXLayer(reading: try PosixFile(path)), 0..<8 << 20)
                let same = areEqual(ours, theirs)
                #expect(same, "\(shape)")
                #expect(ours[1 << 20] == 9)
            }
        }
    }

    private static func change(_ path: String) throws {
        let writer = try VHDXLayer(writing: try PosixFile(path, .write))
        try writer.write([UInt8](repeating: 5, count: 4096).rawBytes, at: 20 << 20)
        try writer.write([UInt8](repeating: 6, count: 4096).rawBytes, at: 512)
        try writer.close()
    }

    /// Images of qemu's making: every option it has.
    @Test(
        .enabled(if: program != nil),
        arguments: [
            "subformat=dynamic", "subformat=fixed", "subformat=fixed,block_state_zero=off",
            "subformat=dynamic,block_state_zero=off",
            "subformat=dynamic,log_size=4M,block_size=1M",
        ])
    func readsAndWritesImagesOfQemu(_ options: String) throws {
        try Self.withFolder { folder in
            let path = folder + "/q.vhdx"
            let made = try Self.run(["create", "-f", "vhdx", "-o", options, path, "40M"])
            #expect(made.status == 0, "\(made.output)")
            try Self.change(path)
            let check = try Self.run(["check", "-f", "vhdx", path])
            #expect(check.status == 0, "\(check.output)")
            try Self.compareWithRaw(path, folder, 40 << 20, options)
        }
    }
}
