import BlockIO
import ByteCodec
public import DiskModel

/// Fills a new image with a raw disk that comes as a stream of bytes, of any length: pages of zeros become holes.
public final class StreamFill {
    private static let byteCount = 256 << 10
    private let builder: any ImageBuilder
    private let source: String
    private let buffer = IOBuffer(byteCount: StreamFill.byteCount)
    /// Bytes of the disk that came.
    public private(set) var position: UInt64 = 0
    public private(set) var result = ConversionResult()
    /// Of what came, where it is wanted.
    public let digest: ContentsDigest?
    /// The last sector, in which a fixed VHD's footer would be.
    private var lastSector: [UInt8] = []

    /// - Parameter source: its name, for messages.
    public init(_ builder: any ImageBuilder, source: String, digests: Bool) {
        (self.builder, self.source) = (builder, source)
        digest = digests ? ContentsDigest() : nil
    }

    /// Takes all there is and finishes the image.
    /// - Parameters:
    ///   - read: fills the span as far as it can; fewer bytes than asked for mean the end.
    ///   - roundedTo: the disk is made a multiple of so many bytes by zeros.
    /// - Throws: `.refused` for a stream that is no raw disk: an image's signature, no whole number of sectors.
    public func run(
        roundedTo unit: UInt64 = 512, read: (inout MutableRawSpan) throws -> Int, progress: (UInt64) -> Void
    ) throws {
        let buffer = self.buffer
        while true {
            let count = try buffer.withMutableBytes(0..<Self.byteCount, read)
            if position == 0 { try refuseImage(buffer.bytes(0..<count)) }
            try put(count)
            progress(position)
            if count < Self.byteCount { break }
        }
        try end(unit)
    }

    private func put(_ count: Int) throws {
        guard count > 0 else { return }
        let buffer = self.buffer
        // Runs of the target hold whole buffers: their sizes are multiples.
        var runs: [Range<Int>] = []
        forEachNonzeroRun(in: buffer.bytes(0..<count)) { runs.append($0) }
        var written = 0
        for run in runs {
            let start = position + UInt64(run.lowerBound)
            let target = try builder.place(start..<start + UInt64(run.count))
            try builder.file.write(buffer.bytes(run), at: target)
            written += run.count
        }
        digest?.update(position, buffer.bytes(0..<count))
        result.copiedByteCount += UInt64(written)
        result.zeroByteCount += UInt64(count - written)
        position += UInt64(count)
        if count >= 512 { lastSector = buffer.bytes(count - 512..<count).array(0..<512) }
    }

    private func end(_ unit: UInt64) throws {
        func refused(_ text: String, _ hint: String) -> DiskError {
            DiskError(.refused, path: source, text, hint: hint)
        }
        guard position > 0 else { throw refused("the stream is empty", "what fed it may have failed") }
        let sector = UInt64(builder.geometry.logicalSectorByteCount)
        guard position % sector == 0 || unit > sector && position % 512 == 0 else {
            throw refused(
                "the stream has \(position) bytes, no whole number of \(sector)-byte sectors",
                "check that it is complete: what fed it may have failed")
        }
        if lastSector.starts(with: Array("conectix".utf8)) {
            throw refused("the stream ends as a fixed VHD does", "convert the file itself, not a stream of it")
        }
        try builder.setVirtualByteCount(position.roundedUp(to: unit))
        try builder.finish()
    }

    private func refuseImage(_ start: RawSpan) throws(DiskError) {
        for (signature, title) in [("vhdxfile", "VHDX"), ("conectix", "VHD")]
        where start.byteCount >= 8 && start.array(0..<8) == Array(signature.utf8) {
            throw DiskError(
                .refused, path: source, "the stream is a \(title) image, not a raw disk",
                hint: "convert the file itself: only raw disks can be streamed")
        }
    }
}
