import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Foundation
import ImageChain
import Testing
import ToolTesting

/// What merging leaves, held against readings that know nothing of our code: 7-Zip's of VHDX chains, and the blocks and
/// bitmaps of VHDs taken straight from the bytes, as XenServer merges them.
@Suite struct MergePeerTests {
    private let scratch: Scratch
    init() throws { scratch = try Scratch(inMemory: true) }

    /// A base and two children; each a few runs and some zeros.
    private func chain(_ format: ImageFormat, blocks: [UInt64]) throws -> [String] {
        var random = SplitMix(seed: 31)
        let ending = format == .vhd ? "vhd" : "vhdx"
        let paths = ["base", "middle", "leaf"].map { scratch.path("\($0).\(ending)") }
        let size: UInt64 = 9 << 20
        for (index, path) in paths.enumerated() {
            do {
                let file = try PosixFile(path, .create)
                if index == 0 {
                    var image = NewImage(
                        format: format, type: .dynamic, virtualByteCount: size, created: 1_700_000_000)
                    image.blockByteCount = blocks[0]
                    try image.create(on: file)
                } else {
                    try Snapshot(of: paths[index - 1], as: path, blockByteCount: blocks[index])
                        .create(on: file, created: 1_700_000_000)
                }
            }
            let disk = try ImageChain.open(writing: path)
            for _ in 0..<12 {
                let start = UInt64.random(in: 0..<size / 512 - 300, using: &random) * 512
                try disk.write(random.bytes(512 * Int.random(in: 1...200, using: &random)), at: start)
            }
            let zeros = UInt64.random(in: 0..<size / 512 - 300, using: &random) * 512
            try disk.writeZeroes(zeros..<zeros + 100 * 512)
            try disk.close()
        }
        return paths
    }

    private func contents(_ path: String) throws -> [UInt8] {
        let chain = try ImageChain.open(path)
        return try chain.bytes(at: 0, count: Int(chain.geometry.virtualByteCount))
    }

    @Test(arguments: [[1 << 20, 1 << 20, 1 << 20], [2 << 20, 1 << 20, 4 << 20]] as [[UInt64]])
    func sevenZipReadsTheSame(_ blocks: [UInt64]) throws {
        guard let sevenZip = Peer.find("7z") else { return }
        let paths = try chain(.vhdx, blocks: blocks)
        func read(_ path: String) throws -> [UInt8] {
            let run = try runProgram(sevenZip, ["e", "-so", "-tVHDX", path], folder: scratch.folder)
            #expect(run.exit == 0, "\(run.error)")
            return run.outputBytes
        }
        let shown = try read(paths[2])
        #expect(try shown == contents(paths[2]), "the chain")
        try Merge(paths[2], into: paths[1], plansOnly: false).perform(keepsFiles: true)
        #expect(try read(paths[1]) == shown, "the child merged into, which still has a parent")
        #expect(try read(paths[2]) == shown, "the child kept")
        try Merge(paths[2], into: paths[1], plansOnly: false).perform()
        try Merge(paths[1], plansOnly: false).perform()
        #expect(try read(paths[0]) == shown, "the base")
    }

    /// A VHD as it stands in the file: its present sectors by number, in blocks that are there.
    private struct RawVHD {
        var sectors: [Int: ArraySlice<UInt8>] = [:]
        var blocks: Set<Int> = []
        let sectorsPerBlock: Int

        init(_ path: String) throws {
            let bytes = try fileBytes(path)
            func number(_ at: Int, _ count: Int) -> Int { bytes[at..<at + count].reduce(0) { $0 << 8 | Int($1) } }
            let header = number(bytes.count - 512 + 16, 8)
            let (table, entryCount) = (number(header + 16, 8), number(header + 28, 4))
            sectorsPerBlock = number(header + 32, 4) / 512
            let bitmapSectors = (sectorsPerBlock + 4095) / 4096
            for block in 0..<entryCount {
                let entry = number(table + 4 * block, 4)
                guard entry != 0xffff_ffff else { continue }
                blocks.insert(block)
                for sector in 0..<sectorsPerBlock
                where bytes[entry * 512 + sector / 8] & (0x80 >> UInt8(sector % 8)) != 0 {
                    let data = (entry + bitmapSectors + sector) * 512
                    sectors[block * sectorsPerBlock + sector] = bytes[data..<data + 512]
                }
            }
        }
    }

    /// The parent has its own sectors and the child's, where both have one the child's, and no others.
    @Test(arguments: [[512 << 10, 512 << 10, 512 << 10], [2 << 20, 512 << 10, 2 << 20]] as [[UInt64]])
    func bitmapsAreJoined(_ blocks: [UInt64]) throws {
        let paths = try chain(.vhd, blocks: blocks)
        let (middle, leaf) = (try RawVHD(paths[1]), try RawVHD(paths[2]))
        let shared = Set(middle.sectors.keys).intersection(leaf.sectors.keys)
        #expect(!shared.isEmpty && middle.sectors.count > shared.count && leaf.sectors.count > shared.count)
        let shown = try contents(paths[2])
        try Merge(paths[2], into: paths[1], plansOnly: false).perform()
        let merged = try RawVHD(paths[1])
        let expected = middle.sectors.merging(leaf.sectors) { $1 }
        // A child's zeros over what reads as zeros already need no sector in the parent.
        let missing = Set(expected.keys).subtracting(merged.sectors.keys)
        #expect(missing.allSatisfy { sector in expected[sector]?.allSatisfy { $0 == 0 } == true })
        #expect(Set(merged.sectors.keys).isSubset(of: expected.keys), "sectors that nobody wrote")
        #expect(merged.sectors.allSatisfy { $1 == expected[$0] })
        #expect(merged.blocks == Set(merged.sectors.keys.map { $0 / merged.sectorsPerBlock }))
        #expect(try contents(paths[1]) == shown)
    }
}
