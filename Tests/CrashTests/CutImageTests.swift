import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Foundation
import ImageChain
import Testing
import ToolTesting
import VHD
import VHDX

/// Writers cut off by a power cut, from the outside: the files are opened through `ImageOpener`, for reading and for
/// writing, and a sample is judged by qemu-img.
@Suite(.serialized) struct CutImageTests {
    struct Kind: Sendable, CustomStringConvertible {
        var description: String
        var qemuFormat: String
        var make: @Sendable (MemoryFile) throws -> Void
    }

    static let byteCount: UInt64 = 6 << 20
    /// Images a moment; more with VHDTOOLS_CUT_IMAGES.
    static let imageLimit = ProcessInfo.processInfo.environment["VHDTOOLS_CUT_IMAGES"].flatMap(Int.init) ?? 16
    static let kinds: [Kind] = [
        Kind(description: "dynamic VHD", qemuFormat: "vpc") { file in
            try VHDCreator.create(
                on: file, type: .dynamic, virtualByteCount: byteCount, blockByteCount: 512 << 10,
                uniqueID: .random(), created: DiskTimestamp(rawValue: 1))
        },
        Kind(description: "fixed VHD", qemuFormat: "vpc") { file in
            try VHDCreator.create(
                on: file, type: .fixed, virtualByteCount: byteCount, uniqueID: .random(),
                created: DiskTimestamp(rawValue: 1))
        },
        Kind(description: "dynamic VHDX", qemuFormat: "vhdx") { file in
            try VHDXCreator.create(on: file, type: .dynamic, virtualByteCount: byteCount, blockByteCount: 1 << 20)
        },
        Kind(description: "fixed VHDX", qemuFormat: "vhdx") { file in
            try VHDXCreator.create(on: file, type: .fixed, virtualByteCount: byteCount, blockByteCount: 1 << 20)
        },
    ]

    /// What each 512-byte sector may hold: the last value acknowledged, or any written after.
    struct Model {
        var acknowledged: [UInt64: UInt8] = [:]
        var since: [UInt64: Set<UInt8>] = [:]

        func allows(_ value: UInt8, _ sector: UInt64) -> Bool {
            value == acknowledged[sector] ?? 0 || since[sector]?.contains(value) == true
        }
    }

    /// Runs writes, zeroings and flushes; returns the recording and, for each flush acknowledged, the model then.
    static func session(_ kind: Kind, seed: UInt64) throws -> (RecordingFile.Recording, [Model]) {
        let image = MemoryFile([])
        try kind.make(image)
        let file = RecordingFile(image.contents)
        let disk = try ImageOpener.layer(writing: file)
        var random = SplitMix(seed: seed)
        var models = [Model()]
        var acknowledged: [UInt64: UInt8] = [:]
        for step in 1...24 {
            let sector = UInt64.random(in: 0..<byteCount / 512 - 4, using: &random)
            let range = sector..<sector + UInt64.random(in: 1...4, using: &random)
            // Never the same value twice, so that each sector tells which write it is from; 0 for zeroings.
            let value = step % 7 == 0 ? 0 : UInt8(step)
            if value == 0 {
                try disk.writeZeroes(range.lowerBound * 512..<range.upperBound * 512)
            } else {
                try disk.write([UInt8](repeating: value, count: range.count * 512).rawBytes, at: range.lowerBound * 512)
            }
            for sector in range { models[models.count - 1].since[sector, default: []].insert(value) }
            for sector in range { acknowledged[sector] = value }
            if step % 5 == 0 {
                try disk.flush()
                file.mark(models.count)
                models.append(Model(acknowledged: acknowledged))
            }
        }
        try disk.close()
        file.mark(models.count)
        models.append(Model(acknowledged: acknowledged))
        return (file.recording, models)
    }

    struct Tally {
        var images = 0
        var unreadable = 0
        var lost = 0
        var stray = 0
        var judged = 0
        var first = ""
        var failures: Int { unreadable + lost + stray }
        mutating func note(_ keyPath: WritableKeyPath<Tally, Int>, _ text: String) {
            self[keyPath: keyPath] += 1
            if first.isEmpty { first = text }
        }
    }

    /// The whole disk; nil with the reason when it does not open.
    private static func contents(_ disk: any DiskLayer) throws -> MemoryFile.Contents {
        var result = MemoryFile.Contents()
        result.resize(to: byteCount)
        var position: UInt64 = 0
        while position < byteCount {
            for extent in try disk.extents(in: position..<byteCount, limit: 64) {
                position = extent.end
                guard case .file(let offset) = extent.source else { continue }
                let bytes = try disk.file.bytes(at: offset, count: Int(extent.byteCount))
                forEachNonzeroRun(in: bytes.rawBytes) { run in
                    result.write(bytes.rawBytes.extracting(run), at: extent.offset + UInt64(run.lowerBound))
                }
            }
        }
        return result
    }

    /// Later writes may be on the medium though not acknowledged: every model from the last acknowledged on allows.
    private static func judge(
        _ found: MemoryFile.Contents, _ models: ArraySlice<Model>, _ tally: inout Tally, _ fates: String
    ) {
        let base = models.first!
        var sectors = Set(base.acknowledged.keys)
        for page in found.pages.pageIndices { for part in 0..<8 as Range<UInt64> { sectors.insert(page * 8 + part) } }
        for sector in sectors where sector < byteCount / 512 {
            let bytes = found.bytes(sector * 512..<sector * 512 + 512)
            let value = bytes[0]
            guard bytes == [UInt8](repeating: value, count: 512) else {
                tally.note(\.stray, "sector \(sector) is mixed: \(fates)")
                continue
            }
            if value == base.acknowledged[sector] ?? 0
                || models.contains(where: { $0.since[sector]?.contains(value) == true })
            {
                continue
            }
            tally.note(value == 0 ? \.lost : \.stray, "sector \(sector) holds \(value): \(fates)")
        }
    }

    static func enumerate(
        _ kind: Kind, _ recording: RecordingFile.Recording, _ models: [Model], seed: UInt64, limit: Int
    )
        throws -> Tally
    {
        var tally = Tally()
        let scratch = try Scratch(inMemory: true)
        PowerCuts(recording, imageLimit: limit, seed: seed).forEachImage { image in
            tally.images += 1
            do {
                let disk = try ImageOpener.layer(reading: MemoryFile(image.contents))
                let found = try contents(disk)
                judge(found, models[(image.marks.last ?? 0)...], &tally, image.fates)
                // The next session mends what the cut left, and changes nothing else.
                let file = MemoryFile(image.contents)
                try ImageOpener.layer(writing: file).close()
                let after = try contents(try ImageOpener.layer(reading: file))
                if after.allBytes != found.allBytes { tally.note(\.lost, "mending changed the disk: \(image.fates)") }
                if tally.images % 40 == 1 { try qemuAgrees(kind, image, found, scratch, &tally) }
            } catch { tally.note(\.unreadable, "\(error): \(image.fates)") }
        }
        return tally
    }

    private static func qemuAgrees(
        _ kind: Kind, _ image: PowerCuts.Image, _ found: MemoryFile.Contents, _ scratch: Scratch, _ tally: inout Tally
    ) throws {
        guard let qemu = Peer.find("qemu-img") else { return }
        let (cut, raw) = (scratch.path("cut"), scratch.path("raw"))
        for (path, contents) in [(cut, image.contents), (raw, found)] {
            try? FileManager.default.removeItem(atPath: path)
            let file = try PosixFile(path, .create)
            try file.resize(to: contents.byteCount)
            for page in contents.pages.pageIndices where page * 4096 < contents.byteCount {
                let range = page * 4096..<min(contents.byteCount, page * 4096 + 4096)
                try file.write(contents.bytes(range), at: range.lowerBound)
            }
        }
        if kind.qemuFormat == "vhdx" {
            let check = try runProgram(qemu, ["check", "-f", "vhdx", "-r", "all", cut])
            if check.exit != 0 {
                tally.note(\.unreadable, "qemu-img check: \(check.output)\(check.error): \(image.fates)")
            }
        }
        let compare = try runProgram(qemu, ["compare", "-f", kind.qemuFormat, "-F", "raw", cut, raw])
        if compare.exit != 0 {
            tally.note(\.lost, "qemu-img compare: \(compare.output)\(compare.error): \(image.fates)")
        }
        tally.judged += 1
    }

    @Test(arguments: kinds)
    func nothingIsLost(kind: Kind) throws {
        var total = Tally()
        for seed: UInt64 in [1, 2] {
            let (recording, models) = try Self.session(kind, seed: seed)
            let tally = try Self.enumerate(kind, recording, models, seed: seed, limit: Self.imageLimit)
            total.images += tally.images
            total.judged += tally.judged
            #expect(tally.failures == 0, "seed \(seed): \(tally.first)")
        }
        print(
            "power cuts, \(kind): \(total.images) images, unreadable \(total.unreadable), lost \(total.lost), stray "
                + "\(total.stray); \(total.judged) judged by qemu-img")
        #expect(total.images > 50)
    }

    /// The same sessions on a medium that forgets to flush: what the suite is for.
    @Test(arguments: kinds.filter { $0.description.hasPrefix("dynamic") })
    func missingFlushesAreCaught(kind: Kind) throws {
        var (recording, models) = try Self.session(kind, seed: 1)
        recording.operations.removeAll { if case .sync = $0 { true } else { false } }
        models = Array(models)
        let tally = try Self.enumerate(kind, recording, models, seed: 1, limit: 40)
        #expect(tally.failures > 0, "the control was not caught in \(tally.images) images")
    }
}
