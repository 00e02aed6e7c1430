extension Primary {
    /// The old primary as the new replica, after a failover. A planned one lost nothing, so it replicates on; after an
    /// unplanned one only the new primary knows which of this side's last changes count, and it waits to be compared.
    /// - Throws: `Refusal` unless PreparedForFailover and done, or in Error because the replica was failed over.
    public func reversed() throws(Refusal) -> Replica {
        let refusal = { (reason: Refusal.Reason) in
            Refusal(subject: Operation.reverse.rawValue, side: .primary, state: state.name, reason: reason)
        }
        var reversed = ReplicaRecord(disks: record.disks.map(\.identity), policy: record.policy)
        reversed.complete = true
        switch state {
        case .preparedForFailover(.done): reversed.state = .replicating
        case .preparedForFailover: throw refusal(.condition(.failoverUnfinished))
        case .error(let failure, _):
            guard failure.cause == .invalidReplicaState, failure.message == Primary.failedOverMessage else {
                throw refusal(.condition(.replicaNotFailedOver))
            }
            reversed.state = .waitingForStartResynchronize([DiskStop(reason: .reversed)])
        default: throw refusal(.state(legal: Operation.reverse.legalStates(on: .primary)))
        }
        return Replica(unchecked: reversed)
    }
}

extension Replica {
    /// The old replica as the new primary, after a failover; it implies `commit`. Its chains begin anew, so only what
    /// was changed since is sent.
    /// - Throws: `Refusal` unless FailedOver, or FailedOverWaitingCompletion with the machine ready to start.
    public func reversed() throws(Refusal) -> Primary {
        let refusal = { (reason: Refusal.Reason) in
            Refusal(subject: Operation.reverse.rawValue, side: .replica, state: state.name, reason: reason)
        }
        let planned: Bool
        switch state {
        case .failedOver(let kind, _): planned = kind
        case .failedOverWaitingCompletion(let failover):
            guard failover.step == .ready else { throw refusal(.condition(.failoverUnfinished)) }
            planned = failover.planned
        default: throw refusal(.state(legal: Operation.reverse.legalStates(on: .replica)))
        }
        var reversed = PrimaryRecord(disks: record.disks.map(\.identity), policy: record.policy)
        reversed.state =
            planned ? .replicating(nil) : .waitingForStartResynchronize([DiskStop(reason: .reversed)])
        return Primary(unchecked: reversed)
    }
}
