@testable import Replication
import Testing

/// Every operation in every state of both sides. In the tables `+` is legal, `.` refused for the state; a condition
/// that is not met is not tried here.
@Suite struct LegalityTests {
    static let stops = [DiskStop(reason: .requested)]
    static let failedOver = Failure(.invalidReplicaState, message: Primary.failedOverMessage)

    static let primaryStates: [PrimaryState] = [
        .disabled(removing: false), .readyForInitialReplication(created: true),
        .initialReplicationInProgress(.seed(step: .awaiting(delivery: nil))), .replicating(nil),
        .preparedForFailover(.done), .suspended(.replicating(delivery: nil)),
        .error(failedOver, .replicating(delivery: nil)), .waitingForStartResynchronize(stops),
        .resynchronizing(.transferring(position: CopyPosition())), .resynchronizeSuspended(.baseline),
    ]

    //                    Disabled Ready Initial Replicating Prepared Suspended Error Waiting Resync ResyncSuspended
    static let primaryTable: [(Operation, String)] = [
        (.protect, "+........."),
        (.start, ".+........"),
        (.exportSeed, ".+........"),
        (.importSeed, ".........."),
        (.sync, "..++......"),
        (.suspend, "..++....+."),
        (.resume, ".....++..+"),
        (.markForResync, "..++.+++.."),
        (.resync, ".......+.."),
        (.cancelResync, "........++"),
        (.testFailover, ".........."),
        (.cancelTestFailover, ".........."),
        (.plannedFailover, "...+......"),
        (.unplannedFailover, ".........."),
        (.cancelFailover, "....+....."),
        (.commit, ".........."),
        (.reverse, "....+.+..."),
        (.unprotect, ".+++++++++"),
    ]

    static let replicaStates: [ReplicaState] = [
        .disabled(removing: false), .waitingForInitialReplication(CopyPosition()), .replicating,
        .failedOverWaitingCompletion(Failover(planned: false, point: nil, origin: .replicating, step: .ready)),
        .failedOver(planned: true, cleaned: true), .suspended(.replicating),
        .error(Failure(.authorisation, message: "m"), .replicating), .waitingForStartResynchronize(stops),
        .resynchronizing(CopyPosition()), .resynchronizeSuspended(CopyPosition()),
    ]

    //                    Disabled Waiting Replicating FailedOverWC FailedOver Suspended Error WaitingR Resync RSuspended
    static let replicaTable: [(Operation, String)] = [
        (.protect, "+........."),
        (.start, ".........."),
        (.exportSeed, ".........."),
        (.importSeed, ".+........"),
        (.sync, ".........."),
        (.suspend, ".++.....+."),
        (.resume, ".....++..+"),
        (.markForResync, "..+..+++.."),
        (.resync, ".........."),
        (.cancelResync, ".........."),
        (.testFailover, "..+..+++.."),
        (.cancelTestFailover, ".+++++++++"),
        (.plannedFailover, "..+......."),
        (.unplannedFailover, "..+..+++++"),
        (.cancelFailover, "...+......"),
        (.commit, "...+......"),
        (.reverse, "...++....."),
        (.unprotect, ".+++++++++"),
    ]

    static let primaryEvents: [Operation: Primary.Event] = [
        .protect: .protect, .start: .start, .exportSeed: .exportSeed, .sync: .sync, .suspend: .suspend,
        .resume: .resume, .markForResync: .markForResync(stops), .resync: .resync(sizesEqual: true),
        .cancelResync: .cancelResync, .plannedFailover: .plannedFailover(stopped: true),
        .cancelFailover: .cancelFailover, .unprotect: .unprotect,
    ]

    static let replicaEvents: [Operation: Replica.Event] = [
        .protect: .protect, .importSeed: .importSeed, .suspend: .suspend, .resume: .resume,
        .markForResync: .markForResync(stops), .testFailover: .testFailover(point: nil),
        .cancelTestFailover: .cancelTestFailover, .plannedFailover: .plannedFailover(primaryPrepared: true),
        .unplannedFailover: .unplannedFailover(point: nil, primaryRunning: false), .cancelFailover: .cancelFailover,
        .commit: .commit, .unprotect: .unprotect,
    ]

    static func primary(_ state: PrimaryState) -> Primary {
        var record = PrimaryRecord(disks: disks, policy: .standard)
        record.state = state
        return Primary(unchecked: record)
    }

    static func replica(_ state: ReplicaState, testing: Bool = false) -> Replica {
        var record = ReplicaRecord(disks: disks, policy: .standard)
        record.state = state
        record.complete = true
        if testing { record.testFailover = TestFailover(point: nil, step: .ready) }
        return Replica(unchecked: record)
    }

    @Test func thePrimarysTable() {
        #expect(Self.primaryTable.map(\.0) == Operation.allCases)
        #expect(Self.primaryStates.map(\.name) == Side.primary.states)
        for (operation, row) in Self.primaryTable {
            for (state, cell) in zip(Self.primaryStates, row) {
                let legal = cell == "+"
                #expect(operation.legalStates(on: .primary).contains(state.name) == legal, "\(operation) \(state.name)")
                var machine = Self.primary(state)
                let refused = refusal(legal, "\(operation) \(state.name)") {
                    if operation == .reverse {
                        _ = try machine.reversed()
                    } else if let event = Self.primaryEvents[operation] {
                        _ = try machine.handle(event, at: Moment(0))
                    } else if !legal {
                        throw Refusal(
                            subject: operation.rawValue, side: .primary, state: state.name, reason: .state(legal: []))
                    }
                }
                check(refused, operation, .primary, state.name, legal)
                if !legal { #expect(machine.record == Self.primary(state).record) }
            }
        }
    }

    @Test func theReplicasTable() {
        #expect(Self.replicaTable.map(\.0) == Operation.allCases)
        #expect(Set(Self.replicaStates.map(\.name)) == Set(Side.replica.states))
        for (operation, row) in Self.replicaTable {
            for (state, cell) in zip(Self.replicaStates, row) {
                let legal = cell == "+"
                #expect(operation.legalStates(on: .replica).contains(state.name) == legal, "\(operation) \(state.name)")
                let start = Self.replica(state, testing: operation == .cancelTestFailover)
                var machine = start
                let refused = refusal(legal, "\(operation) \(state.name)") {
                    if operation == .reverse {
                        _ = try machine.reversed()
                    } else if let event = Self.replicaEvents[operation] {
                        _ = try machine.handle(event, at: Moment(0))
                    } else if !legal {
                        throw Refusal(
                            subject: operation.rawValue, side: .replica, state: state.name, reason: .state(legal: []))
                    }
                }
                check(refused, operation, .replica, state.name, legal)
                if !legal { #expect(machine.record == start.record) }
            }
        }
    }

    /// What `body` refuses; nothing when it is legal.
    private func refusal(_ legal: Bool, _ comment: Comment, _ body: () throws -> Void) -> Refusal? {
        if legal {
            #expect(throws: Never.self, comment, performing: body)
            return nil
        }
        return #expect(throws: Refusal.self, comment, performing: body)
    }

    private func check(
        _ refusal: Refusal?, _ operation: Operation, _ side: Side, _ state: StateName, _ legal: Bool
    ) {
        guard !legal, let refusal else { return }
        #expect(refusal.state == state)
        #expect(refusal.side == side)
        #expect(refusal.subject == operation.rawValue)
        #expect(refusal.description.contains(state.rawValue))
        guard case .state = refusal.reason else {
            Issue.record("\(refusal)")
            return
        }
    }

    @Test func theNames() {
        #expect(
            StateName.allCases.map(\.rawValue) == [
                "Disabled", "ReadyForInitialReplication", "InitialReplicationInProgress",
                "WaitingForInitialReplication", "Replicating", "PreparedForFailover", "FailedOverWaitingCompletion",
                "FailedOver", "Suspended", "Error", "WaitingForStartResynchronize", "Resynchronizing",
                "ResynchronizeSuspended",
            ])
    }

    @Test func whereOperationsLead() throws {
        for (operation, from, to) in [
            (.protect, .disabled, .readyForInitialReplication),
            (.start, .readyForInitialReplication, .initialReplicationInProgress),
            (.exportSeed, .readyForInitialReplication, .initialReplicationInProgress),
            (.suspend, .replicating, .suspended), (.suspend, .initialReplicationInProgress, .suspended),
            (.suspend, .resynchronizing, .resynchronizeSuspended), (.resume, .suspended, .replicating),
            (.resume, .error, .replicating), (.resume, .resynchronizeSuspended, .resynchronizing),
            (.markForResync, .replicating, .waitingForStartResynchronize),
            (.resync, .waitingForStartResynchronize, .resynchronizing),
            (.cancelResync, .resynchronizing, .waitingForStartResynchronize),
            (.plannedFailover, .replicating, .preparedForFailover),
            (.cancelFailover, .preparedForFailover, .replicating), (.unprotect, .suspended, .disabled),
        ] as [(Operation, StateName, StateName)] {
            let state = try #require(Self.primaryStates.first { $0.name == from })
            var machine = Self.primary(state)
            _ = try machine.handle(try #require(Self.primaryEvents[operation]), at: Moment(0))
            #expect(machine.state.name == to, "\(operation) in \(from)")
        }
        for (operation, from, to) in [
            (.protect, .disabled, .waitingForInitialReplication), (.suspend, .replicating, .suspended),
            (.suspend, .resynchronizing, .resynchronizeSuspended), (.resume, .suspended, .replicating),
            (.testFailover, .replicating, .replicating),
            (.plannedFailover, .replicating, .failedOverWaitingCompletion),
            (.unplannedFailover, .resynchronizing, .failedOverWaitingCompletion),
            (.commit, .failedOverWaitingCompletion, .failedOver), (.unprotect, .failedOver, .disabled),
            (.markForResync, .error, .waitingForStartResynchronize),
        ] as [(Operation, StateName, StateName)] {
            let state = try #require(Self.replicaStates.first { $0.name == from })
            var machine = Self.replica(state)
            _ = try machine.handle(try #require(Self.replicaEvents[operation]), at: Moment(0))
            #expect(machine.state.name == to, "\(operation) in \(from)")
        }
    }

    @Test func conditions() {
        func expect(_ condition: Refusal.Condition, _ body: () throws -> Void) {
            let error = #expect(throws: Refusal.self, performing: body)
            #expect(error?.reason == .condition(condition))
        }
        expect(.machineRunning) {
            var machine = Self.primary(.replicating(nil))
            _ = try machine.handle(.plannedFailover(stopped: false), at: Moment(0))
        }
        expect(.sizesDiffer) {
            var machine = Self.primary(.waitingForStartResynchronize(Self.stops))
            _ = try machine.handle(.resync(sizesEqual: false), at: Moment(0))
        }
        expect(.onlyWithSeed) {
            var machine = Self.primary(.initialReplicationInProgress(.online(pass: .baseline)))
            _ = try machine.handle(.sync, at: Moment(0))
        }
        expect(.noDisks) {
            var machine = Primary(disks: [])
            _ = try machine.handle(.protect, at: Moment(0))
        }
        expect(.replicaNotFailedOver) {
            _ = try Self.primary(.error(Failure(.network, message: ""), .replicating(delivery: nil))).reversed()
        }
        expect(.primaryRunning) {
            var machine = Self.replica(.replicating)
            _ = try machine.handle(.unplannedFailover(point: nil, primaryRunning: true), at: Moment(0))
        }
        expect(.primaryNotPrepared) {
            var machine = Self.replica(.replicating)
            _ = try machine.handle(.plannedFailover(primaryPrepared: false), at: Moment(0))
        }
        expect(.testFailoverRunning) {
            var machine = Self.replica(.replicating, testing: true)
            _ = try machine.handle(.testFailover(point: nil), at: Moment(0))
        }
        expect(.noTestFailover) {
            var machine = Self.replica(.replicating)
            _ = try machine.handle(.cancelTestFailover, at: Moment(0))
        }
        expect(.initialReplicationUnfinished) {
            var replica = Replica(disks: disks)
            for event in [.protect, .passBegan([nil, nil, nil]), .suspend] as [Replica.Event] {
                _ = try replica.handle(event, at: Moment(0))
            }
            _ = try replica.handle(.unplannedFailover(point: nil, primaryRunning: false), at: Moment(0))
        }
        expect(.failoverUnfinished) {
            var machine = Self.replica(.replicating)
            _ = try machine.handle(.unplannedFailover(point: nil, primaryRunning: false), at: Moment(0))
            _ = try machine.handle(.commit, at: Moment(0))
        }
    }
}
