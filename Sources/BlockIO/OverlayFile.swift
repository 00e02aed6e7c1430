import ByteCodec
import Glibc
import Synchronization

/// A file seen through changes that stay in memory: the file below is only read. Made for replaying a log over
/// evidence, and for trying out a change: memory grows with the pages written, ranges zeroed and resizes cost nothing.
public final class OverlayFile: BlockFile {
    private struct State: Sendable {
        var pages = PageMap()
        /// Zeroed ranges; held pages win over them.
        var zeroed = ByteRanges()
        /// Where pages were ever written.
        var written = ByteRanges()
        var byteCount: UInt64
    }
    /// The file below.
    public let base: any BlockFile
    private let baseByteCount: UInt64
    private let state: Mutex<State>
    private let heldByteLimit: UInt64

    /// Why a write fails that would need more memory than it may.
    public static let isFull = IOError.Reason.errno(ENOMEM)

    /// - Parameter heldByteLimit: memory for written pages; a write that would need more fails with `isFull`.
    public init(over base: any BlockFile, heldByteLimit: UInt64 = .max) throws(IOError) {
        self.base = base
        self.heldByteLimit = heldByteLimit
        baseByteCount = try base.byteCount()
        state = Mutex(State(byteCount: baseByteCount))
    }

    public var path: String { base.path }
    public var storage: PosixFile? { base.storage }
    public func byteCount() -> UInt64 { state.withLock { $0.byteCount } }
    /// Memory used by written pages, in bytes.
    public var heldByteCount: UInt64 { state.withLock { UInt64($0.pages.pageCount) * PageMap.pageByteCount } }

    public func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        guard buffer.byteCount > 0 else { return }
        let state = self.state.withLock { $0 }
        guard let range = checkedRange(offset, UInt64(buffer.byteCount)), range.upperBound <= state.byteCount else {
            throw IOError("read", path: path, .endOfFile(byteCount: state.byteCount), offset: offset)
        }
        let inBase = range.clamped(to: 0..<max(range.lowerBound, baseByteCount))
        let basePart = range.lowerBound < baseByteCount ? Int(inBase.upperBound - inBase.lowerBound) : 0
        buffer.zero(basePart..<buffer.byteCount)
        if basePart > 0 {
            try buffer.withPart(0..<basePart) { (part) throws(IOError) in try base.read(into: &part, at: offset) }
        }
        for hit in state.zeroed.parts(in: range) {
            buffer.zero(Int(hit.lowerBound - offset)..<Int(hit.upperBound - offset))
        }
        var page = offset / PageMap.pageByteCount
        while page * PageMap.pageByteCount < range.upperBound {
            if state.pages.holdsPage(page) {
                let start = page * PageMap.pageByteCount
                let hit = (start..<start + PageMap.pageByteCount).clamped(to: range)
                buffer.withPart(Int(hit.lowerBound - offset)..<Int(hit.upperBound - offset)) { part in
                    state.pages.read(into: &part, at: hit.lowerBound)
                }
            }
            page += 1
        }
    }

    public func write(_ bytes: RawSpan, at offset: UInt64) throws(IOError) {
        guard bytes.byteCount > 0 else { return }
        guard let range = checkedRange(offset, UInt64(bytes.byteCount)), range.upperBound <= UInt64(Int64.max) else {
            throw IOError("write", path: path, .errno(EFBIG), offset: offset)
        }
        guard heldByteCount + UInt64(bytes.byteCount) <= heldByteLimit else {
            throw IOError("write", path: path, Self.isFull, offset: offset)
        }
        // A page only partly written is first filled with what it showed so far.
        for edge in Set([range.lowerBound, range.upperBound - 1].map { $0 / PageMap.pageByteCount }) {
            guard !state.withLock({ $0.pages.holdsPage(edge) }) else { continue }
            let start = edge * PageMap.pageByteCount
            var page = [UInt8].zeros(Int(PageMap.pageByteCount))
            let visible = Int(min(PageMap.pageByteCount, max(byteCount(), start) - start))
            var raw = page.mutableRawBytes
            // Of a page past the end nothing showed.
            try raw.withPart(0..<visible) { (part) throws(IOError) in try read(into: &part, at: start) }
            state.withLock { $0.pages.write(page.rawBytes, at: start) }
        }
        state.withLock {
            $0.pages.write(bytes, at: offset)
            let end = (range.upperBound - 1) / PageMap.pageByteCount + 1
            $0.written.insert(range.lowerBound.roundedDown(to: PageMap.pageByteCount)..<end * PageMap.pageByteCount)
            $0.byteCount = max($0.byteCount, range.upperBound)
        }
    }

    public func resize(to byteCount: UInt64) throws(IOError) {
        guard byteCount <= UInt64(Int64.max) else {
            throw IOError("resize", path: path, .errno(EFBIG), offset: byteCount)
        }
        state.withLock {
            // What is cut off must read as zeros if the file grows again.
            if byteCount < $0.byteCount {
                $0.pages.zero(byteCount..<$0.byteCount)
                $0.zeroed.insert(byteCount..<$0.byteCount)
            }
            $0.byteCount = byteCount
        }
    }

    public func zero(_ range: Range<UInt64>) {
        state.withLock {
            let range = range.clamped(to: 0..<$0.byteCount)
            guard !range.isEmpty else { return }
            $0.pages.zero(range)
            $0.zeroed.insert(range)
        }
    }

    public func data(from offset: UInt64) throws(IOError) -> Range<UInt64>? {
        let (written, byteCount) = state.withLock { ($0.written.first(from: offset), $0.byteCount) }
        let below = offset < baseByteCount ? try base.data(from: offset) : nil
        let first = [written, below].compactMap { $0 }.min { $0.lowerBound < $1.lowerBound }
        guard let first, first.lowerBound < byteCount else { return nil }
        return first.lowerBound..<min(first.upperBound, byteCount)
    }

    /// Nothing here is meant to last.
    public func sync() {}
}
