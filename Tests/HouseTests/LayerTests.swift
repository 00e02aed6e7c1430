import Foundation
import Testing
import ToolTesting

/// The layers of docs/design.md: imports point down only.
@Suite struct LayerTests {
    /// Layers from the lowest up; inside one list a module may import those before it in the same inner list.
    static let layers: [[[String]]] = [
        [["CPlatform"], ["COpenSSL"], ["CLZ4"]],
        [["ByteCodec", "BlockIO", "DiskModel"], ["ByteCodec", "Cipher"], ["Digest"]],
        [["VHD"], ["VHDX"], ["RawDisk"], ["HRL"], ["SealedFile"]],
        [["ImageChain"], ["ChangeLog"], ["Replication"]],
        [["Toolbox"], ["Replicator"]],
    ]
    static let modules = Set(layers.joined().joined())

    static func mayImport(_ importer: String, _ imported: String) -> Bool {
        guard let upper = layers.firstIndex(where: { $0.joined().contains(importer) }),
            let lower = layers.firstIndex(where: { $0.joined().contains(imported) })
        else { return false }
        if importer == "Replication" { return imported == "ByteCodec" }
        if lower != upper { return lower < upper }
        return layers[upper].contains { list in
            guard let a = list.firstIndex(of: imported), let b = list.firstIndex(of: importer) else { return false }
            return a < b
        }
    }

    /// Modules imported by the Swift files of a folder.
    static func imports(of folder: String) throws -> [(file: String, module: String)] {
        let files = FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []
        return try files.filter { $0.hasSuffix(".swift") }.flatMap { file in
            try String(contentsOfFile: "\(folder)/\(file)", encoding: .utf8).split(separator: "\n").compactMap { line in
                let words = line.split(separator: " ")
                guard let place = words.firstIndex(of: "import"), place + 1 < words.count,
                    words[..<place].allSatisfy({
                        ["public", "package", "internal", "private", "@testable", "@preconcurrency"].contains($0)
                    })
                else { return nil }
                return (file, String(words[place + 1].prefix { $0 != "." }))
            }
        }
    }

    @Test func importsPointDown() throws {
        let sources = repositoryFolder + "/Sources"
        let rooms = try FileManager.default.contentsOfDirectory(atPath: sources).filter { !$0.hasPrefix(".") }
        #expect(Set(rooms) == Self.modules, "a room is missing from the layers, or a layer names no room")
        for room in rooms {
            for (file, module) in try Self.imports(of: "\(sources)/\(room)") where Self.modules.contains(module) {
                #expect(Self.mayImport(room, module), "\(room)/\(file) imports \(module), which is not below it")
            }
        }
    }

    @Test func manifestPointsDown() throws {
        let text = try String(contentsOfFile: repositoryFolder + "/Package.swift", encoding: .utf8)
        let base = ["ByteCodec", "Digest", "BlockIO", "DiskModel"]
        let pattern = try NSRegularExpression(pattern: #"room\(\s*"(\w+)"\s*(?:,\s*([^)]*))?\)"#)
        let whole = NSRange(text.startIndex..., in: text)
        var count = 0
        for match in pattern.matches(in: text, range: whole) {
            let name = String(text[Range(match.range(at: 1), in: text)!])
            guard name != "_" else { continue }
            count += 1
            guard let place = Range(match.range(at: 2), in: text) else { continue }
            let list = String(text[place])
            var named = list.split(separator: "\"").enumerated().filter { $0.offset % 2 == 1 }.map {
                String($0.element)
            }
            if list.contains("base") { named += base }
            for dependency in named { #expect(Self.mayImport(name, dependency), "\(name) depends on \(dependency)") }
        }
        #expect(count == Self.modules.count - 3, "the manifest's rooms were not all found")
    }

    /// The check itself: edges that must not pass.
    @Test func wrongEdgesAreSeen() {
        #expect(!Self.mayImport("VHD", "VHDX"))
        #expect(!Self.mayImport("ByteCodec", "BlockIO"))
        #expect(!Self.mayImport("Replication", "BlockIO"))
        #expect(!Self.mayImport("HRL", "ChangeLog"))
        #expect(!Self.mayImport("ImageChain", "Toolbox"))
        #expect(Self.mayImport("DiskModel", "BlockIO"))
    }

    /// Whole Foundation doubles the start-up time of a tool.
    @Test func noFoundationOutsideTests() throws {
        for folder in ["Sources", "Tools"] {
            for (file, module) in try Self.imports(of: "\(repositoryFolder)/\(folder)") {
                #expect(module != "Foundation", "\(folder)/\(file)")
            }
        }
    }

    @Test func everyToolHasItsPage() throws {
        let tools = repositoryFolder + "/Tools"
        for tool in try FileManager.default.contentsOfDirectory(atPath: tools) where !tool.hasPrefix(".") {
            let page = try String(contentsOfFile: "\(tools)/\(tool)/\(tool).1.md", encoding: .utf8)
            for heading in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES"] {
                #expect(page.contains("\n## \(heading)"), "\(tool).1.md has no \(heading)")
            }
        }
    }
}
