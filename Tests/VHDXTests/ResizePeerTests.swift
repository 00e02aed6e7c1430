import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Foundation
import Testing

@testable import VHDX

/// Images resized and compacted by us, as other programs see them; and real images of other makers, edited by us.
@Suite(.serialized) struct ResizePeerTests {
    private static let missed = "images we resized were not compared with it"
    private static let sevenZip = PeerProgram.find("7z", missed)
    private static let vhdiinfo = PeerProgram.find("vhdiinfo", missed)

    /// Edits an image in its folder, and asks everybody.
    private struct Subject {
        let folder: String
        let path: String
        var view: DiskView
        var name: String

        init(_ folder: String, _ name: String) throws {
            (self.folder, self.name) = (folder, name)
            path = folder + "/a.vhdx"
            view = try DiskView(VHDXLayer(reading: try PosixFile(path)))
        }

        mutating func run(_ edit: Edit, _ expected: DiskView) throws {
            do {
                let file = try PosixFile(path, .write)
                let planned = try edit.plan(file)
                #expect(try edit.run(file) == planned, "\(name), \(edit.name)")
                #expect(try edit.isDone(file), "\(name), \(edit.name)")
            }
            view = expected
            try judge(edit.name)
        }

        mutating func write(_ seed: inout SplitMix, count: Int) throws {
            let layer = try VHDXLayer(writing: try PosixFile(path, .write))
            for _ in 0..<count {
                let sector = UInt64(layer.geometry.logicalSectorByteCount)
                let at = UInt64.random(in: 0..<view.size / sector, using: &seed) * sector
                try layer.write(seed.bytes(Int(sector)).rawBytes, at: at)
            }
            try layer.writeZeroes(0..<min(view.size, 3 << 20))
            try layer.close()
            view = try DiskView(VHDXLayer(reading: try PosixFile(path)))
        }

        /// Its first 64 MiB: qemu takes minutes over large sparse disks.
        private func compareStart(_ step: String) throws {
            let raw = folder + "/start"
            let copy = try QemuTests.run(
                ["dd", "-f", "vhdx", "-O", "raw", "bs=1M", "count=64", "if=" + path, "of=" + raw])
            #expect(copy.status == 0, "\(name), \(step): \(copy.output)")
            let layer = try VHDXLayer(reading: try PosixFile(path))
            let theirs = try PosixFile(raw)
            for start in stride(from: 0, to: UInt64(64 << 20), by: 1 << 20) {
                let ours = try contents(of: layer, start..<start + (1 << 20))
                #expect(
                    try theirs.bytes(at: start, count: 1 << 20) == ours, "\(name), \(step): other bytes at \(start)")
            }
        }

        func judge(_ step: String) throws {
            let layer = try VHDXLayer(reading: try PosixFile(path))
            _ = try layer.census()
            #expect(layer.findings.allSatisfy { $0.severity == .information }, "\(name), \(step): \(layer.findings)")
            #expect(try DiskView(layer) == view, "\(name), \(step): other contents")
            guard layer.type != .differencing else { return }
            if QemuTests.program != nil {
                let check = try QemuTests.run(["check", "-f", "vhdx", path])
                #expect(check.status == 0, "\(name), \(step): \(check.output)")
                if view.size < 4 << 30 {
                    try QemuTests.compareWithRaw(path, folder, view.size, "\(name), \(step)")
                } else {
                    try compareStart(step)
                }
            }
            // 7-Zip opens no image of a size that is not whole MiB, whoever made it.
            if let sevenZip, QemuTests.program != nil, view.size % (1 << 20) == 0, view.size <= 1 << 26 {
                let result = try PeerProgram.output(sevenZip, ["e", "-so", "-tVHDX", path])
                let same = result.bytes == (try Data(contentsOf: URL(fileURLWithPath: folder + "/raw")))
                #expect(result.status == 0 && same, "\(name), \(step): 7z")
            }
            if let vhdiinfo {
                let result = try PeerProgram.output(vhdiinfo, [path])
                let text = String(decoding: result.bytes, as: UTF8.self)
                #expect(result.status == 0 && text.contains("(\(view.size) bytes)"), "\(name), \(step): \(text)")
            }
        }
    }

    static let shapes: [QemuTests.Shape] = [
        .init(.dynamic, 40 << 20, 1 << 20), .init(.dynamic, (100 << 20) + 512, 4 << 20),
        .init(.fixed, 6 << 20, 1 << 20),
        .init(.dynamic, 5 << 30, 32 << 20),
    ]

    @Test(arguments: shapes) func ourImages(_ shape: QemuTests.Shape) throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix(seed: seed)
        try QemuTests.withFolder { folder in
            try VHDXCreator.create(
                on: try PosixFile(folder + "/a.vhdx", .create), type: shape.type, virtualByteCount: shape.size,
                blockByteCount: shape.block)
            try steps(folder, "\(shape), seed \(seed)", isFixed: shape.type == .fixed, &random)
        }
    }

    @Test(.enabled(if: QemuTests.program != nil), arguments: ["block_size=1M", "subformat=fixed,block_size=2M", ""])
    func imagesOfQemu(_ options: String) throws {
        var random = SplitMix(seed: 7)
        try QemuTests.withFolder { folder in
            let made = try QemuTests.run(
                ["create", "-f", "vhdx"] + (options.isEmpty ? [] : ["-o", options]) + [folder + "/a.vhdx", "24M"])
            #expect(made.status == 0, "\(made.output)")
            // Its fixed images have no blocks in state 6, which is a warning.
            if options.hasPrefix("subformat=fixed") {
                let layer = try VHDXLayer(writing: try PosixFile(folder + "/a.vhdx", .write))
                for block in 0..<UInt64(12) { try layer.write(random.bytes(512).rawBytes, at: block << 21) }
                try layer.close()
            }
            try steps(folder, "qemu \(options)", isFixed: options.hasPrefix("subformat=fixed"), &random)
        }
    }

    /// Grown in place, grown with another table where that is not too long a file, shrunk, compacted, written to between.
    private func steps(_ folder: String, _ name: String, isFixed: Bool, _ random: inout SplitMix) throws {
        var subject = try Subject(folder, name)
        try subject.write(&random, count: 20)
        let size = subject.view.size
        for newSize in [size + 512, size + (5 << 20), isFixed ? size + (9 << 20) : (150 << 30), size - 512, 5 << 20] {
            try subject.run(.resize(to: newSize), subject.view.resized(to: newSize))
            try subject.write(&random, count: 10)
            try subject.judge("written")
            if !isFixed { try subject.run(.compact, subject.view) }
        }
    }

    // MARK: Real images

    @Test(.enabled(if: CorpusTests.folder != nil), arguments: CorpusTests.expectations)
    func corpus(_ expectation: CorpusTests.Expectation) throws {
        try QemuTests.withFolder { folder in
            try QemuTests.store(try CorpusTests.image(expectation.file).contents, folder + "/a.vhdx")
            // With the log replayed, if there is one: overlays know no holes.
            _ = try EditSession(try PosixFile(folder + "/a.vhdx", .write), plansOnly: false)
            let before = try VHDXLayer(reading: try PosixFile(folder + "/a.vhdx"))
            let (type, size) = (before.type, before.geometry.virtualByteCount)
            let byteCount = try before.file.byteCount()
            var subject = try Subject(folder, expectation.file)
            let original = subject.view
            for newSize in [size + 4096, size + (1 << 30), size] {
                // Contents behind the end are never there, so the way back shows what was.
                let view = original.resized(
                    to: newSize, isDifferencing: type == .differencing, blockByteCount: before.geometry.blockByteCount!)
                if type == .differencing {
                    _ = try VHDXResizer.resize(try PosixFile(subject.path, .write), to: newSize, progress: quiet)
                    subject.view = try DiskView(VHDXLayer(reading: try PosixFile(subject.path)))
                    #expect(subject.view.sectors == view.sectors && subject.view.size == newSize)
                } else {
                    try subject.run(.resize(to: newSize), view)
                }
            }
            #expect(subject.view == original)
            if type != .fixed { try subject.run(.compact, original) }
            let after = try VHDXLayer(reading: try PosixFile(subject.path))
            let parent =
                after.parentLink == nil ? nil : try VHDXLayer(reading: try CorpusTests.image("fat-parent.vhdx"))
            #expect(try CorpusTests.hash(after, parent: parent) == expectation.hash)
            print(
                "VHDX resize and compaction, \(expectation.file): \(byteCount) bytes before, "
                    + "\(try after.file.byteCount()) after, contents equal")
        }
    }
}
