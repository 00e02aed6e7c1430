import Foundation
@testable import Replication
import Testing

@Suite struct RecordTests {
    private func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    /// The stored form is an interface: a change here needs a migration.
    @Test func stableKeys() throws {
        var record = PrimaryRecord(disks: [disks[0]], policy: .standard)
        record.state = .initialReplicationInProgress(
            .online(pass: .transferring(position: CopyPosition(disk: 0, byte: 5))))
        record.disks[0].position = ChainPosition(received: id(2), applied: id(1))
        #expect(
            try json(record) == """
                {"disks":[{"identity":{"name":"system","size":64},"known":[],"position":\
                {"applied":"00000000-0000-0000-0000-000000000001","received":"00000000-0000-0000-0000-000000000002"}}],\
                "last_cycle":0,"policy":{"automatic_resync":false,"compression":true,"interval":300,\
                "recovery_points":0,"resync_window":{"from":66600,"to":21600}},"state":{"name":\
                "InitialReplicationInProgress","replication":{"online":{"pass":{"transferring":{"position":\
                {"attempt":1,"byte":5,"disk":0,"verifying":false}}}}}},"statistics":{"bytes":0,"cycles_done":0,\
                "cycles_missed":0,"incidents":[],"latency_maximum":0,"latency_total":0,"pending_bytes":0}}
                """)
    }

    /// Every key in every stored form, in lower_snake_case.
    @Test func keysAreLowerSnakeCase() throws {
        var texts = try LegalityTests.primaryStates.map { try json($0) }
        texts += try LegalityTests.replicaStates.map { try json($0) }
        let cycle = Cycle(number: 1, begun: 2, tips: [nil])
        let outgoing = OutgoingLog(disk: 0, name: "name", id: id(1), bytes: 1)
        texts += try [Delivery.switching, .sending(cycle: cycle, queue: [outgoing]), .ending(cycle: cycle)].map {
            try json($0)
        }
        texts += try [
            ResyncReason.log(fault: .beyondDisk(name: "n", end: 1, size: 1)), .log(fault: .tooMany(count: 1)),
            .tooLarge(bytes: 1, size: 1), .changed(expected: nil, found: id(1)), .offline,
        ].map { try json($0) }
        texts.append(try json(ReplicaRecord(disks: disks, policy: .standard)))
        texts.append(try json(LegalityTests.replica(.replicating, testing: true).record))
        for text in texts {
            for match in text.matches(of: /"([^"]*)":/) {
                #expect(match.1.wholeMatch(of: /[a-z][a-z0-9_]*/) != nil, "\(match.1) in \(text)")
            }
        }
    }

    @Test func everyStateIsReadBack() throws {
        for state in LegalityTests.primaryStates {
            #expect(try JSONDecoder().decode(PrimaryState.self, from: JSONEncoder().encode(state)) == state)
        }
        for state in LegalityTests.replicaStates {
            #expect(try JSONDecoder().decode(ReplicaState.self, from: JSONEncoder().encode(state)) == state)
        }
    }

    @Test func recordsThatDoNotFitTogetherAreRefused() throws {
        func refuse(_ change: (inout PrimaryRecord) -> Void) {
            var record = PrimaryRecord(disks: disks, policy: .standard)
            change(&record)
            #expect(throws: RecordFault.self) { _ = try Primary(record) }
        }
        let short = Cycle(number: 1, begun: 0, tips: [nil])
        refuse { $0.state = .resynchronizing(.transferring(position: CopyPosition(disk: 3))) }
        refuse { $0.state = .resynchronizing(.transferring(position: CopyPosition(disk: -1))) }
        refuse { $0.state = .replicating(.ending(cycle: short)) }
        refuse { $0.state = .replicating(.sending(cycle: short, queue: [])) }
        refuse { $0.state = .preparedForFailover(.applying(tips: [])) }
        refuse { $0.state = .waitingForStartResynchronize([]) }
        refuse { $0.state = .waitingForStartResynchronize([DiskStop(disk: 3, reason: .offline)]) }
        refuse { $0.state = .suspended(.prepared(cycle: .done)) }
        refuse { $0.state = .resynchronizing(.settling(cycle: .done)) }
        refuse {
            $0.state = .replicating(nil)
            $0.disks = []
        }
        func refuseReplica(_ change: (inout ReplicaRecord) -> Void) {
            var record = ReplicaRecord(disks: disks, policy: .standard)
            change(&record)
            #expect(throws: RecordFault.self) { _ = try Replica(record) }
        }
        refuseReplica { $0.cycles = [short] }
        refuseReplica { $0.applying = true }
        refuseReplica { $0.disks[0].position.received = id(1) }
        refuseReplica { $0.state = .resynchronizing(CopyPosition(disk: 4)) }
        refuseReplica { $0.cycles = [Cycle(number: 1, begun: 0, tips: [id(1), nil, nil])] }
    }

    @Test func textThatIsNoRecordIsRefused() {
        for text in [
            "{\"name\":\"FailedOver\",\"planned\":true,\"cleaned\":true}", "{\"name\":\"replicating\"}",
            "{\"name\":\"Suspended\"}", "{}",
        ] {
            #expect(throws: DecodingError.self) {
                try JSONDecoder().decode(PrimaryState.self, from: Data(text.utf8))
            }
        }
        for text in ["\"00000000-0000-0000-0000-000000000000\"", "\"x\""] {
            #expect(throws: DecodingError.self) { try JSONDecoder().decode([LogID].self, from: Data("[\(text)]".utf8)) }
        }
        let policy = """
            {"interval":0,"recovery_points":0,"compression":true,"automatic_resync":false,\
            "resync_window":{"from":0,"to":0}}
            """
        #expect(throws: PolicyFault.intervalTooShort) {
            try JSONDecoder().decode(Policy.self, from: Data(policy.utf8))
        }
    }
}
