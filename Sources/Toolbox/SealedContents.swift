import BlockIO
import ByteCodec
public import DiskModel
public import SealedFile

/// What a sealed file holds, opened: gone through from its start to its end.
public enum SealedContents {
    case stream(SealedStreamReader)
    case image(SealedImage)

    /// Found authentic.
    public var envelope: Envelope {
        switch self {
        case .stream(let reader): reader.envelope
        case .image(let image): image.envelope
        }
    }

    /// Nil for a stream, whose length is known when it was read.
    public var byteCount: UInt64? {
        switch self {
        case .stream: nil
        case .image(let image): image.byteCount()
        }
    }

    /// Of an image.
    public var anchor: Anchor? {
        switch self {
        case .stream: nil
        case .image(let image): image.anchor
        }
    }

    /// Gives everything to a sink, which is not finished then.
    /// - Parameters:
    ///   - sink: nil where it is only read.
    ///   - progress: gets the bytes that are done.
    /// - Returns: bytes of the contents.
    public func copy(to sink: (any ContentsSink)?, progress: (UInt64) -> Void) throws -> UInt64 {
        func data(_ offset: UInt64, _ bytes: RawSpan) throws {
            try sink?.data(offset, bytes)
            progress(offset + UInt64(bytes.byteCount))
        }
        return switch self {
        case .stream(let reader): try StreamContents(reader).run(data: data)
        case .image(let image):
            try FileContents(image).run(data: data) { offset, count in
                try sink?.zeros(offset, count)
                progress(offset + count)
            }
        }
    }

    /// Whether a stream that was read has its end; an image has.
    public var isComplete: Bool {
        switch self {
        case .stream(let reader): reader.isComplete
        case .image: true
        }
    }

    /// For those who must have all of it, when it was read.
    /// - Throws: SEAL010 for a stream that is open.
    public func requireEnd() throws(DiskError) {
        if case .stream(let reader) = self { try reader.requireEnd() }
    }
}

extension SealedInput {
    /// Opened with the keys given.
    /// - Parameter anchor: of an image.
    /// - Throws: as `stream` and `image`.
    public func contents(_ keys: KeyOptions, anchor: Anchor?) throws(DiskError) -> SealedContents {
        switch envelope.kind {
        case .stream: .stream(try stream(keys))
        case .image: .image(try image(keys, anchor: anchor))
        }
    }
}
