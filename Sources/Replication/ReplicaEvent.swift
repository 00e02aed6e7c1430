extension Replica {
    /// What happened. Operations are an administrator's; the primary's messages come from its actions; reports say how
    /// an action went.
    public enum Event: Hashable, Sendable {
        // MARK: Operations
        case protect
        case importSeed
        case suspend
        case resume
        case markForResync([DiskStop])
        /// `point`: id of the recovery point, nil for the newest.
        case testFailover(point: String?)
        case cancelTestFailover
        /// `primaryPrepared`: whether the primary is PreparedForFailover and done.
        case plannedFailover(primaryPrepared: Bool)
        /// `primaryRunning`: whether the primary is known to run.
        case unplannedFailover(point: String?, primaryRunning: Bool)
        case cancelFailover
        case commit
        case unprotect

        // MARK: The primary's messages
        /// A pass over all disks begins at these baselines.
        case passBegan([LogID?])
        /// All bytes of the disk below `byte` are durable here. It may go back, when the disk is copied again.
        case copyAdvanced(disk: Int, byte: UInt64)
        /// The disk is whole. `digest` is its hash; nil after a comparison.
        case diskCompleted(disk: Int, digest: String?)
        /// The log is durable in the store under `Replica.slot(for:disk:)`, and was checked whole there.
        case logStored(disk: Int, LogDescriptor)
        case cycleReceived(Cycle)
        case finalize([LogID?])
        case resyncCancelled

        // MARK: The performer
        case woke
        /// Time has passed; see `wakeTime`.
        case tick
        /// The action under way failed.
        case failed(Failure)

        // MARK: How actions went
        /// The disk holds everything up to this log, durably.
        case logsApplied(disk: Int, through: LogID)
        /// A stored log cannot be applied; nothing of the logs given was.
        case logsRejected(disk: Int, LogFault)
        /// One hash a disk.
        case seedImported([String])
        case testCopyCreated
        case testCopyDiscarded
        case resyncUndone
        case failoverPrepared
        case failoverUndone
        case pointsDeleted

        /// The operation, if it is one.
        public var operation: Operation? {
            switch self {
            case .protect: .protect
            case .importSeed: .importSeed
            case .suspend: .suspend
            case .resume: .resume
            case .markForResync: .markForResync
            case .testFailover: .testFailover
            case .cancelTestFailover: .cancelTestFailover
            case .plannedFailover: .plannedFailover
            case .unplannedFailover: .unplannedFailover
            case .cancelFailover: .cancelFailover
            case .commit: .commit
            case .unprotect: .unprotect
            default: nil
            }
        }

        /// The event's name without its values.
        var label: String {
            operation?.rawValue ?? String(String(describing: self).prefix { $0 != "(" })
        }
    }

    /// What is to be done. Every action may be done again after a crash.
    public enum Action: Hashable, Sendable {
        /// Store `record` atomically and durably, before anything that stands after it.
        case save

        // MARK: One of these at a time; each is answered by the event named, or by `failed`.
        /// Check all of these stored logs whole, then merge them into the disk in this order, then flush →
        /// `logsApplied` through the last, or `logsRejected`. Applying them again is harmless.
        case applyLogs(disk: Int, [StoredLog])
        /// → `seedImported`.
        case importSeed
        /// → `testCopyCreated`.
        case createTestCopy(point: String?)
        /// → `testCopyDiscarded`.
        case discardTestCopy
        /// Take back what an unfinished resynchronisation wrote → `resyncUndone`.
        case undoResync
        /// Bring the disks to the point → `failoverPrepared`.
        case prepareFailover(point: String?)
        /// Bring them back to the newest → `failoverUndone`.
        case undoFailover
        /// → `pointsDeleted`.
        case deletePoints
        /// Remove the store but for the whole disks of these indices. Nothing answers it.
        case removeStore(keeping: [Int])

        // MARK: At once; nothing answers these.
        /// Remove from the store every log that is not in the record's `pending`: left over from a kill.
        case pruneStore
        case removeStored(disk: Int, [StoredLog])
        /// Break off the action under way.
        case interrupt
        /// All disks hold this cycle: the place where a recovery point is made. Comes before `save`; the same cycle may come
        /// again after a kill.
        case cycleApplied(Cycle)

        // MARK: Messages to the primary; losing one is harmless.
        case acknowledgeBaseline
        case acknowledgeLog(disk: Int, id: LogID)
        case acknowledgeCycle(number: UInt64)
        case acknowledgeFinalize
        case reportApplied([LogID?])
        case reportSeedImported
        case reportStop([DiskStop])
        case reportFailedOver
    }
}
