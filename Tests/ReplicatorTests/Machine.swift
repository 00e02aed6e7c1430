import BlockIO
import ByteCodec
import ChangeLog
import Cipher
import Digest
import DiskModel
import FaultInjection
import Foundation
import HRL
import ImageChain
import Replication
import Replicator
import SealedFile
import Testing
import ToolTesting
import VHD
import VHDX

/// A machine with a few disks in a scratch folder, its state folder, its target, and a clock that goes on by a second
/// whenever it is looked at.
final class Machine {
    enum Kind: CaseIterable { case dynamicVHDX, fixedVHDX, dynamicVHD, fixedVHD }

    /// Two chunks, and no whole number of pages.
    static let byteCount: UInt64 = (5 << 20) + 512 * 41

    let scratch: Scratch
    let name = "web"
    private(set) var paths: [String] = []
    /// The last log written beside each disk.
    var lastLogs: [GUID] = []
    private var logCount = 0
    var random: SplitMix
    var clock: Int64 = 1_800_000_000
    var warnings: [String] = []
    /// What opens the replica; nil: it is not sealed.
    let identity: Identity?
    /// Whether runs have it.
    var hasKey = true

    var state: StateFolder { StateFolder(scratch.path("state")) }
    var target: String { scratch.path("replica") }
    var store: String { target + "/" + name }

    init(_ kinds: [Kind] = [.dynamicVHDX, .dynamicVHD], sealed: Bool = false, seed: UInt64 = 1) throws {
        identity = sealed ? try Identity() : nil
        scratch = try Scratch(inMemory: true)
        random = SplitMix(seed: seed)
        try FileManager.default.createDirectory(atPath: scratch.path("vm"), withIntermediateDirectories: true)
        for (index, kind) in kinds.enumerated() {
            let isVHDX = kind == .dynamicVHDX || kind == .fixedVHDX
            let path = scratch.path("vm/disk\(index).\(isVHDX ? "vhdx" : "vhd")")
            let file = try PosixFile(path, .create)
            let size = Machine.byteCount
            if isVHDX {
                try VHDXCreator.create(
                    on: file, type: kind == .fixedVHDX ? .fixed : .dynamic, virtualByteCount: size,
                    blockByteCount: 1 << 20)
            } else {
                try VHDCreator.create(
                    on: file, type: kind == .fixedVHD ? .fixed : .dynamic, virtualByteCount: size,
                    blockByteCount: 512 << 10, uniqueID: .random(), created: DiskTimestamp(rawValue: 1))
            }
            add(path)
        }
        for index in paths.indices { try apply(randomWrites(8), to: index) }
    }

    func add(_ path: String) {
        paths.append(path)
        lastLogs.append(.zero)
    }

    // MARK: Verbs

    func surroundings() -> Surroundings {
        var result = Surroundings()
        result.now = { [unowned self] in
            clock += 1
            return Moment(clock)
        }
        result.watcher.warn = { [unowned self] in warnings.append("\($0): \($1)") }
        result.watcher.doubt = result.watcher.warn
        result.markByteCount = 1
        if let identity, hasKey { result.openingKey = { (host) throws(DiskError) in try Self.key(of: host, identity) } }
        return result
    }

    private static func key(of host: PosixFile, _ identity: Identity) throws(DiskError) -> SlotKey {
        guard let found = try Envelope.opening(host, with: [.identity(identity)]) else {
            throw DiskError(.key, path: host.path, "is not for this identity")
        }
        return found.opened
    }

    /// Opens files of the replica.
    var replicaFiles: FileOpener {
        guard let identity else { return .plain }
        return FileOpener { (host, _) throws(DiskError) in
            try SealedImage(reading: host, secrets: [.identity(identity)])
        }
    }

    func request(keepsLogs: Bool = false, parents: [String] = []) -> ProtectionRequest {
        ProtectionRequest(
            name: name, imagePaths: paths, target: target, interval: 30, keepsLogs: keepsLogs, parentFolders: parents,
            recipients: identity.map { [$0.recipient] } ?? [])
    }

    func protect(keepsLogs: Bool = false, parents: [String] = [], _ surroundings: Surroundings? = nil) throws {
        let request = request(keepsLogs: keepsLogs, parents: parents)
        try Relationship.discardUnfinished(name, in: state, self.surroundings())
        _ = try Relationship.protect(
            request, try Prerequisites(request), in: state, surroundings ?? self.surroundings())
    }

    func open(_ surroundings: Surroundings? = nil) throws -> Relationship {
        try Relationship.open(name, in: state, surroundings ?? self.surroundings())
    }

    func start(_ surroundings: Surroundings? = nil) throws { try open(surroundings).start() }
    func sync(_ surroundings: Surroundings? = nil) throws { try open(surroundings).sync() }
    func status() throws -> RelationshipStatus { try RelationshipStatus(name, in: state, at: Moment(clock)) }

    // MARK: Changes

    struct Write {
        var offset: UInt64
        /// Nil for zeros.
        var value: UInt8?
        var count: UInt64
    }

    func randomWrites(_ count: Int) -> [Write] {
        (0..<count).map { _ in
            let sectors = UInt64.random(in: 1...400, using: &random)
            let start = UInt64.random(in: 0..<(5 << 11) - sectors, using: &random)
            let isZero = UInt64.random(in: 0..<4, using: &random) == 0
            return Write(
                offset: start * 512, value: isZero ? nil : UInt8.random(in: 1...255, using: &random),
                count: sectors * 512)
        }
    }

    /// Changes a disk's contents.
    func apply(_ writes: [Write], to disk: Int) throws {
        let chain = try ImageChain.open(writing: paths[disk])
        for write in writes {
            if let value = write.value {
                try chain.write([UInt8](repeating: value, count: Int(write.count)), at: write.offset)
            } else {
                try chain.writeZeroes(write.offset..<write.offset + write.count)
            }
        }
        try chain.close()
    }

    /// Writes a closed log beside a disk.
    @discardableResult
    func log(
        _ writes: [Write], disk: Int, previous: GUID? = nil, id: GUID = .random(), closes: Bool = true,
        fileName: String? = nil
    ) throws -> String {
        logCount += 1
        let path = fileName.map { scratch.path("vm/\($0)") } ?? "\(paths[disk]).\(logCount).hrl"
        let file = try PosixFile(path, .create)
        let time = DiskTimestamp(unixSeconds: clock)
        let writer = try LogWriter.create(
            on: file, uniqueID: id, previousUniqueID: previous ?? lastLogs[disk], created: time)
        for write in writes {
            if let value = write.value {
                try writer.append([UInt8](repeating: value, count: Int(write.count)), at: write.offset, time: time)
            } else {
                try writer.appendZeroes(write.offset..<write.offset + write.count, time: time)
            }
        }
        if closes { try writer.close(at: time) } else { try writer.flush() }
        lastLogs[disk] = id
        return path
    }

    /// Some random writes, logged and done, on every disk.
    func work(_ count: Int = 6) throws {
        for index in paths.indices {
            let writes = randomWrites(count)
            try log(writes, disk: index)
            try apply(writes, to: index)
        }
    }

    // MARK: Looking

    func replica(_ index: Int) -> String {
        let file = (paths[index] as NSString).lastPathComponent as NSString
        let kind = file.pathExtension.lowercased().replacingOccurrences(of: "a", with: "")
        return "\(store)/disks/\(file.deletingPathExtension).\(kind)"
    }

    /// The SHA-256 of the whole contents.
    func contents(_ path: String, parents: [String] = [], files: FileOpener = .plain) throws -> String {
        let chain = try ImageChain.open(path, OpenOptions(parentFolders: parents, files: files))
        #expect(!chain.hasReplayedLog, "\(path) is not at rest")
        let bytes = try chain.bytes(at: 0, count: Int(chain.geometry.virtualByteCount))
        return Digest.hash(.sha256, bytes.rawBytes).hexadecimal
    }

    func isEqual(_ index: Int, parents: [String] = []) throws -> Bool {
        try contents(paths[index], parents: parents) == contents(replica(index), files: replicaFiles)
    }

    func expectEqual(_ note: String = "") throws {
        for index in paths.indices { #expect(try isEqual(index), "disk \(index) differs \(note)") }
    }

    func files(_ folder: String) -> [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: folder).sorted()) ?? []
    }
}

/// The error a body throws, as one line.
func message(_ body: () throws -> Void) -> String {
    do { try body() } catch { return "\(error)" }
    return ""
}
