import BlockIO
import ByteCodec
import ChangeLog
import DiskModel
import Dispatch
import FaultInjection
import Foundation
import HRL
import Synchronization

/// Runs `body` in threads of its own, all at once; a pool might run one after the other.
func inThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    let group = DispatchGroup()
    for index in 0..<count {
        group.enter()
        Thread.detachNewThread {
            body(index)
            group.leave()
        }
    }
    group.wait()
}

/// What a tracked disk told.
final class EventList: Sendable {
    private let events = Mutex<[TrackingEvent]>([])
    func add(_ event: TrackingEvent) { events.withLock { $0.append(event) } }

    var stops: [TrackingStop] {
        events.withLock { $0.compactMap { if case .stopped(let stop) = $0 { stop } else { nil } } }
    }
    var warningCount: Int {
        events.withLock { $0.count { if case .quotaWarning = $0 { true } else { false } } }
    }
    var losses: [String] {
        events.withLock { $0.compactMap { if case .continuityLost(let reason) = $0 { reason } else { nil } } }
    }
    var mapLossCount: Int { events.withLock { $0.count { if case .mapLost = $0 { true } else { false } } } }
}

/// The logs of an image in a folder, in the order of their chain, however they are named.
struct FoundLogs {
    struct Log {
        var name: String
        var file: MemoryFile
        var header: LogHeader
    }
    var logs: [Log] = []

    init(_ files: [String: MemoryFile.Contents], image: String) throws {
        var found: [Log] = []
        for (name, contents) in files.sorted(by: { $0.key < $1.key }) {
            guard name.hasPrefix(image + "."), name.hasSuffix(".hrl") || name.hasSuffix(".hrl.new") else { continue }
            let file = MemoryFile(contents, path: name)
            guard let header = try? LogHeader(from: file) else { continue }
            found.append(Log(name: name, file: file, header: header))
        }
        // The first is the one whose predecessor is not there.
        let ids = Set(found.map(\.header.uniqueID))
        var next = found.first { !ids.contains($0.header.previousUniqueID) }
        while let log = next, logs.count < found.count {
            logs.append(log)
            next = found.first { $0.header.previousUniqueID == log.header.uniqueID }
        }
        if logs.count != found.count { throw NotAChain(names: found.map(\.name)) }
    }

    struct NotAChain: Error { var names: [String] }

    /// The closed ones up to the first that is not.
    var closed: [Log] { Array(logs.prefix { $0.header.isClosed }) }

    /// Applies closed logs to what a disk held.
    static func apply(_ logs: some Sequence<Log>, to bytes: [UInt8]) throws -> [UInt8] {
        let disk = MemoryDisk(bytes)
        try applyLogs(try logs.map { try LogReader($0.file) }, to: disk)
        return disk.allBytes
    }
}

/// The writes that can be had of a log, closed or not.
func writes(of log: FoundLogs.Log) throws -> [LoggedWrite] {
    let reader: LogReader
    if log.header.isClosed {
        reader = try LogReader(log.file)
    } else {
        let recovered = try recover(unclosed: log.file)
        // A cut in the making of a log leaves one without a block.
        if recovered.candidates.isEmpty { return [] }
        reader = recovered.reader(of: try recovered.candidate())
    }
    var result: [LoggedWrite] = []
    try reader.forEachWrite(verifyingData: true) { (write) throws(DiskError) in
        let bytes = try diskErrors(log.name) { try log.file.bytes(at: write.dataOffset, count: Int(write.byteCount)) }
        result.append(LoggedWrite(offset: write.diskOffset, bytes: bytes))
    }
    return result
}

struct LoggedWrite: Equatable, Sendable {
    var offset: UInt64
    var bytes: [UInt8]
}
