import BlockIO
import ByteCodec
import Digest
import DiskModel
import Foundation
import HRL
import ImageChain
import ToolTesting
import VHD
import VHDX

/// A machine of two disks in a scratch folder, for tests of the built vhdreplica: `one.vhdx` and `two.vhd`.
final class ReplicaMachine {
    let scratch: Scratch
    let size: UInt64
    let disks = ["one.vhdx", "two.vhd"]
    var random: SeededGenerator
    private var lastLogs: [GUID] = [.zero, .zero]
    private var logCount = 0

    /// - Parameter dataByteCount: how much of each disk holds data, from its start.
    init(size: UInt64 = 8 << 20, dataByteCount: Int = 1 << 20, seed: UInt64 = 1) throws {
        scratch = try Scratch(inMemory: true)
        self.size = size
        random = SeededGenerator(seed: seed)
        do {
            try VHDXCreator.create(
                on: try PosixFile(path(0), .create), type: .dynamic, virtualByteCount: size, blockByteCount: 1 << 20)
            try VHDCreator.create(
                on: try PosixFile(path(1), .create), type: .dynamic, virtualByteCount: size, uniqueID: .random(),
                created: DiskTimestamp(rawValue: 1))
        }
        for index in disks.indices {
            let chain = try ImageChain.open(writing: path(index))
            for start in stride(from: 0, to: dataByteCount, by: 1 << 20) {
                try chain.write(randomBytes(min(1 << 20, dataByteCount - start)), at: UInt64(start))
            }
            try chain.close()
        }
    }

    func path(_ index: Int) -> String { scratch.path(disks[index]) }
    func replica(_ index: Int) -> String { scratch.path("replica/web/disks/\(disks[index])") }

    func randomBytes(_ count: Int) -> [UInt8] {
        let words = (0..<(count + 7) / 8).map { _ in random.next() }
        return unsafe words.withUnsafeBytes { unsafe [UInt8]($0.prefix(count)) }
    }

    func run(_ arguments: String...) throws -> ProgramResult { try runTool("vhdreplica", self.arguments(arguments)) }

    func arguments(_ arguments: [String]) -> [String] { arguments + ["--state", scratch.path("state")] }

    func protect() throws -> ProgramResult {
        try run("protect", "web", "--disk", path(0), "--disk", path(1), "--to", scratch.path("replica"))
    }

    /// Writes a closed log beside each disk, and does its writes.
    func work(writes: Int, byteCount: Int) throws {
        for index in disks.indices {
            logCount += 1
            let id = GUID.random()
            let time = DiskTimestamp(unixSeconds: 1_800_000_000)
            let log = try LogWriter.create(
                on: try PosixFile("\(path(index)).\(logCount).hrl", .create), uniqueID: id,
                previousUniqueID: lastLogs[index], created: time)
            let chain = try ImageChain.open(writing: path(index))
            for _ in 0..<writes {
                let bytes = randomBytes(byteCount)
                let offset = UInt64.random(in: 0...(size - UInt64(byteCount)) / 512, using: &random) * 512
                try log.append(bytes, at: offset, time: time)
                try chain.write(bytes, at: offset)
            }
            try log.close(at: time)
            try chain.close()
            lastLogs[index] = id
        }
    }

    /// A log that does not fit the chain.
    func strayLog() throws {
        let time = DiskTimestamp(unixSeconds: 1_800_000_000)
        let log = try LogWriter.create(
            on: try PosixFile("\(path(0)).stray.hrl", .create), previousUniqueID: .random(), created: time)
        try log.append([UInt8](repeating: 1, count: 512), at: 0, time: time)
        try log.close(at: time)
    }

    /// Names of the disks whose replica is not like its source, each read whole.
    func differing() throws -> [String] {
        try disks.indices.filter { try contents(path($0)) != contents(replica($0)) }.map { disks[$0] }
    }

    private func contents(_ path: String) throws -> String {
        let chain = try ImageChain.open(path)
        let digest = Digest(.sha256)
        try DiskStream(chain).run(chain.wholeRange) {
            digest.update($1)
        } zeros: {
            digest.updateZeros(count: $1)
        }
        return digest.finish().hexadecimal
    }

    /// What the records say, in a word or two; for telling where a kill landed.
    func place() throws -> String {
        func load(_ path: String) -> [String: Any]? {
            guard let bytes = try? fileBytes(scratch.path(path)) else { return nil }
            return (try? JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])?["record"] as? [String: Any]
        }
        guard let primary = load("state/web/primary.json"), let state = primary["state"] as? [String: Any] else {
            return "no record"
        }
        var words = [state["name"] as? String ?? "?"]
        if let online = (state["replication"] as? [String: Any])?["online"] as? [String: Any],
            let pass = online["pass"] as? [String: Any], let step = pass.keys.first
        {
            words.append(step)
            if let position = (pass[step] as? [String: Any])?["position"] as? [String: Any] {
                words.append("disk \(position["disk"] ?? "?")")
                words.append(position["verifying"] as? Bool == true ? "verifying" : "copying")
                if let byte = position["byte"] as? UInt64, byte > 0 { words.append("past a mark") }
            }
        }
        if let delivery = state["delivery"] as? [String: Any] { words += delivery.keys }
        if let replica = load("replica/web/replica.json") {
            let pending = (replica["disks"] as? [[String: Any]] ?? []).map { ($0["pending"] as? [Any])?.count ?? 0 }
            if pending.contains(where: { $0 > 0 }) { words.append("logs stored") }
            if replica["applying"] as? Bool == true { words.append("merging") }
        }
        return words.joined(separator: " ")
    }
}

/// Numbers that a seed decides.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var word = state
        word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
        return word ^ (word >> 31)
    }
}
