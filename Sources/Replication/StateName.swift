/// The thirteen states of a replicated machine, in Hyper-V Replica's words. The raw value is the word itself.
public enum StateName: String, CaseIterable, Codable, Sendable, CustomStringConvertible {
    case disabled = "Disabled"
    /// Primary only.
    case readyForInitialReplication = "ReadyForInitialReplication"
    /// Primary only.
    case initialReplicationInProgress = "InitialReplicationInProgress"
    /// Replica only.
    case waitingForInitialReplication = "WaitingForInitialReplication"
    case replicating = "Replicating"
    /// Primary only: the machine is locked from starting.
    case preparedForFailover = "PreparedForFailover"
    /// Replica only.
    case failedOverWaitingCompletion = "FailedOverWaitingCompletion"
    /// Replica only.
    case failedOver = "FailedOver"
    case suspended = "Suspended"
    case error = "Error"
    case waitingForStartResynchronize = "WaitingForStartResynchronize"
    case resynchronizing = "Resynchronizing"
    case resynchronizeSuspended = "ResynchronizeSuspended"

    public var description: String { rawValue }
}

/// The two ends of a relationship. Each keeps its own state.
public enum Side: String, CaseIterable, Codable, Sendable, CustomStringConvertible {
    /// Where the machine runs: `Primary`.
    case primary
    /// Where the copies are: `Replica`.
    case replica

    public var description: String { rawValue }

    /// The states this side can be in.
    public var states: [StateName] {
        switch self {
        case .primary:
            StateName.allCases.filter {
                $0 != .waitingForInitialReplication && $0 != .failedOverWaitingCompletion && $0 != .failedOver
            }
        case .replica:
            StateName.allCases.filter {
                $0 != .readyForInitialReplication && $0 != .initialReplicationInProgress && $0 != .preparedForFailover
            }
        }
    }
}
