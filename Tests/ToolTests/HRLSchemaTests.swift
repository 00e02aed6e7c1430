import Foundation
import Testing
import ToolTesting

/// What the log tools print as JSON is what docs/schema says.
@Suite struct HRLSchemaTests {
    private let scratch: Scratch

    init() throws {
        scratch = try Scratch()
        _ = try scratch.write("1.hrl", try HRLSample.log())
        _ = try scratch.write("2.hrl", try HRLSample.log(id: HRLSample.second, after: HRLSample.first, checksums: true))
        _ = try scratch.write("3.hrl", try HRLSample.log(id: HRLSample.third, after: HRLSample.second))
        _ = try scratch.write("unclosed.hrl", try HRLSample.log(isClosed: false))
        for (number, damage) in HRLDamage.all.enumerated() {
            _ = try scratch.write("bad\(number).hrl", try damage.brokenLog())
        }
        try HRLSample.makeDisk(scratch.path("disk.vhdx"))
        try HRLSample.makeDisk(scratch.path("new.vhdx"))
    }

    private static let runs: [String: [[String]]] = [
        "hrl-dump": [
            ["1.hrl", "2.hrl"], ["--sha256", "--preview", "9", "2.hrl"], ["-v", "unclosed.hrl"], ["absent.hrl"],
            ["--records", "9", "1.hrl"], ["--accept", "HRL016", "bad18.hrl"],
        ] + HRLDamage.all.indices.map { ["bad\($0).hrl"] },
        "hrl-check": [
            ["1.hrl"], ["-v", "2.hrl", "1.hrl", "--base", "disk.vhdx"], ["1.hrl", "3.hrl"], ["unclosed.hrl", "2.hrl"],
            ["absent.hrl"], ["unclosed.hrl", "--recover", "out.hrl"], ["--accept", "HRL016", "bad18.hrl"],
        ] + HRLDamage.all.indices.map { ["bad\($0).hrl"] },
        "hrl-stat": [
            ["1.hrl"], ["--base", "disk.vhdx", "3.hrl", "2.hrl", "1.hrl"], ["--disk-size", "1K", "1.hrl"],
            ["--since", "2026-01-01T00:00:00Z", "1.hrl"], ["--disk", "0+512", "--svg", "a.svg", "1.hrl"],
            ["unclosed.hrl"], ["--unlinked", "1.hrl", "3.hrl"], ["1.hrl", "3.hrl"], ["absent.hrl"],
            ["--accept", "HRL016", "--verify", "bad18.hrl"],
        ] + HRLDamage.all.indices.map { ["bad\($0).hrl"] },
        "hrl-apply": [
            ["--dry-run", "--to", "disk.vhdx", "1.hrl", "2.hrl"], ["--to", "disk.vhdx", "--unlinked", "2.hrl"],
            ["--to", "disk.vhdx", "bad0.hrl"], ["--to", "disk.vhdx", "1.hrl", "3.hrl"], ["--to", "absent", "1.hrl"],
            ["--to", "disk.vhdx", "--until-record", "1", "1.hrl"],
            ["--to", "disk.vhdx", "--undo", "u.hrl", "1.hrl"], ["--to", "disk.vhdx", "--undo", "u.hrl", "1.hrl"],
            ["--dry-run", "--to", "disk.vhdx", "--undo", "v.hrl", "1.hrl"],
            ["--until-record", "0", "--to", "disk.vhdx", "--undo", "v.hrl", "1.hrl"],
            ["--strict", "--to", "disk.vhdx", "--undo", "1.hrl", "2.hrl"],
        ],
        "hrl-diff": [
            ["disk.vhdx", "new.vhdx", "-o", "a.hrl"], ["--after", "1.hrl", "new.vhdx", "disk.vhdx", "-o", "b.hrl"],
            ["--dry-run", "disk.vhdx", "new.vhdx", "-o", "c.hrl"], ["disk.vhdx", "absent", "-o", "c.hrl"],
        ],
        "hrl-merge": [
            ["1.hrl", "2.hrl", "-o", "d.hrl"], ["--dry-run", "--unlinked", "3.hrl", "-o", "e.hrl"],
            ["1.hrl", "3.hrl", "-o", "e.hrl"], ["unclosed.hrl", "-o", "e.hrl"], ["absent", "-o", "e.hrl"],
        ],
    ]

    @Test(arguments: ["hrl-dump", "hrl-check", "hrl-stat", "hrl-apply", "hrl-diff", "hrl-merge"])
    func realOutputFits(tool: String) throws {
        var lines = ""
        for arguments in Self.runs[tool] ?? [] {
            lines += try runTool(tool, ["--json"] + arguments, folder: scratch.folder).output
        }
        guard let complaints = try schemaReport(lines, schema: tool) else { return }
        #expect(complaints == "\(lines.split(separator: "\n").count) documents\n")
    }

    /// The validator does complain.
    @Test func wrongLinesDoNotFit() throws {
        let right = try runTool("hrl-dump", ["--json", "1.hrl"], folder: scratch.folder).output
        let count = right.split(separator: "\n").count
        for (old, new) in [
            (#""slot":0,"#, ""), (#""checksum":"ok""#, #""checksum":"fine""#), (#""n":1,"#, #""n":"1","#),
            (#""problems":0"#, #""problems":null"#),
        ] {
            #expect(right.contains(old))
            guard
                let complaints = try schemaReport(
                    right.replacingOccurrences(of: old, with: new), schema: "hrl-dump")
            else {
                return
            }
            #expect(complaints != "\(count) documents\n")
        }
    }
}
