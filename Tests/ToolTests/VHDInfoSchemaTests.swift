import Foundation
import Testing
import ToolTesting

/// What `vhdinfo --json` prints is what docs/schema says.
@Suite struct VHDInfoSchemaTests {
    @Test func documentsFitTheSchema() throws {
        let scratch = try Scratch()
        let raw = try scratch.write("disk.raw", [UInt8](repeating: 1, count: 1 << 20))
        var images = [raw, scratch.path("absent")]
        if let folder = try Corpus.unpackedFolder() {
            images += Corpus.expectations.map { "\(folder)/\($0.file)" }
            for name in ["fat-differential.vhd", "fat-differential.vhdx", "xen-child.vhd"] {
                try FileManager.default.copyItem(atPath: "\(folder)/\(name)", toPath: scratch.path(name))
                images.append(scratch.path(name))
            }
            // A damaged block table: described as far as it goes, and an error.
            var bytes = try fileBytes("\(folder)/ext2.vhd")
            bytes.replaceSubrange(1536..<1544, with: [0, 0, 0, 4, 0, 0, 0, 4])
            images.append(try scratch.write("overlapping.vhd", bytes))
        }
        let arguments = ["--json", "-v", "--format", "raw"]
        let hashed = try runTool("vhdinfo", arguments + ["--hash", "md5,sha1,sha256,sha512", raw])
        #expect(hashed.exit == 0)
        let printed = try runTool("vhdinfo", arguments + images)
        #expect(printed.exit == 2)
        guard let complaints = try schemaReport(hashed.output + printed.output, schema: "vhdinfo") else { return }
        #expect(complaints == "\(images.count + 1) documents\n")
    }

    /// The validator does complain.
    @Test func wrongDocumentsDoNotFit() throws {
        let scratch = try Scratch()
        let raw = try scratch.write("disk.raw", [UInt8](repeating: 1, count: 1 << 20))
        let right = try runTool("vhdinfo", ["--json", "--format", "raw", raw]).output
        for (old, new) in [
            (#""virtual_size":1048576"#, #""virtual_size":"1 MiB""#), (#""gaps":[],"#, ""),
            (#""state":"none""#, #""state":"fine""#), (#""disk_id":null"#, #""disk_id":"7""#),
        ] {
            #expect(right.contains(old))
            guard
                let complaints = try schemaReport(
                    right.replacingOccurrences(of: old, with: new), schema: "vhdinfo")
            else { return }
            #expect(complaints != "1 documents\n")
        }
    }
}
