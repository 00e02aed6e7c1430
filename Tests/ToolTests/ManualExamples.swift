import Foundation
import Testing
import ToolTesting

/// Every example of the manual pages and the README does what the page shows.
///
/// In a ```console block, lines that begin with `$ ` are run by bash in the example folder, and the lines after them are
/// what they print (standard output and error together). `…` stands for anything inside a line; a line of `…` alone
/// stands for any lines. A block marked ```console no-run is only looked at.
@Suite(.serialized) struct ManualExamples {
    struct Example: Sendable, CustomStringConvertible {
        var page: String
        var line: Int
        var command: String
        var expected: [String]
        var description: String { "\(page):\(line)" }
    }

    static let pages: [String] = {
        let tools = (try? FileManager.default.contentsOfDirectory(atPath: repositoryFolder + "/Tools")) ?? []
        return tools.filter { !$0.hasPrefix(".") }.sorted().map { "Tools/\($0)/\($0).1.md" } + ["README.md"]
    }()

    static func examples(in page: String) throws -> [Example] {
        let text = try String(contentsOfFile: "\(repositoryFolder)/\(page)", encoding: .utf8)
        var result: [Example] = []
        var inside = false
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            if line.hasPrefix("```") {
                inside = !inside && line == "```console"
            } else if inside, line.hasPrefix("$ ") {
                result.append(Example(page: page, line: index + 1, command: String(line.dropFirst(2)), expected: []))
            } else if inside, line.hasPrefix("> "), let last = result.indices.last, result[last].expected.isEmpty {
                result[last].command += "\n" + line.dropFirst(2)
            } else if inside, !result.isEmpty {
                result[result.count - 1].expected.append(String(line))
            }
        }
        return result
    }

    @Test(arguments: pages)
    func runs(page: String) throws {
        let examples = try Self.examples(in: page)
        #expect(!examples.isEmpty, "\(page) has no example")
        guard Peer.find("jq") != nil, Peer.find("mkfs.fat") != nil else { return }
        let scratch = try ExampleFolder.make()
        for example in examples {
            let result = try runProgram(
                "/bin/bash", ["-c", example.command + "\n"], folder: scratch.folder,
                environment: [
                    "PATH": builtProductsFolder + ":" + (ProcessInfo.processInfo.environment["PATH"] ?? ""),
                    "LC_ALL": "C.UTF-8", "TZ": "UTC",
                ])
            let printed = (result.output + result.error).split(separator: "\n", omittingEmptySubsequences: false)
                .map(String.init)
            let (shown, wanted) = (Self.trimmed(printed), Self.trimmed(example.expected))
            #expect(
                Self.matches(shown[...], wanted[...]),
                "\(example): \(example.command)\nprinted:\n\(shown.joined(separator: "\n"))\nexpected:\n\(wanted.joined(separator: "\n"))"
            )
        }
    }

    private static func trimmed(_ lines: [String]) -> [String] {
        var lines = lines
        while lines.last == "" { lines.removeLast() }
        return lines
    }

    static func matches(_ shown: ArraySlice<String>, _ wanted: ArraySlice<String>) -> Bool {
        guard let first = wanted.first else { return shown.isEmpty }
        if first == "…" {
            return (shown.startIndex...shown.endIndex).contains { matches(shown[$0...], wanted.dropFirst()) }
        }
        guard let line = shown.first, lineMatches(line, first) else { return false }
        return matches(shown.dropFirst(), wanted.dropFirst())
    }

    static func lineMatches(_ shown: String, _ wanted: String) -> Bool {
        let parts = wanted.components(separatedBy: "…")
        guard parts.count > 1 else { return shown == wanted }
        guard shown.hasPrefix(parts[0]), shown.count >= parts[0].count + parts[parts.count - 1].count,
            shown.hasSuffix(parts[parts.count - 1])
        else { return false }
        var rest = shown.dropFirst(parts[0].count)
        for part in parts[1..<parts.count - 1] where !part.isEmpty {
            guard let place = rest.range(of: part) else { return false }
            rest = rest[place.upperBound...]
        }
        return true
    }

    @Test func matchingItself() {
        #expect(Self.matches(["a", "b"], ["a", "b"]))
        #expect(!Self.matches(["a", "b"], ["a"]))
        #expect(Self.matches(["a 12 c", "x", "y"], ["a … c", "…"]))
        #expect(!Self.matches(["a 12 d"], ["a … c"]))
    }
}
