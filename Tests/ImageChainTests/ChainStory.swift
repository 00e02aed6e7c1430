import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Foundation
import ToolTesting

@testable import ImageChain

/// Images made from each other, with what each shows, kept as plain bytes. Steps are chosen at random: they change files
/// and model alike.
final class ChainStory {
    struct Node {
        var name: String
        var contents: [UInt8]
        /// Index of the parent.
        var parent: Int?
        var isGone = false
    }
    struct Fault: Error, CustomStringConvertible { var description: String }

    let format: ImageFormat
    let seed: UInt64
    private let scratch: Scratch
    private var random: SplitMix
    private(set) var nodes: [Node] = []
    private var names = 0
    /// How often each kind of step was taken.
    private(set) var tally: [String: Int] = [:]

    private var ending: String { format == .vhd ? "vhd" : "vhdx" }
    private var unit: UInt64 { format == .vhd ? 512 << 10 : 1 << 20 }

    init(_ format: ImageFormat, seed: UInt64) throws {
        (self.format, self.seed) = (format, seed)
        scratch = try Scratch(inMemory: true)
        random = SplitMix(seed: seed)
        let size = 3 * unit + 4096
        let image = NewImage(
            format: format, type: seed % 3 == 0 ? .fixed : .dynamic, virtualByteCount: size, created: 1_700_000_000)
        let name = nextName()
        try image.create(on: try PosixFile(scratch.path(name), .create))
        nodes = [Node(name: name, contents: .zeros(Int(size)))]
    }

    private func nextName() -> String {
        names += 1
        return "image\(names).\(ending)"
    }

    private func path(_ node: Int) -> String { scratch.path(nodes[node].name) }
    private var alive: [Int] { nodes.indices.filter { !nodes[$0].isGone } }
    private func children(of node: Int) -> [Int] { alive.filter { nodes[$0].parent == node } }
    private var leaves: [Int] { alive.filter { children(of: $0).isEmpty } }
    private func ancestors(of node: Int) -> [Int] {
        var result: [Int] = []
        var next = nodes[node].parent
        while let parent = next { (next, result) = (nodes[parent].parent, result + [parent]) }
        return result
    }
    private func pick(_ list: [Int]) -> Int? { list.randomElement(using: &random) }
    private func count(_ what: String) { tally[what, default: 0] += 1 }

    // MARK: Steps

    func step() throws {
        guard let leaf = pick(leaves) else { return }
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<45: try change(leaf)
        case 45..<63: try snapshot(pick(alive) ?? leaf)
        case 63..<77: try merge(leaf)
        case 77..<84: try rebaseSafely(leaf)
        case 84..<90: try moveParent()
        case 90..<96: try resize(leaf)
        default: try compact(pick(alive) ?? leaf)
        }
        for leaf in leaves { try check(leaf) }
    }

    /// A few writes, zeros, flushes.
    private func change(_ node: Int) throws {
        let disk = try ImageChain.open(writing: path(node))
        for _ in 0..<Int.random(in: 1...8, using: &random) {
            let size = disk.geometry.virtualByteCount
            let start = UInt64.random(in: 0..<size, using: &random)
            let long = Int.random(in: 0..<8, using: &random) == 0
            let most = min(size - start, long ? 2 * unit : 6000)
            let range = start..<start + UInt64.random(in: 1...most, using: &random)
            let inModel = Int(range.lowerBound)..<Int(range.upperBound)
            if Int.random(in: 0..<4, using: &random) == 0 {
                try disk.writeZeroes(range)
                nodes[node].contents.replaceSubrange(inModel, with: repeatElement(0, count: inModel.count))
                count("zeros")
            } else {
                let bytes = [UInt8](
                    repeating: UInt8.random(in: 0...255, using: &random), count: inModel.count)
                try disk.write(bytes, at: range.lowerBound)
                nodes[node].contents.replaceSubrange(inModel, with: bytes)
                count("writes")
            }
            if Int.random(in: 0..<3, using: &random) == 0 { try disk.flush() }
        }
        try disk.close()
    }

    private func snapshot(_ parent: Int) throws {
        guard alive.count < 9, ancestors(of: parent).count < 6 else { return }
        let name = nextName()
        let blocks = NewImage.blockByteCounts(format).filter { $0 <= 4 << 20 }
        let plan = try Snapshot(
            of: path(parent), as: scratch.path(name), blockByteCount: blocks.randomElement(using: &random))
        try plan.create(on: try PosixFile(scratch.path(name), .create), created: 1_700_000_000)
        nodes.append(Node(name: name, contents: nodes[parent].contents, parent: parent))
        count("snapshots")
    }

    private func merge(_ leaf: Int) throws {
        guard let target = pick(ancestors(of: leaf)) else { return }
        let keeps = Int.random(in: 0..<3, using: &random) == 0
        let merge = try Merge(path(leaf), into: path(target), plansOnly: false)
        try merge.perform(keepsFiles: keeps)
        try expectEqual(try bytes(merge.disk), nodes[leaf].contents, "the live disk after the merge into \(target)")
        nodes[target].contents = nodes[leaf].contents
        let others = descendants(of: target).filter { $0 != leaf }
        for node in others {
            nodes[node].isGone = true
            if !merge.plan.changesNothing { try expectRefused(node) }
        }
        nodes[leaf].parent = target
        nodes[leaf].isGone = !keeps
        for node in others { try? FileManager.default.removeItem(atPath: path(node)) }
        try check(target)
        count(keeps ? "merges, kept" : "merges")
    }

    private func descendants(of node: Int) -> [Int] {
        children(of: node).flatMap { [$0] + descendants(of: $0) }
    }

    /// An image whose ancestor was changed below it must not be read.
    private func expectRefused(_ node: Int) throws {
        guard let chain = try? ImageChain.open(path(node)), let found = try? bytes(chain),
            found != nodes[node].contents
        else { return }
        throw Fault(description: "\(nodes[node].name) reads wrong bytes without an error")
    }

    /// Onto any image that is not made from it; the contents stay.
    private func rebaseSafely(_ leaf: Int) throws {
        guard nodes[leaf].parent != nil, let parent = pick(alive.filter { $0 != leaf }),
            ancestors(of: parent).count < 6
        else { return }
        try rebase(leaf, to: parent, .safe)
        nodes[leaf].parent = parent
        count("safe rebases")
    }

    private func rebase(_ child: Int, to parent: Int, _ mode: RebaseMode) throws {
        let file = OpenedFile(try PosixFile(path(child), .write))
        _ = try Rebasing(file, to: path(parent), mode).perform { _, _ in }
    }

    /// A parent gets another name, and its children are told.
    private func moveParent() throws {
        guard let parent = pick(alive.filter { !children(of: $0).isEmpty }) else { return }
        let name = nextName()
        try FileManager.default.moveItem(atPath: path(parent), toPath: scratch.path(name))
        nodes[parent].name = name
        for child in children(of: parent) {
            try rebase(child, to: parent, .moved)
        }
        count("moved parents")
    }

    private func resize(_ node: Int) throws {
        let size = (UInt64.random(in: unit...5 * unit, using: &random)).roundedDown(to: 512)
        let old = UInt64(nodes[node].contents.count)
        let parentSize = nodes[node].parent.map { UInt64(nodes[$0].contents.count) } ?? 0
        // The child would show its parent's bytes behind its old end.
        if size > old, parentSize > old { return }
        let file = OpenedFile(try PosixFile(path(node), .write))
        _ = try Resizing(file, to: .exactly(size)) { _, _ in }.perform { _, _ in }
        if size < old {
            nodes[node].contents.removeLast(Int(old - size))
        } else {
            nodes[node].contents += [UInt8].zeros(Int(size - old))
        }
        count("resizes")
    }

    private func compact(_ node: Int) throws {
        let file = try PosixFile(path(node), .write)
        guard try ImageOpener.layer(reading: file).type != .fixed else { return }
        _ = try Compacting(file).perform { _, _ in }
        count("compactions")
    }

    // MARK: Checks

    func checkAll() throws {
        for node in alive {
            try check(node)
            let file = try PosixFile(path(node))
            let check = try ImageChecker.check(file, identity: file.identity, .init(), .init()) { _, _ in }
            let errors = check.report.findings.filter { $0.finding.severity == .error }
            if let error = errors.first { throw Fault(description: "\(nodes[node].name): \(error.finding.detail)") }
        }
    }

    private func check(_ node: Int) throws {
        try expectEqual(try bytes(try ImageChain.open(path(node))), nodes[node].contents, nodes[node].name)
    }

    private func bytes(_ disk: any VirtualDisk) throws -> [UInt8] {
        try disk.bytes(at: 0, count: Int(disk.geometry.virtualByteCount))
    }

    private func expectEqual(_ found: [UInt8], _ expected: [UInt8], _ what: String) throws {
        guard found.count == expected.count else {
            throw Fault(description: "\(what): \(found.count) bytes, expected \(expected.count)")
        }
        if bytesEqual(found.rawBytes, expected.rawBytes) { return }
        let place = zip(found, expected).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? 0
        throw Fault(
            description: "\(what): byte \(place) is \(found[place]), expected \(expected[place])")
    }
}
