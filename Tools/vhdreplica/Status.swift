import ArgumentParser
import ByteCodec
import DiskModel
import Replication
import Replicator
import Toolbox

struct Status: Verb {
    static let configuration = CommandConfiguration(
        abstract: "How a machine's replication is, or all machines' in one line each.",
        discussion: """
            EXAMPLES
              vhdreplica status
              vhdreplica status web
              vhdreplica status web --json | jq -r '.result.relationships[0].health'

            Exit status: 0 Normal, 3 Warning, 1 Critical.
            """)
    static let schema = "vhdreplica-status/1"

    @Argument(help: "The machine's name; without one, all.")
    var vm: String?
    @OptionGroup var keyOptions: KeyOptions
    @OptionGroup var stateOptions: StateOptions
    @OptionGroup var output: OutputOptions

    func perform(_ run: ToolRun) throws {
        let now = Surroundings.systemTime()
        let names = try vm.map { [$0] } ?? stateOptions.folder.names()
        var found: [RelationshipStatus] = []
        for name in names {
            do {
                found.append(
                    try RelationshipStatus(
                        name, in: stateOptions.folder, at: now, files: keyOptions.files.quiet))
            } catch {
                // One damaged record must not hide the others.
                guard vm == nil else { throw error }
                run.fail(error)
            }
        }
        for status in found {
            switch status.level {
            case .normal: break
            case .warning: run.raise(.partial)
            case .critical: run.raise(.finding)
            }
        }
        run.result = ["relationships": .array(found.map(StatusText.json))]
        guard !output.json else { return }
        if vm != nil, let status = found.first {
            for line in StatusText(status, plain: output.bytes).lines { try run.out.line(line) }
        } else {
            if names.isEmpty { try run.out.line("no machine is protected here") }
            for status in found { try run.out.line(StatusText.line(status)) }
        }
    }
}

/// A relationship's status for people and as JSON.
struct StatusText {
    private(set) var lines: [String] = []
    private let plain: Bool

    static func line(_ status: RelationshipStatus) -> String {
        var line = "\(status.name): \(status.level), \(status.primary.state)"
        if let replica = status.replica, replica.state != status.primary.state { line += " / \(replica.state)" }
        line += ", \(status.disks.count) disk\(status.disks.count == 1 ? "" : "s") -> \(status.target)"
        line += ", last sync \(time(status.primary.statistics.lastSync))"
        if let problem = status.problems.first { line += "; \(problem.message)" }
        return line
    }

    private static func time(_ seconds: Int64?) -> String { seconds.map { rfc3339(unixSeconds: $0) } ?? "never" }

    private static func reasons(_ status: RelationshipStatus) -> [Health.Reason] {
        var reasons = status.primary.health.reasons
        for reason in status.replica?.health.reasons ?? [] where !reasons.contains(reason) { reasons.append(reason) }
        return reasons
    }

    init(_ status: RelationshipStatus, plain: Bool) {
        self.plain = plain
        let reasons = Self.reasons(status).map(\.rawValue)
        lines.append(
            "\(status.name): \(status.level)" + (reasons.isEmpty ? "" : " (\(reasons.joined(separator: ", ")))"))
        put("primary", "\(status.primary.state)")
        put("replica", "\(status.replica.map { "\($0.state)" } ?? "-") in \(status.target)/\(status.name)")
        put("interval", Interval.text(status.interval) + (status.keepsLogs ? ", logs are kept" : ""))
        if !status.recipients.isEmpty { put("sealed for", status.recipients.joined(separator: ", ")) }
        let statistics = status.primary.statistics
        put("last sync", Self.time(statistics.lastSync))
        put("last applied", Self.time(status.replica?.statistics.lastApplied ?? statistics.lastApplied))
        put(
            "cycles",
            "\(statistics.cyclesDone) done, \(statistics.cyclesMissed) missed, \(bytes(statistics.bytes)) sent, "
                + "latency \(statistics.latencyAverage) s average, \(statistics.latencyMaximum) s maximum")
        for disk in status.disks { put(disk) }
        for problem in status.problems {
            let place = problem.disk.map { "\($0): " } ?? ""
            put("problem", "\(problem.side): \(place)\(problem.message)")
            put("remedy", problem.remedy)
        }
        for incident in statistics.incidents
        where status.problems.allSatisfy({ !incident.message.hasSuffix($0.message) }) {
            put("before", "\(Self.time(incident.time)): \(incident.message)")
        }
    }

    private func bytes(_ count: UInt64) -> String { Quantity.bytes(count, plain: plain) }

    private mutating func put(_ label: String, _ text: String) {
        lines.append("  \(label):" + String(repeating: " ", count: max(1, 14 - label.utf8.count)) + text)
    }

    private mutating func put(_ disk: RelationshipStatus.Disk) {
        var stage = disk.primary.stage.name
        if case .copying(let byte) = disk.primary.stage {
            stage += " \(disk.primary.disk.size == 0 ? 100 : byte / (disk.primary.disk.size / 100 + 1)) %"
        }
        put("disk", "\(disk.name): \(stage), \(bytes(disk.primary.disk.size)), \(disk.path)")
        put("  replica", disk.replicaPath)
        put("  received", (disk.replica ?? disk.primary).position.received?.description ?? "-")
        put("  applied", (disk.replica ?? disk.primary).position.applied?.description ?? "-")
        put("  pending", "\(bytes(disk.waitingBytes)) to send, \(bytes(disk.storedBytes)) to merge")
    }

    // MARK: JSON

    static func json(_ status: RelationshipStatus) -> JSONValue {
        [
            "name": .string(status.name), "id": .string(status.id), "created": .string(time(status.created)),
            "target": .string(status.target), "interval": .unsigned(UInt64(status.interval)),
            "keep_logs": .bool(status.keepsLogs),
            "seal_to": .array(status.recipients.map(JSONValue.string)), "health": .string(status.level.rawValue),
            "primary": json(status.primary), "replica": status.replica.map(json) ?? .null,
            "disks": .array(status.disks.map(json)),
            "problems": .array(
                status.problems.map { problem in
                    [
                        "side": .string(problem.side.rawValue), "disk": .optional(problem.disk),
                        "code": .string(problem.code), "message": .string(problem.message),
                        "remedy": .string(problem.remedy), "retry_time": jsonTime(problem.retryTime),
                    ]
                }),
        ]
    }

    private static func jsonTime(_ seconds: Int64?) -> JSONValue { .optional(seconds) { .string(time($0)) } }

    private static func json(_ side: RelationshipStatus.SideStatus) -> JSONValue {
        let statistics = side.statistics
        return [
            "state": .string(side.state.rawValue), "health": .string(side.health.level.rawValue),
            "reasons": .array(side.health.reasons.map { .string($0.rawValue) }),
            "statistics": [
                "window_start": jsonTime(statistics.windowStart), "cycles_done": .unsigned(statistics.cyclesDone),
                "cycles_missed": .unsigned(statistics.cyclesMissed), "bytes": .unsigned(statistics.bytes),
                "latency_average": .integer(statistics.latencyAverage),
                "latency_maximum": .integer(statistics.latencyMaximum),
                "pending_bytes": .unsigned(statistics.pendingBytes), "last_sync": jsonTime(statistics.lastSync),
                "last_applied": jsonTime(statistics.lastApplied),
                "incidents": .array(
                    statistics.incidents.map { incident in
                        [
                            "time": jsonTime(incident.time), "message": .string(incident.message),
                            "remedy": .string(incident.remedy),
                        ]
                    }),
            ],
        ]
    }

    private static func json(_ disk: RelationshipStatus.Disk) -> JSONValue {
        [
            "name": .string(disk.name), "path": .string(disk.path), "replica_path": .string(disk.replicaPath),
            "format": .string(disk.format.rawValue), "virtual_size": .unsigned(disk.primary.disk.size),
            "waiting_bytes": .unsigned(disk.waitingBytes), "stored_bytes": .unsigned(disk.storedBytes),
            "digest": .optional(disk.primary.shownDigest), "primary": json(disk.primary),
            "replica": disk.replica.map(json) ?? .null,
        ]
    }

    private static func json(_ progress: DiskProgress) -> JSONValue {
        var byte: UInt64?
        if case .copying(let done) = progress.stage { byte = done }
        return [
            "stage": .string(progress.stage.name), "copied_bytes": .optional(byte),
            "received": .optional(progress.position.received?.description),
            "applied": .optional(progress.position.applied?.description),
        ]
    }
}
