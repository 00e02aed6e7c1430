import BlockIO
import ByteCodec

/// Where contents go, in order.
public protocol ContentsSink {
    func data(_ offset: UInt64, _ bytes: RawSpan) throws
    func zeros(_ offset: UInt64, _ byteCount: UInt64) throws
    func finish() throws
}

extension StreamSink: ContentsSink {}

/// A new file; zeros become holes. Whole or absent.
public final class SparseFileSink: ContentsSink {
    private let output: OutputFile
    private let start: UInt64
    private var end: UInt64

    /// - Parameter start: the offset of the first byte that comes.
    public init(_ output: OutputFile, startingAt start: UInt64 = 0) {
        self.output = output
        (self.start, end) = (start, start)
    }

    public convenience init(_ path: String, replaces: Bool) throws {
        self.init(try OutputFile(path, replaces: replaces, nil))
    }

    public func data(_ offset: UInt64, _ bytes: RawSpan) throws {
        try forEachNonzeroRun(in: bytes) { run in
            try output.file.write(bytes.extracting(run), at: offset - start + UInt64(run.lowerBound))
        }
        end = offset + UInt64(bytes.byteCount)
    }

    public func zeros(_ offset: UInt64, _ byteCount: UInt64) throws { end = offset + byteCount }

    public func finish() throws {
        try output.file.resize(to: end - start)
        try output.commit()
    }
}
