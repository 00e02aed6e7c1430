import BlockIO
import ByteCodec
import DiskModel
import Foundation
import Testing
import ToolTesting
import VHDX

/// `vhdinfo --chain` with the built tool.
@Suite struct VHDInfoChainTests {
    private let scratch = try! Scratch()

    private func chain(_ format: ImageFormat, _ names: [String]) throws -> SmallChain {
        var chain = SmallChain(format, in: scratch)
        for (index, name) in names.enumerated() {
            try chain.add(name, [(UInt64(index) << 20, UInt8(index + 1), 4096)])
        }
        return chain
    }

    private func chainLines(_ arguments: [String], exit: Int32) throws -> [String] {
        let result = try runTool("vhdinfo", ["--chain"] + arguments, folder: scratch.folder)
        #expect(result.exit == exit, "\(result.error)")
        return result.output.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    private func result(_ arguments: [String], exit: Int32) throws -> [String: Any] {
        let json = try runTool("vhdinfo", ["--json", "--chain"] + arguments, folder: scratch.folder)
        #expect(json.exit == exit, "\(json.error)")
        if let complaints = try schemaComplaints(json.output, schema: "vhdinfo") { #expect(complaints == "") }
        let document = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any]
        return try #require(document?["result"] as? [String: Any])
    }

    /// The command of a repair, as it stands in the text.
    private func command(_ lines: [String]) throws -> String {
        let line = try #require(lines.first { $0.hasPrefix("                vhd") }, "\(lines)")
        return String(line.drop { $0 == " " })
    }

    @Test(arguments: [ImageFormat.vhd, .vhdx]) func whole(_ format: ImageFormat) throws {
        _ = try chain(format, ["base", "mid", "leaf"])
        let lines = try chainLines(["leaf"], exit: 0)
        #expect(lines[0] == "leaf: chain of 3 images, leaf first")
        #expect(lines.filter { $0.first?.isNumber == true } == ["0  leaf", "1  mid", "2  base"])
        #expect(lines.suffix(2) == ["Verdict: whole chain, no warnings", ""])
        let result = try result(["leaf"], exit: 0)
        let links = try #require(result["chain"] as? [[String: Any]])
        #expect(links.map { $0["path"] as? String } == ["leaf", "mid", "base"])
        let ids = links.compactMap { $0["id"] as? String }
        let parents = links.map { $0["parent"] as? [String: Any] }
        #expect(parents[2] == nil && parents[0]?["outcome"] as? String == "match")
        #expect(parents[0]?["found"] as? String == ids[1] && parents[1]?["found"] as? String == ids[2])
        let verdict = try #require(result["chain_verdict"] as? [String: Any])
        #expect(verdict["whole"] as? Bool == true && verdict["images"] as? Int == 3)
    }

    /// Without the option nothing of it is there but the keys.
    @Test func withoutIt() throws {
        _ = try chain(.vhdx, ["base", "leaf"])
        let json = try runTool("vhdinfo", ["--json", "leaf"], folder: scratch.folder)
        let document = try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any]
        let result = try #require(document?["result"] as? [String: Any])
        #expect(result["chain_verdict"] is NSNull)
        let link = try #require((result["chain"] as? [[String: Any]])?.first)
        for key in ["file_size", "log", "readable", "findings", "check_error", "parent", "repairs"] {
            #expect(link[key] is NSNull, "\(key)")
        }
        #expect(try !runTool("vhdinfo", ["leaf"], folder: scratch.folder).output.contains("chain of"))
        // With --all both are printed, in this order.
        let all = try chainLines(["--all", "leaf"], exit: 0)
        let verdicts = all.filter { $0.hasPrefix("Verdict: ") }
        #expect(verdicts.count == 2 && verdicts[1] == "Verdict: whole chain, no warnings")
    }

    /// The command, pasted, mends the chain; a name that a shell would take apart comes out whole.
    @Test(arguments: [ImageFormat.vhd, .vhdx], ["moved", "it's $HOME; a\u{1b}b", "-q"])
    func commandMends(_ format: ImageFormat, _ name: String) throws {
        _ = try chain(format, ["base", "leaf"])
        let contents = try runTool("vhdcat", ["leaf"], folder: scratch.folder).outputBytes
        try FileManager.default.moveItem(atPath: scratch.path("base"), toPath: scratch.path(name))
        let lines = try chainLines(["-q", "leaf"], exit: 3)
        #expect(lines.contains("Verdict: broken chain, the parent of image 0 is missing, no warnings"))
        #expect(!lines.joined().unicodeScalars.contains("\u{1b}"))
        let command = try command(lines)
        let link = try #require((try result(["leaf"], exit: 3)["chain"] as? [[String: Any]])?.first)
        let repair = try #require((link["repairs"] as? [[String: Any]])?.first)
        #expect(repair["command"] as? String == command && repair["kind"] as? String == "relink")
        #expect(
            repair["arguments"] as? [String] == ["vhdrebase", "--parent", name.hasPrefix("-") ? "./-q" : name, "leaf"])
        let pasted = try runProgram(
            "/bin/bash", ["-c", command], folder: scratch.folder,
            environment: ["PATH": builtProductsFolder + ":/usr/bin:/bin"])
        guard !name.unicodeScalars.contains("\u{1b}") else {
            // No image may hold such a name: the command is whole, and refused for that.
            return #expect(pasted.exit == 2 && !pasted.error.contains("No such file"), "\(pasted.error)")
        }
        #expect(pasted.exit == 0, "\(command): \(pasted.error)")
        #expect(try chainLines(["leaf"], exit: 0).contains("Verdict: whole chain, no warnings"))
        #expect(try runTool("vhdcat", ["leaf"], folder: scratch.folder).outputBytes == contents)
    }

    /// Another image stands in the parent's place.
    @Test func writtenParent() throws {
        let chain = try chain(.vhdx, ["base", "mid", "leaf"])
        try FileManager.default.removeItem(atPath: chain.paths[1])
        var other = SmallChain(.vhdx, in: scratch, parent: "base")
        try other.add("mid")
        let lines = try chainLines(["-q", "leaf"], exit: 3)
        #expect(lines.contains("Verdict: broken chain, the parent of image 0 has another id, no warnings"))
        let repair = try #require(
            lines.firstIndex {
                $0.hasPrefix("   repair     mid has another id: it was written after the child was made")
            })
        // The risk first, then the command.
        #expect(lines[repair + 1].hasPrefix("   risk       nothing can tell whether the contents of mid changed since"))
        #expect(lines[repair + 2] == "              only if you are sure that they did not:")
        #expect(lines[repair + 3] == "                vhdrebase --force-identity --parent mid leaf")
        #expect(try command(lines) == "vhdrebase --force-identity --parent mid leaf")
    }

    /// The sign of a merge of more than one image stands in the lowest of them: the command completes it from the leaf.
    @Test func unfinishedMerge() throws {
        let chain = try chain(.vhdx, ["base", "mid", "leaf"])
        let contents = try runTool("vhdcat", ["leaf"], folder: scratch.folder).outputBytes
        try VHDXLinkEditor.setSecondLinkage(try PosixFile(chain.paths[1], .write), to: .random())
        let lines = try chainLines(["-q", "leaf"], exit: 3)
        #expect(lines.contains("Verdict: whole chain, unfinished merge into base, 1 warning"))
        let meaning = "begun and not finished: until it is, only the image with which it was started reads right"
        let row = try #require(lines.firstIndex(of: "   merge      into base \(meaning)"))
        #expect(try #require(lines.firstIndex(of: "1  mid")) < row)
        let warned = try runTool("vhdinfo", ["--chain", "leaf"], folder: scratch.folder).error
        #expect(warned == "vhdinfo: mid: a merge into base was \(meaning)\n")
        let verdict = try #require(try result(["leaf"], exit: 3)["chain_verdict"] as? [String: Any])
        let unfinished = try #require(verdict["unfinished_merge"] as? [String: Any])
        #expect(unfinished["image"] as? Int == 1 && unfinished["target"] as? String == "base")
        #expect(verdict["whole"] as? Bool == true && verdict["warnings"] as? Int == 1)
        let command = try command(lines)
        #expect(command == "vhdmerge --into base leaf")
        let pasted = try runProgram(
            "/bin/bash", ["-c", command], folder: scratch.folder,
            environment: ["PATH": builtProductsFolder + ":/usr/bin:/bin"])
        #expect(pasted.exit == 0, "\(pasted.error)")
        #expect(try scratch.names() == ["base"])
        #expect(try runTool("vhdcat", ["base"], folder: scratch.folder).outputBytes == contents)
    }

    private func paste(_ command: String) throws -> ProgramResult {
        try runProgram(
            "/bin/bash", ["-c", command], folder: scratch.folder,
            environment: ["PATH": builtProductsFolder + ":/usr/bin:/bin"])
    }

    /// The images stand in two folders, both named: each command works as it stands, in the order in which they are printed.
    @Test(arguments: [ImageFormat.vhd, .vhdx], ["", "2"]) func twoFolders(_ format: ImageFormat, _ suffix: String)
        throws
    {
        _ = try chain(format, ["base", "mid", "leaf"])
        let contents = try runTool("vhdcat", ["leaf"], folder: scratch.folder).outputBytes
        for (name, folder) in [("base", "q"), ("mid", "other")] {
            try FileManager.default.createDirectory(atPath: scratch.path(folder), withIntermediateDirectories: false)
            try FileManager.default.moveItem(
                atPath: scratch.path(name), toPath: scratch.path("\(folder)/\(name)\(suffix)"))
        }
        let folders = ["--parent-dir", "q", "--parent-dir", "other"]
        var rounds = 0
        while try runTool("vhdcat", ["leaf"] + folders, folder: scratch.folder).exit != 0 || rounds == 0 {
            rounds += 1
            try #require(rounds < 4)
            var arguments = ["--chain", "-q"] + folders + ["leaf"]
            var commands: [String] = []
            // A command that only looks says itself what is to be done.
            repeat {
                let text = try runTool("vhdinfo", arguments, folder: scratch.folder).output
                commands = text.split(separator: "\n").map { String($0.drop { $0 == " " }) }
                    .filter { $0.hasPrefix("vhdrebase ") || $0.hasPrefix("vhdinfo ") }
                try #require(!commands.isEmpty, "\(text)")
                if commands[0].hasPrefix("vhdinfo ") {
                    arguments = commands[0].split(separator: " ").dropFirst().map(String.init) + ["-q"]
                }
            } while commands[0].hasPrefix("vhdinfo ")
            for command in commands {
                let pasted = try paste(command)
                #expect(pasted.exit == 0, "\(command): \(pasted.error)")
            }
        }
        #expect(try runTool("vhdcat", ["leaf"] + folders, folder: scratch.folder).outputBytes == contents)
    }

    /// The target of an interrupted merge goes by another name: it gets its own back before the merge is completed.
    @Test func unfinishedMergeIntoARenamedTarget() throws {
        let chain = try chain(.vhdx, ["base", "mid", "leaf"])
        let contents = try runTool("vhdcat", ["leaf"], folder: scratch.folder).outputBytes
        try VHDXLinkEditor.setSecondLinkage(try PosixFile(chain.paths[1], .write), to: .random())
        try FileManager.default.moveItem(atPath: scratch.path("base"), toPath: scratch.path("moved"))
        let lines = try chainLines(["-q", "leaf"], exit: 3)
        #expect(!lines.contains { $0.contains("  vhdmerge ") }, "it could not work")
        let command = try #require(lines.first { $0.hasPrefix("                mv ") }).drop { $0 == " " }
        #expect(command == "mv -n moved base" || command == "mv -n ./moved ./base", "\(command)")
        #expect(try paste(String(command)).exit == 0)
        #expect(try self.command(try chainLines(["-q", "leaf"], exit: 3)) == "vhdmerge --into base leaf")
        #expect(try paste("vhdmerge --into base leaf").exit == 0)
        #expect(try runTool("vhdcat", ["base"], folder: scratch.folder).outputBytes == contents)
    }

    /// A pending log does no harm to the status, and the command replays it.
    @Test func pendingLog() throws {
        guard let path = try Corpus.path("vhdx-log-replay.vhdx") else { return }
        try FileManager.default.copyItem(atPath: path, toPath: scratch.path("dirty.vhdx"))
        let lines = try chainLines(["-q", "dirty.vhdx"], exit: 0)
        #expect(lines.contains("Verdict: whole chain, no warnings, 1 pending log"))
        #expect(try command(lines) == "vhdcheck --repair=log dirty.vhdx")
        #expect(try runTool("vhdcheck", ["--repair=log", "dirty.vhdx"], folder: scratch.folder).exit == 0)
        #expect(try chainLines(["dirty.vhdx"], exit: 0).contains("Verdict: whole chain, no warnings"))
    }

    /// A warning raises the status, and the image it is about shows it.
    @Test func warnings() throws {
        guard let folder = try Corpus.unpackedFolder() else { return }
        for name in ["xen-child.vhd", "xen-dyn.vhd"] {
            try FileManager.default.copyItem(atPath: "\(folder)/\(name)", toPath: scratch.path(name))
        }
        let result = try result(["xen-child.vhd"], exit: 3)
        let links = try #require(result["chain"] as? [[String: Any]])
        #expect((links[0]["findings"] as? [[String: Any]])?.map { $0["code"] as? String } == ["VHD030"])
        #expect((links[1]["findings"] as? [Any])?.isEmpty == true)
        #expect((result["chain_verdict"] as? [String: Any])?["warnings"] as? Int == 1)
    }

    @Test func rawAndAbsent() throws {
        _ = try scratch.write("disk.raw", [UInt8](repeating: 1, count: 4096))
        #expect(try chainLines(["--format", "raw", "disk.raw"], exit: 0).contains("Verdict: whole chain, no warnings"))
        let absent = try runTool("vhdinfo", ["--chain", "absent"], folder: scratch.folder)
        #expect(absent.exit == 2 && absent.output == "")
        #expect(absent.error == "vhdinfo: absent: open: No such file or directory\n")
    }
}
