/// What an administrator (or the machine itself, for `markForResync`) may ask of a relationship.
public enum Operation: String, CaseIterable, Codable, Sendable, CustomStringConvertible {
    case protect
    case start
    case exportSeed = "export-seed"
    case importSeed = "import-seed"
    /// One delta cycle now.
    case sync
    case suspend
    case resume
    case markForResync = "mark-for-resync"
    case resync
    case cancelResync = "cancel-resync"
    case testFailover = "test-failover"
    case cancelTestFailover = "cancel-test-failover"
    case plannedFailover = "planned-failover"
    case unplannedFailover = "unplanned-failover"
    case cancelFailover = "cancel-failover"
    case commit
    case reverse
    case unprotect

    public var description: String { rawValue }

    /// The table of operations: the states of `side` in which this operation is accepted, empty when it belongs to the
    /// other side. A state in this list may still refuse for a `Condition` (a machine that runs, sizes that differ …);
    /// a state outside it always refuses, and the refusal names it.
    public func legalStates(on side: Side) -> [StateName] {
        switch (self, side) {
        case (.protect, _): [.disabled]
        case (.unprotect, _): side.states.filter { $0 != .disabled }
        case (.resume, _): [.suspended, .error, .resynchronizeSuspended]

        case (.start, .primary), (.exportSeed, .primary): [.readyForInitialReplication]
        case (.sync, .primary): [.initialReplicationInProgress, .replicating]
        case (.suspend, .primary): [.initialReplicationInProgress, .replicating, .resynchronizing]
        case (.markForResync, .primary):
            [.initialReplicationInProgress, .replicating, .suspended, .error, .waitingForStartResynchronize]
        case (.resync, .primary): [.waitingForStartResynchronize]
        case (.cancelResync, .primary): [.resynchronizing, .resynchronizeSuspended]
        case (.plannedFailover, .primary): [.replicating]
        case (.cancelFailover, .primary): [.preparedForFailover]
        case (.reverse, .primary): [.preparedForFailover, .error]
        case (_, .primary): []

        case (.importSeed, .replica): [.waitingForInitialReplication]
        case (.suspend, .replica): [.waitingForInitialReplication, .replicating, .resynchronizing]
        case (.markForResync, .replica): [.replicating, .suspended, .error, .waitingForStartResynchronize]
        case (.testFailover, .replica): [.replicating, .suspended, .error, .waitingForStartResynchronize]
        case (.cancelTestFailover, .replica): side.states.filter { $0 != .disabled }
        case (.plannedFailover, .replica): [.replicating]
        case (.unplannedFailover, .replica):
            [
                .replicating, .suspended, .error, .waitingForStartResynchronize, .resynchronizing,
                .resynchronizeSuspended,
            ]
        case (.cancelFailover, .replica), (.commit, .replica): [.failedOverWaitingCompletion]
        case (.reverse, .replica): [.failedOverWaitingCompletion, .failedOver]
        case (_, .replica): []
        }
    }
}
