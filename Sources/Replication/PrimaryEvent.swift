extension Primary {
    /// What happened. Operations are an administrator's; reports say how an action went.
    public enum Event: Hashable, Sendable {
        // MARK: Operations
        case protect
        case start
        case exportSeed
        case sync
        case suspend
        case resume
        case markForResync([DiskStop])
        /// `sizesEqual`: whether every source disk has the size of its replica.
        case resync(sizesEqual: Bool)
        case cancelResync
        /// `stopped`: whether the machine is shut down.
        case plannedFailover(stopped: Bool)
        case cancelFailover
        case unprotect

        // MARK: The performer
        /// The process begins, with what the replica side says is durable; nil when it cannot be asked.
        case woke(ReplicaReport?)
        /// Time has passed; see `wakeTime`.
        case tick
        /// The action under way failed.
        case failed(Failure)
        /// Bytes of logs that wait beside each disk, live ones included; at any time while tracking.
        case logsMeasured([UInt64])

        // MARK: How actions went
        case replicaCreated
        /// The logs beside each disk after the switch.
        case logsSwitched([[LogDescriptor]])
        case baselineAnnounced
        /// All bytes of the disk below `byte` are durable at the target (or found equal there).
        case copyAdvanced(disk: Int, byte: UInt64)
        case copyCompleted(disk: Int)
        case diskVerified(disk: Int, digest: String)
        /// The copy's hash is not the source's.
        case diskDiffers(disk: Int)
        case seedExported
        /// The log is durable at the target, and the replica took it.
        case logAcknowledged(disk: Int, id: LogID)
        case cycleAcknowledged(number: UInt64)
        case finalized

        // MARK: What the replica says by itself
        /// Every disk's logs are applied up to these.
        case applied([LogID?])
        case seedImported
        case replicaStopped([DiskStop])
        case replicaFailedOver

        /// The operation, if it is one.
        public var operation: Operation? {
            switch self {
            case .protect: .protect
            case .start: .start
            case .exportSeed: .exportSeed
            case .sync: .sync
            case .suspend: .suspend
            case .resume: .resume
            case .markForResync: .markForResync
            case .resync: .resync
            case .cancelResync: .cancelResync
            case .plannedFailover: .plannedFailover
            case .cancelFailover: .cancelFailover
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
        /// Make the replica side, unless it is there already for this relationship → `replicaCreated`.
        case createReplica
        /// Open tracking if it is not, close the open logs of all disks at one instant and go on in new ones, then
        /// describe every log beside each disk → `logsSwitched`. Without a tracker: describe them.
        case switchLogs
        /// Tell the replica `passBegan` → `baselineAnnounced`.
        case announceBaseline([LogID?])
        /// Copy from this byte to the end → any number of `copyAdvanced`, `copyCompleted`.
        case copyDisk(Int, from: UInt64)
        /// Compare, and send what differs, from this byte to the end → `copyAdvanced`, `copyCompleted`.
        case compareDisk(Int, from: UInt64)
        /// Hash source and copy → `diskVerified` or `diskDiffers`.
        case verifyDisk(Int)
        /// → `seedExported`.
        case exportSeed
        /// Store the log at the target and tell the replica `logStored` → `logAcknowledged` or `replicaStopped`.
        case sendLog(OutgoingLog)
        /// Tell the replica `cycleReceived` → `cycleAcknowledged`.
        case endCycle(Cycle)
        /// Tell the replica `finalize` → `finalized`.
        case finalize([LogID?])
        /// Close and leave tracking, unlock the machine, remove the records. Disks stay. Nothing answers it.
        case removeRelationship

        // MARK: At once; nothing answers these.
        /// Break off the action under way.
        case interrupt
        /// The source needs these logs no more: remove them, or keep them for another purpose.
        case releaseLogs(disk: Int, names: [String])
        /// Rename these logs so that they are never picked up.
        case setAsideLogs(disk: Int, names: [String])
        /// Tell the replica `markForResync`, if it can be reached and takes it.
        case reportStop([DiskStop])
        /// Tell the replica `resyncCancelled`, if it can be reached and takes it.
        case reportCancelledResync
        /// Keep the machine from starting, or let it start again.
        case lockMachine(Bool)
        /// The policy starts a resynchronisation now: compare sizes → `resync`.
        case proposeResync

        /// Whether it is the same work as `other`, though perhaps from another byte.
        func isSameTask(as other: Action) -> Bool {
            switch (self, other) {
            case (.copyDisk(let a, _), .copyDisk(let b, _)), (.compareDisk(let a, _), .compareDisk(let b, _)): a == b
            default: self == other
            }
        }
    }
}
