import ByteCodec
public import DiskModel
import Dispatch
import Synchronization

/// A disk whose images are exchanged below its readers: the contents stay the same, the files that hold them do not.
/// Readers may be in several threads; they wait while an exchange is under way.
public final class LiveDisk: VirtualDisk {
    private struct State: Sendable {
        var chain: ImageChain
        var readerCount = 0
        var isPaused = false
        /// Signalled when the last reader has left.
        var drained: DispatchSemaphore?
        /// Readers that wait for the end of the pause.
        var waiting: [DispatchSemaphore] = []
    }
    private let state: Mutex<State>
    public let path: String
    public let geometry: DiskGeometry

    public init(_ chain: ImageChain) {
        (path, geometry) = (chain.path, chain.geometry)
        state = Mutex(State(chain: chain))
    }

    /// The layers in use just now, leaf first.
    public var layers: [any DiskLayer] { state.withLock { $0.chain.layers } }

    public func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(DiskError) {
        let chain = enter()
        defer { leave() }
        try chain.read(into: &buffer, at: offset)
    }

    /// As of this moment: an exchange may move the bytes right after.
    public func extents(in range: Range<UInt64>, limit: Int) throws(DiskError) -> [MappedExtent] {
        let chain = enter()
        defer { leave() }
        return try chain.extents(in: range, limit: limit)
    }

    public func write(_ bytes: RawSpan, at offset: UInt64) throws(DiskError) { throw readOnly }
    public func writeZeroes(_ range: Range<UInt64>) throws(DiskError) { throw readOnly }
    public func flush() throws(DiskError) {}
    public func close() throws(DiskError) {}

    private var readOnly: DiskError {
        DiskError(.refused, path: path, "the disk is open for reading only while it is merged")
    }

    // MARK: Exchange

    /// Runs `body` while nobody reads; readers go on with the chain it returns, or after an error with the old one.
    func exchange(_ body: () throws(DiskError) -> ImageChain) throws(DiskError) {
        pause()
        defer { resume() }
        let next = try body()
        state.withLock { $0.chain = next }
    }

    private func enter() -> ImageChain {
        while true {
            let (chain, wait): (ImageChain?, DispatchSemaphore?) = state.withLock { state in
                guard state.isPaused else {
                    state.readerCount += 1
                    return (state.chain, nil)
                }
                let semaphore = DispatchSemaphore(value: 0)
                state.waiting.append(semaphore)
                return (nil, semaphore)
            }
            if let chain { return chain }
            wait?.wait()
        }
    }

    private func leave() {
        state.withLock { state in
            state.readerCount -= 1
            if state.readerCount == 0 { state.drained?.signal() }
        }
    }

    private func pause() {
        let drained = state.withLock { (state) -> DispatchSemaphore? in
            state.isPaused = true
            guard state.readerCount > 0 else { return nil }
            let semaphore = DispatchSemaphore(value: 0)
            state.drained = semaphore
            return semaphore
        }
        drained?.wait()
    }

    private func resume() {
        state.withLock { state in
            (state.isPaused, state.drained) = (false, nil)
            for semaphore in state.waiting { semaphore.signal() }
            state.waiting = []
        }
    }
}
