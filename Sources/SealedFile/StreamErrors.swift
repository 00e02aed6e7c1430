import ByteCodec
import DiskModel

/// Failures of sealed streams, as people read them.
enum StreamFailure {
    private static let section = "Sealed stream"

    /// A frame that cannot follow what is before it.
    static func frame(_ field: String, at offset: UInt64, _ problem: String) -> FormatError {
        FormatError(.sealedFrame, field: field, offset: offset, problem, section: section)
    }

    /// Bytes behind the end.
    static func tail(at offset: UInt64) -> FormatError {
        FormatError(.sealedTail, field: "EndFrame", offset: offset, "has bytes behind it", section: section)
    }

    /// A stream that has no end.
    static func open(at offset: UInt64) -> FormatError {
        FormatError(
            .sealedOpen, field: "EndFrame", offset: offset,
            "is missing: the stream was cut off, or is still being written",
            section: section)
    }

    /// An envelope that is not all there.
    static func cutEnvelope(_ byteCount: Int, of wanted: Int) -> FormatError {
        FormatError(
            .sealedEnd, field: "Envelope", offset: 0, "ends after \(byteCount) of \(wanted) bytes", section: "Envelope")
    }

    static func notAuthentic(segment: UInt64, frame: UInt64, at offset: UInt64, path: String) -> DiskError {
        DiskError(
            .key, path: path,
            "segment \(segment) of frame \(frame) is not authentic (offset 0x\(String(offset, radix: 16)))",
            hint: "the bytes were changed: take another copy of the file")
    }
}
