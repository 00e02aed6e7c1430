import BlockIO
import ByteCodec
public import DiskModel
import ImageChain

/// Contents of a disk to a stream.
public struct StreamSink {
    /// Telling of every small run would cost more than sending it.
    private static let progressByteCount: UInt64 = 1 << 20
    private let out: OutputStream
    private let zeroPage = IOBuffer(byteCount: 256 << 10)

    public init(_ out: OutputStream) { self.out = out }

    public func data(_ offset: UInt64, _ bytes: RawSpan) throws { try out.write(bytes) }

    public func zeros(_ offset: UInt64, _ byteCount: UInt64) throws {
        var left = byteCount
        while left > 0 {
            let count = Int(min(left, UInt64(zeroPage.byteCount)))
            try out.write(zeroPage.bytes(0..<count))
            left -= UInt64(count)
        }
    }

    public func finish() throws { try out.flush() }
}

extension StreamSink {
    /// A range of a disk without looking at the bytes: inside the kernel where it can be.
    /// - Parameter progress: gets the disk offset reached.
    public func send(_ disk: any VirtualDisk, _ range: Range<UInt64>, progress: (UInt64) -> Void) throws {
        let stream = DiskStream(disk)
        var position = range.lowerBound
        var told = position
        // What the kernel sends stays the file's own memory until it is read: a writer would still change it. When the last
        // bytes have been copied in, those before have been read.
        let copied = range.upperBound - min(range.upperBound - range.lowerBound, out.heldByteCount)
        while position < range.upperBound {
            let end = position < copied ? copied : range.upperBound
            for mapped in try disk.extents(in: position..<end, limit: 1024) {
                let extent = mapped.extent
                switch extent.source {
                case .file(let offset):
                    let file = position < copied ? mapped.file.hostFile : nil
                    if try file.map({ try out.send($0, from: offset, byteCount: extent.byteCount) }) != true {
                        try stream.run(extent.range, data: data, zeros: zeros)
                    }
                case .zero, .hole, .parent: try zeros(extent.offset, extent.byteCount)
                }
                position = extent.end
                guard position - told >= Self.progressByteCount else { continue }
                progress(position)
                told = position
            }
        }
        progress(position)
        try finish()
    }
}
