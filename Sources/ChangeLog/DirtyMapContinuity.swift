extension DirtyMap {
    /// What opening a map told about the time before.
    public struct Continuity: Equatable, Sendable {
        public enum State: String, Sendable {
            /// The map was closed, and the image is the same since: what is dirty lies in the logs.
            case clean
            /// The tracker ended without closing: a log may be lost, and the dirty ranges are what must be compared.
            case notClosed = "not-closed"
            /// The image was changed by somebody else: everything counts as dirty.
            case changedOffline = "changed-offline"
            /// The map is damaged beyond use: everything counts as dirty.
            case damaged
        }

        public var state: State
        /// The reason in words, a clause without a full stop; empty for a clean one.
        public var reason: String

        public init(_ state: State, _ reason: String = "") { (self.state, self.reason) = (state, reason) }

        /// Whether a resynchronisation is needed before logs alone tell what changed.
        public var needsResynchronisation: Bool { state != .clean }
    }

    /// What a status says of a map.
    public struct Summary: Equatable, Sendable, CustomStringConvertible {
        public var path: String
        public var virtualByteCount: UInt64
        public var regionByteCount: UInt64
        public var regionCount: Int
        public var dirtyRegionCount: Int
        /// Bytes of the disk in dirty regions.
        public var dirtyByteCount: UInt64
        public var continuity: Continuity

        /// One line, without the path.
        public var description: String {
            let regions = "\(dirtyRegionCount) of \(regionCount) regions of \(regionByteCount) bytes dirty"
            let state = continuity.reason.isEmpty ? "\(continuity.state.rawValue)" : continuity.reason
            return "\(regions), \(dirtyByteCount) bytes; \(state)"
        }
    }
}
