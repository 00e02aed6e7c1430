/// Why an action could not be done.
public struct Failure: Hashable, Codable, Sendable, CustomStringConvertible {
    public enum Cause: String, CaseIterable, Codable, Sendable {
        // An administrator is needed.
        case brokenDiskChain = "broken_disk_chain"
        case invalidReplicaState = "invalid_replica_state"
        case authentication
        case authorisation
        case machineNotFound = "machine_not_found"
        /// A copy's hash differed from its source's in every attempt.
        case copyMismatch = "copy_mismatch"
        /// The source disk is not the size it was when it was protected.
        case sizeChanged = "size_changed"
        /// A read or write that failed for another reason.
        case inputOutput = "input_output"
        // Time may mend these.
        case network
        case lowDiskSpace = "low_disk_space"
        case lowMemory = "low_memory"
        /// The replica is suspended, and takes nothing until it is resumed.
        case replicaSuspended = "replica_suspended"

        /// Whether the action is tried again by itself (`RetryPolicy`); otherwise the state becomes Error at once.
        public var isRetried: Bool {
            switch self {
            case .network, .lowDiskSpace, .lowMemory, .replicaSuspended: true
            case .brokenDiskChain, .invalidReplicaState, .authentication, .authorisation, .machineNotFound,
                .copyMismatch, .sizeChanged, .inputOutput:
                false
            }
        }

        /// What to do about it, in one sentence.
        public var remedy: String {
            switch self {
            case .brokenDiskChain: "Mend the chain of disk images, then resume."
            case .invalidReplicaState: "Look at the replica's state; reverse if it was failed over."
            case .authentication: "Renew the credentials, then resume."
            case .authorisation: "Allow this primary at the replica, then resume."
            case .machineNotFound: "Protect the machine again, or put its files back, then resume."
            case .copyMismatch: "Make sure that nothing else writes to the disk, check both volumes, then resume."
            case .sizeChanged: "Unprotect and protect again with the new size."
            case .inputOutput: "Check the volume that the message names, then resume."
            case .network: "It is tried again by itself; check the way to the target."
            case .lowDiskSpace: "It is tried again by itself; free space at the volume that the message names."
            case .lowMemory: "It is tried again by itself."
            case .replicaSuspended: "It is tried again by itself; resume the replica."
            }
        }
    }

    public var cause: Cause
    /// Index of the disk, when the failure is one disk's.
    public var disk: Int?
    /// What happened, with path and offset where there are any; for people.
    public var message: String

    public init(_ cause: Cause, disk: Int? = nil, message: String) {
        (self.cause, self.disk, self.message) = (cause, disk, message)
    }

    public var description: String { message }
}
