public import BlockIO
import ByteCodec
import Synchronization

/// A file in memory that remembers the order of everything done to it, so that `PowerCuts` can tell what a power cut at
/// any moment could have left.
public final class RecordingFile: BlockFile {
    public enum Operation: Sendable {
        case write(offset: UInt64, [UInt8])
        case zero(Range<UInt64>)
        case resize(UInt64)
        case sync
        /// Put in by the test: something was acknowledged to the caller here.
        case mark(Int)
    }

    public struct Recording: Sendable {
        public var initial: MemoryFile.Contents
        public var operations: [Operation] = []
    }

    private struct State: Sendable {
        var contents: MemoryFile.Contents
        var recording: Recording
    }
    private let state: Mutex<State>
    public let path: String
    /// For broken controls: syncs are answered and neither recorded nor counted as durable.
    private let ignoresSync: Bool

    public init(_ initial: MemoryFile.Contents, path: String = "(recorded)", ignoresSync: Bool = false) {
        state = Mutex(State(contents: initial, recording: Recording(initial: initial)))
        self.path = path
        self.ignoresSync = ignoresSync
    }

    public var recording: Recording { state.withLock { $0.recording } }
    public var contents: MemoryFile.Contents { state.withLock { $0.contents } }

    /// Notes that the caller was promised something: from here on a power cut must leave what was synced before.
    public func mark(_ number: Int) { state.withLock { $0.recording.operations.append(.mark(number)) } }

    public func byteCount() -> UInt64 { state.withLock { $0.contents.byteCount } }

    public func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        guard buffer.byteCount > 0 else { return }
        let contents = self.contents
        guard let range = checkedRange(offset, UInt64(buffer.byteCount)), range.upperBound <= contents.byteCount else {
            throw IOError("read", path: path, .endOfFile(byteCount: contents.byteCount), offset: offset)
        }
        contents.pages.read(into: &buffer, at: offset)
    }

    public func write(_ bytes: RawSpan, at offset: UInt64) {
        let copy = [UInt8](copying: bytes)
        state.withLock {
            $0.contents.write(copy.rawBytes, at: offset)
            $0.recording.operations.append(.write(offset: offset, copy))
        }
    }

    public func resize(to byteCount: UInt64) {
        state.withLock {
            $0.contents.resize(to: byteCount)
            $0.recording.operations.append(.resize(byteCount))
        }
    }

    public func zero(_ range: Range<UInt64>) {
        state.withLock {
            $0.contents.zero(range)
            $0.recording.operations.append(.zero(range))
        }
    }

    public func sync() {
        guard !ignoresSync else { return }
        state.withLock { $0.recording.operations.append(.sync) }
    }

    public func data(from offset: UInt64) -> Range<UInt64>? {
        let contents = self.contents
        guard offset < contents.byteCount, let held = contents.pages.held(from: offset),
            held.lowerBound < contents.byteCount
        else { return nil }
        return held.clamped(to: offset..<contents.byteCount)
    }
}
