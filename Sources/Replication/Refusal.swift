/// Why an event was not taken. The machine is exactly as it was before.
public struct Refusal: Error, Equatable, Sendable, CustomStringConvertible {
    /// A condition that the operation needs besides the state.
    public enum Condition: String, Sendable {
        case machineRunning = "the machine must be stopped first"
        case primaryRunning = "the primary is known to run"
        case primaryNotPrepared = "the primary is not prepared for failover"
        case logsNotApplied = "received logs are not applied yet"
        case sizesDiffer = "the sizes of source and replica differ"
        case initialReplicationUnfinished = "the initial replication is not finished"
        case replicaNotCreated = "the replica side has not been made yet"
        case onlyWithSeed = "during initial replication this is possible only while a seed travels"
        case testFailoverRunning = "a test failover is running; cancel it first"
        case noTestFailover = "no test failover is running"
        case failoverUnfinished = "the failover is still being carried out"
        case replicaNotFailedOver = "the replica has not been failed over"
        case seedNotAnnounced = "the primary has not announced a seed"
        case noDisks = "there are no disks to replicate"
    }

    public enum Reason: Equatable, Sendable {
        /// The state is not one of `legal`; an empty list means that the operation belongs to the other side.
        case state(legal: [StateName])
        case condition(Condition)
        /// A report that nothing in this state can have asked for: late, repeated, or about an unknown disk.
        case unexpected
    }

    /// The operation's name, or the report's.
    public let subject: String
    public let side: Side
    public let state: StateName
    public let reason: Reason

    public var description: String {
        let place = "\(subject): refused in state \(state) (\(side))"
        switch reason {
        case .state(let legal) where legal.isEmpty: return "\(place): not an operation of the \(side)"
        case .state(let legal): return "\(place): legal in \(legal.map(\.rawValue).joined(separator: ", "))"
        case .condition(let condition): return "\(place): \(condition.rawValue)"
        case .unexpected: return "\(place): not expected there"
        }
    }
}
