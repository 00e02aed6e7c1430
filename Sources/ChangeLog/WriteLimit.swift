import DiskModel
public import ByteCodec
import HRL

/// How far writes count: all before the first one that lies past a limit. Whole writes only.
public struct WriteLimit: Sendable {
    /// The first write of a later time is left out, and all after it.
    public var time: DiskTimestamp?
    /// So many writes count, through all the logs.
    public var count: UInt64?

    public init(time: DiskTimestamp? = nil, count: UInt64? = nil) { (self.time, self.count) = (time, count) }

    /// One pass over the writes.
    struct Pass {
        private let limit: WriteLimit
        private var seenCount: UInt64 = 0
        /// Whether a write was left out; all after it are, too.
        private(set) var isReached = false

        init(_ limit: WriteLimit) { self.limit = limit }

        mutating func admits(_ write: LogWrite) -> Bool {
            guard !isReached else { return false }
            if let last = limit.count, seenCount >= last { isReached = true }
            if let last = limit.time, write.timestamp > last { isReached = true }
            seenCount += 1
            return !isReached
        }
    }
}
