import BlockIO
import ByteCodec
import DiskModel
import Foundation
import Testing
import ToolTesting
import VHD

@testable import ImageChain

/// Where parents are looked for, and where not.
@Suite struct ParentSearchTests {
    /// `root/up/home` holds the child; everything may be placed around it.
    private let scratch = try! Scratch()
    private var home: String { scratch.path("up/home") }

    init() throws {
        for folder in ["up/home/below", "up/beside", "away"] {
            try FileManager.default.createDirectory(
                atPath: scratch.path(folder), withIntermediateDirectories: true)
        }
    }

    /// Writes a child with these locators and, at each place, the parent; opens and returns where the parent was found.
    private func found(
        _ locators: [ChainImages.Locator], name: String = "", parents: [String], _ options: OpenOptions = .init()
    ) throws -> String {
        try write(locators, name, parents)
        let chain = try ImageChain.open(home + "/child.vhd", options)
        #expect(try chain.bytes(at: 0, count: 1024) == ChainImages.pattern(0x40, 1024))
        return chain.layers[1].file.path
    }

    private func write(_ locators: [ChainImages.Locator], _ name: String = "", _ parents: [String]) throws {
        _ = try scratch.write("up/home/child.vhd", ChainImages.vhdChild(2, of: 1, locators, name: name))
        for parent in parents { _ = try scratch.write(parent, ChainImages.vhdBase(1, fill: 0x40)) }
    }

    private func missing(
        _ locators: [ChainImages.Locator], name: String = "", parents: [String] = [], _ options: OpenOptions = .init(),
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> DiskError {
        try write(locators, name, parents)
        return try diskError(.parentMissing, sourceLocation: sourceLocation) {
            _ = try ImageChain.open(home + "/child.vhd", options)
        }
    }

    // Found

    @Test(arguments: [
        (".\\parent.vhd", "parent.vhd"), ("parent.vhd", "parent.vhd"), ("below\\parent.vhd", "below/parent.vhd"),
        (".\\below\\.\\\\parent.vhd", "below/parent.vhd"), ("below/parent.vhd", "below/parent.vhd"),
        ("..\\parent.vhd", "../parent.vhd"), ("..\\beside\\parent.vhd", "../beside/parent.vhd"),
        ("below\\..\\parent.vhd", "parent.vhd"), ("..\\home\\..\\parent.vhd", "../parent.vhd"),
    ])
    func relative(_ text: String, _ place: String) throws {
        let path = try found([.relative(text)], parents: ["up/home/" + place])
        #expect(path == home + "/" + place)
    }

    @Test func bareChildName() {
        let result = ParentSearch(
            childPath: "child.vhd",
            link: ParentLink(
                identities: [],
                locators: [
                    .init(kind: .relative, key: "r", path: ".\\x.vhd"),
                    .init(kind: .relative, key: "r", path: "..\\y.vhd"),
                ]),
            options: .init()
        ).candidates()
        #expect(result.map(\.path) == ["x.vhd", "../y.vhd", "y.vhd"])
    }

    /// Paths of other machines count by their last component, in the child's folder.
    @Test(arguments: [
        "C:\\VMs\\base\\parent.vhd", "\\\\server\\share\\parent.vhd", "\\\\?\\C:\\VMs\\parent.vhd",
        "\\\\?\\Volume{26a21bda-a627-11d7-9931-806e6f6e6963}\\dir\\parent.vhd", "\\\\.\\PhysicalDrive0\\parent.vhd",
        "\\\\?\\UNC\\server\\share\\parent.vhd", "/mnt/other/parent.vhd", "C:parent\\..\\parent.vhd",
    ])
    func byLastComponent(_ text: String) throws {
        for make in [ChainImages.Locator.relative, ChainImages.Locator.absolute] {
            #expect(try found([make(text)], parents: ["up/home/parent.vhd"]) == home + "/parent.vhd")
        }
    }

    @Test(arguments: [
        ("file://./parent.vhd", "parent.vhd"), ("file://./a%20b.vhd", "a b.vhd"),
        ("file://../beside/p.vhd", "../beside/p.vhd"),
        ("file://localhost/Users/x/parent.vhd", "parent.vhd"), ("file:///Users/x/parent.vhd", "parent.vhd"),
        ("file://host/share/parent.vhd", "parent.vhd"), ("FILE://./below%2Fparent.vhd", "below/parent.vhd"),
        ("file://./%C3%A4.vhd", "ä.vhd"),
    ])
    func urls(_ text: String, _ place: String) throws {
        #expect(try found([.url(text)], parents: ["up/home/" + place]) == home + "/" + place)
    }

    @Test func byUnicodeName() throws {
        #expect(try found([], name: "C:\\x\\parent.vhd", parents: ["up/home/parent.vhd"]) == home + "/parent.vhd")
    }

    @Test func exactNameBeforeAnotherCase() throws {
        _ = try scratch.write("up/home/PARENT.VHD", ChainImages.vhdBase(9))
        #expect(try found([.relative("parent.vhd")], parents: ["up/home/parent.vhd"]) == home + "/parent.vhd")
    }

    @Test func uniqueNameInAnotherCase() throws {
        #expect(
            try found([.relative("BELOW\\PaRent.VHD")], parents: ["up/home/below/parent.vhd"]) == home
                + "/below/parent.vhd")
    }

    @Test func ambiguousNameIsNone() throws {
        let error = try missing([.relative("PARENT.vhd")], parents: ["up/home/parent.vhd", "up/home/Parent.vhd"])
        #expect(error.description.contains("looked at \(home)/PARENT.vhd"))
    }

    @Test func inNamedFolder() throws {
        let options = OpenOptions(parentFolders: [scratch.path("nowhere"), scratch.path("away")])
        #expect(
            try found([.absolute("C:\\parent.vhd")], parents: ["away/parent.vhd"], options)
                == scratch.path("away/parent.vhd"))
    }

    /// A wrong image of the right name does not hide the right one further on.
    @Test func goesOnAfterAMismatch() throws {
        _ = try scratch.write("up/home/parent.vhd", ChainImages.vhdBase(77))
        _ = try scratch.write("up/home/second.vhd", [UInt8].zeros(2048))
        let path = try found(
            [.relative("parent.vhd"), .relative("second.vhd"), .absolute("C:\\third.vhd")],
            parents: ["up/home/third.vhd"])
        #expect(path == home + "/third.vhd")
    }

    // Not found

    @Test func twoLevelsUp() throws {
        let locators = [ChainImages.Locator.relative("..\\..\\away\\parent.vhd")]
        let error = try missing(locators, parents: ["away/parent.vhd"])
        #expect(error.description.contains("away/parent.vhd (outside the allowed folders)"), "\(error)")
        #expect(error.hint?.contains("--parent-dir") == true)
        let options = OpenOptions(parentFolders: [scratch.path("away")])
        #expect(try found(locators, parents: ["away/parent.vhd"], options) == home + "/../../away/parent.vhd")
        // Another folder that is named allows nothing there; nor does one whose name only begins alike.
        try FileManager.default.createDirectory(atPath: scratch.path("awa"), withIntermediateDirectories: true)
        for folder in ["up", "awa"] {
            _ = try missing(locators, parents: ["away/parent.vhd"], OpenOptions(parentFolders: [scratch.path(folder)]))
        }
    }

    @Test(arguments: [
        "below\\..\\..\\..\\away\\parent.vhd", ".\\..\\.\\..\\away\\parent.vhd", "..\\beside\\..\\..\\away\\parent.vhd",
        "../../away/parent.vhd", "..\\../away\\parent.vhd", "nowhere\\..\\..\\..\\away\\parent.vhd",
    ])
    func dotDotTricks(_ text: String) throws {
        _ = try missing([.relative(text)], parents: ["away/parent.vhd"])
    }

    @Test(arguments: [
        "file://./%2e%2e/%2e%2e/away/parent.vhd", "file://.././../away/parent.vhd",
        "file://./..%2f..%2faway%2fparent.vhd",
    ])
    func urlTricks(_ text: String) throws {
        _ = try missing([.url(text)], parents: ["away/parent.vhd"])
    }

    /// An absolute path is never followed, even where it leads to the parent.
    @Test func absolutePathOfThisMachine() throws {
        let place = scratch.path("away/parent.vhd")
        for locator in [ChainImages.Locator.relative(place), .absolute(place), .url("file://\(place)")] {
            let error = try missing([locator], parents: ["away/parent.vhd"])
            #expect(error.description.contains("looked at \(home)/parent.vhd;"), "\(error)")
        }
    }

    @Test func symlinkOut() throws {
        try FileManager.default.createSymbolicLink(
            atPath: home + "/parent.vhd", withDestinationPath: scratch.path("away/real.vhd"))
        let error = try missing([.relative("parent.vhd")], parents: ["away/real.vhd"])
        #expect(error.description.contains("parent.vhd (outside the allowed folders)"))
        let options = OpenOptions(parentFolders: [scratch.path("away")])
        #expect(try found([.relative("parent.vhd")], parents: [], options) == home + "/parent.vhd")
        // Inside, a link is as good as a file.
        try FileManager.default.removeItem(atPath: home + "/parent.vhd")
        try FileManager.default.createSymbolicLink(
            atPath: home + "/parent.vhd", withDestinationPath: "../beside/real.vhd")
        #expect(try found([.relative("parent.vhd")], parents: ["up/beside/real.vhd"]) == home + "/parent.vhd")
    }

    @Test func symlinkedFolderOut() throws {
        try FileManager.default.createSymbolicLink(atPath: home + "/link", withDestinationPath: scratch.path("away"))
        let error = try missing([.relative("link\\real.vhd")], parents: ["away/real.vhd"])
        #expect(error.description.contains("outside"))
    }

    @Test func danglingSymlink() throws {
        try FileManager.default.createSymbolicLink(atPath: home + "/parent.vhd", withDestinationPath: "gone")
        _ = try missing([.relative("parent.vhd")])
    }

    @Test func folderOrFIFOInThePlace() throws {
        try FileManager.default.createDirectory(atPath: home + "/parent.vhd", withIntermediateDirectories: false)
        #expect(try missing([.relative("parent.vhd")]).description.contains("parent.vhd (open: Is a directory)"))
        #expect(try runProgram("/usr/bin/mkfifo", [home + "/fifo.vhd"]).exit == 0)
        let started = ContinuousClock.now
        #expect(try missing([.relative("fifo.vhd")]).description.contains("fifo.vhd (is not a regular file)"))
        #expect(ContinuousClock.now - started < .seconds(5))
    }

    /// What no name may hold never becomes a place to look.
    @Test func unusableTexts() throws {
        for text in [
            "", ".", "..", "\\", "..\\", ".\\..", "a\u{1}b.vhd", "x\\a\nb.vhd", "a\u{7f}", "\u{0}", "below\\..",
            String(repeating: "x", count: 256), String(repeating: "a\\", count: 64) + "x",
        ] {
            let locator = ParentLocator(kind: .relative, key: "k", path: text)
            #expect(ParentSearch.components(locator) == nil, "\(text.debugDescription)")
        }
        for text in [
            "file://./%", "file://./%4", "file://./%zz", "file://./%00", "file://./a%0ab", "file://./%ff", "http://./x",
            "./x",
        ] {
            let locator = ParentLocator(kind: .url, key: "k", path: text)
            #expect(ParentSearch.components(locator) == nil, "\(text)")
        }
        for text in ["", "..", "a\\..", "/", "a/\u{1b}[2J", "file://./%00"] {
            let locator = ParentLocator(kind: text.hasPrefix("file") ? .url : .absolute, key: "k", path: text)
            #expect(ParentSearch.lastComponent(locator) == nil, "\(text.debugDescription)")
        }
    }

    @Test func missingNamesWhereItLooked() throws {
        let error = try missing([.relative("..\\beside\\a.vhd"), .absolute("D:\\b.vhd")], name: "c.vhd")
        for place in ["/../beside/a.vhd", "/a.vhd", "/b.vhd", "/c.vhd"] {
            #expect(error.description.contains(home + place), "\(error)")
        }
        #expect(error.description.contains(ChainImages.id(1).description))
        #expect(error.path == home + "/child.vhd")
    }
}
