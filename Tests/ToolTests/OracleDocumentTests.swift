import BlockIO
import ByteCodec
import DiskModel
import Foundation
import HRL
import Testing
import ToolTesting

/// docs/formats/hrl.md: the log by eye is one of our writer's, and the commands print what the page shows.
@Suite struct OracleDocumentTests {
    private static let page = "docs/formats/hrl.md"
    /// 2026-11-22T20:14:03Z.
    private static let created: UInt32 = 848_693_643

    private static func smallLog() throws -> [UInt8] {
        let file = MemoryFile()
        var options = LogWriter.Options()
        options.uniqueID = GUID("11111111-2222-4333-8444-555555555555")!
        options.created = DiskTimestamp(rawValue: created)
        options.metadataSize = 512
        options.computesDataChecksums = true
        let writer = try LogWriter.create(on: file, options)
        let time = DiskTimestamp(rawValue: created + 1)
        try writer.append([UInt8](repeating: UInt8(ascii: "A"), count: 512), at: 1 << 20, time: time)
        try writer.appendZeroes(8 << 20..<(8 << 20) + 4096, time: time)
        try writer.flush()
        try writer.append(
            [UInt8](repeating: UInt8(ascii: "B"), count: 512), at: 1 << 20,
            time: DiskTimestamp(rawValue: created + 2))
        try writer.close(at: DiskTimestamp(rawValue: created + 10))
        return file.allBytes
    }

    /// The bytes of a dump by `od -A d -t x1z`; a `*` repeats the line before up to the next offset.
    private static func bytes(ofDump lines: [String]) throws -> [UInt8] {
        var result: [UInt8] = []
        var last: [UInt8] = []
        var starIsOpen = false
        for line in lines {
            if line == "*" {
                starIsOpen = true
                continue
            }
            let offset = try #require(Int(line.prefix(7)), "\(line)")
            if starIsOpen {
                try #require(!last.isEmpty)
                while result.count < offset { result += last }
                starIsOpen = false
            }
            #expect(result.count == offset, "\(line)")
            guard line.count > 7 else { break }
            last = line.dropFirst(8).prefix(47).split(separator: " ").compactMap { UInt8($0, radix: 16) }
            #expect(last.count == 16, "\(line)")
            result += last
        }
        return result
    }

    @Test func hexdumpIsOurWritersLog() throws {
        let examples = try ManualExamples.examples(in: Self.page)
        let dump = try #require(examples.first { $0.command.hasPrefix("od -A d -t x1z") })
        let lines = dump.expected.filter { !$0.isEmpty }
        #expect(try Self.bytes(ofDump: lines) == Self.smallLog())
    }

    @Test func logIsSound() throws {
        let check = try checkLog(MemoryFile(try Self.smallLog()))
        #expect(check.findings.isEmpty, "\(check.findings)")
        #expect(check.summary?.writeCount == 3 && check.summary?.checksummedWriteCount == 3)
    }

    @Test func commands() throws {
        let scratch = try Scratch()
        _ = try scratch.write("small.hrl", try Self.smallLog())
        let examples = try ManualExamples.examples(in: Self.page)
        #expect(examples.count >= 8)
        for example in examples where Peer.find("xxd") != nil || !example.command.contains("xxd") {
            let result = try runProgram(
                "/bin/bash", ["-c", example.command + "\n"], folder: scratch.folder,
                environment: ["PATH": ProcessInfo.processInfo.environment["PATH"] ?? "", "LC_ALL": "C.UTF-8"])
            let printed = (result.output + result.error).split(separator: "\n").map(String.init)
            let expected = example.expected.filter { !$0.isEmpty }
            #expect(printed == expected, "\(example): \(example.command)")
        }
    }

    /// Every code that the library declares has a row among the rules, and no other has.
    @Test func everyCodeHasARow() throws {
        let text = try String(contentsOfFile: "\(repositoryFolder)/\(Self.page)", encoding: .utf8)
        let source = try String(contentsOfFile: "\(repositoryFolder)/Sources/HRL/RuleCodes.swift", encoding: .utf8)
        let documented = text.split(separator: "\n").filter { $0.hasPrefix("| HRL0") }.map { $0.dropFirst(2).prefix(6) }
        let declared = source.split(separator: "\"").filter { $0.hasPrefix("HRL0") }
        #expect(documented.map(String.init).sorted() == declared.map(String.init).sorted())
    }
}
