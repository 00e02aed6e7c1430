import DiskModel
import Foundation
import Testing
import ToolTesting

/// Which layer of a chain a range, or one sector, comes from.
@Suite struct VHDMapChainTests {
    /// Four layers; each has a sector of its own in the first block, the base the whole block.
    private func chain(_ format: ImageFormat, _ scratch: Scratch) throws -> SmallChain {
        var chain = SmallChain(format, in: scratch, blockByteCount: 2 << 20)
        try chain.add("0", [(0, 0x10, 2 << 20)])
        for level in 1..<4 { try chain.add("\(level)", [(UInt64(level) * 4096, UInt8(level), 512)]) }
        return chain
    }

    @Test(arguments: [ImageFormat.vhd, .vhdx]) func namesTheLayer(_ format: ImageFormat) throws {
        let scratch = try Scratch()
        let chain = try chain(format, scratch)
        let arguments = ["--chain", "--tsv", "--columns", "start,length,state,layer,file", chain.leaf]
        let map = try runTool("vhdmap", arguments)
        #expect(map.exit == 0, "\(map.error)")
        func row(_ start: Int, _ length: Int, _ layer: Int) -> String {
            "\(start)\t\(length)\tdata\t\(layer)\t\(chain.paths[3 - layer])"
        }
        let rows = map.output.split(separator: "\n").map(String.init)
        #expect(rows[1] == row(0, 4096, 3))
        for level in 1..<4 {
            #expect(rows[level * 2] == row(level * 4096, 512, 3 - level))
            let end = level < 3 ? (level + 1) * 4096 : 2 << 20
            #expect(rows[level * 2 + 1] == row(level * 4096 + 512, end - level * 4096 - 512, 3))
        }
        #expect(rows[8] == "\(2 << 20)\t\(62 << 20)\thole\t3\t\(chain.paths[0])" && rows.count == 9)
    }

    /// One sector: text, JSON and TSV name number and path of its layer.
    @Test func oneSector() throws {
        let scratch = try Scratch()
        let chain = try chain(.vhdx, scratch)
        for (sector, layer) in [(0, 3), (8, 2), (9, 3), (16, 1), (24, 0), (25, 3)] {
            let path = chain.paths[3 - layer]
            let text = try runTool("vhdmap", ["--chain", "--sector", "\(sector)", chain.leaf]).output
            let lines = text.split(separator: "\n")
            #expect(lines.count == 3 && lines[2] == "1 extent: data 512 B")
            let words = lines[1].split(separator: " ").map(String.init)
            #expect(words[0] == "\(sector * 512)" && words[3] == "\(layer)" && words.last == path)
            let tsv = try runTool(
                "vhdmap", ["--chain", "--sector", "\(sector)", "--tsv", "--columns", "layer,file", chain.leaf])
            #expect(tsv.output == "layer\tfile\n\(layer)\t\(path)\n")
            let json = try runTool("vhdmap", ["--chain", "--sector", "\(sector)", "--json", chain.leaf]).output
            let extent = try #require(
                try JSONSerialization.jsonObject(with: Data(json.split(separator: "\n")[1].utf8)) as? [String: Any])
            #expect(extent["layer"] as? Int == layer && extent["file"] as? String == path)
            #expect(extent["length"] as? Int == 512)
            if let complaints = try schemaComplaints(json, schema: "vhdmap") { #expect(complaints == "") }
        }
    }

    /// A sector is the disk's own, not 512 bytes.
    @Test func largeSectors() throws {
        let scratch = try Scratch()
        let disk = scratch.path("disk.vhdx")
        #expect(try runTool("vhdcreate", ["-q", "--sector", "4096", disk, "64M"]).exit == 0)
        let map = try runTool("vhdmap", ["--tsv", "--columns", "start,length", "--sector", "3", disk])
        #expect(map.output == "start\tlength\n12288\t4096\n")
        #expect(try runTool("vhdmap", ["--sector", "16383", disk]).exit == 0)
        for sector in ["16384", "18446744073709551615"] {
            let past = try runTool("vhdmap", ["--sector", sector, disk])
            #expect(past.exit == 2)
            #expect(
                past.error
                    == "vhdmap: \(disk): there is no sector \(sector): the disk has 16384, of 4096 bytes each\n")
        }
    }

    @Test func usage() throws {
        for arguments in [["--sector", "1", "--range", "0+1"], ["--sector", "1", "--unclaimed"], ["--sector", "x"]] {
            #expect(try runTool("vhdmap", arguments + ["disk"]).exit == 64, "\(arguments)")
        }
    }
}
