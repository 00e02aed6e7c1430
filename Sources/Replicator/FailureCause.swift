import BlockIO
import DiskModel
import Glibc
import Replication

extension Failure {
    /// What the machines are told about an error.
    /// - Parameter isTarget: whether it happened at the target.
    init(_ error: any Error, disk: Int? = nil, isTarget: Bool) {
        switch error {
        case let error as DiskError:
            self.init(Self.cause(error, isTarget), disk: disk, message: error.description)
        case let error as IOError:
            self.init(Self.cause(DiskError(error), isTarget), disk: disk, message: error.description)
        case let error as TargetRefusal:
            let isSuspended = error.refusal.state == .suspended || error.refusal.state == .resynchronizeSuspended
            self.init(
                isSuspended ? .replicaSuspended : .invalidReplicaState, disk: disk, message: error.description)
        case let error as SizeChange: self.init(.sizeChanged, disk: disk, message: error.description)
        case let error as CopyMismatch: self.init(.copyMismatch, disk: disk, message: error.description)
        default: self.init(.inputOutput, disk: disk, message: "\(error)")
        }
    }

    private static func cause(_ error: DiskError, _ isTarget: Bool) -> Cause {
        if case .errno(let code)? = error.ioError?.reason {
            switch code {
            case ENOSPC, EDQUOT: return .lowDiskSpace
            case ENOMEM: return .lowMemory
            case ENOENT, ENOTDIR: return isTarget ? .invalidReplicaState : .machineNotFound
            default: return .inputOutput
            }
        }
        switch error.kind {
        case .format, .unrecognised, .identityMismatch, .parentMissing, .chain, .key:
            return isTarget ? .invalidReplicaState : .brokenDiskChain
        case .refused: return isTarget ? .invalidReplicaState : .brokenDiskChain
        default: return .inputOutput
        }
    }
}

/// What a person can do, in terms of the verbs there are.
enum Remedy {
    static func text(for cause: Failure.Cause, name: String, verb: String) -> String {
        let again = "run `vhdreplica \(verb) \(name)` again"
        return switch cause {
        case .brokenDiskChain: "mend the chain of disk images, then \(again)"
        case .machineNotFound: "put the disk's files back, then \(again)"
        case .sizeChanged: "`vhdreplica unprotect \(name)`, then protect and start it again with the new size"
        case .copyMismatch: "make sure that nothing writes to the disk without a log, then \(again)"
        case .lowDiskSpace: "free space on the volume named, then \(again)"
        case .inputOutput: "check the volume named, then \(again)"
        case .invalidReplicaState: "put the replica's folder right, then \(again)"
        case .replicaSuspended: "resume the replica, then \(again)"
        case .authentication, .authorisation, .network, .lowMemory: again
        }
    }

    /// Until replicas can be compared with their sources, the whole copy is made again.
    static func resync(name: String) -> String {
        "resynchronise: `vhdreplica unprotect \(name)`, move the replica's disks away, then protect and start it again"
    }
}
