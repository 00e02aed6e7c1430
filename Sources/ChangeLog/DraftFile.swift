package import BlockIO
import ByteCodec

/// A file in the making whose flushes are left to whoever gives it its name, which happens after one flush of all of it
/// (`PendingFile.commit`): before that a power cut leaves nothing anyway, and a log writer's many flushes buy nothing.
package final class DraftFile: BlockFile {
    private let file: any BlockFile
    package var path: String { file.path }
    package var hostFile: PosixFile? { file.hostFile }
    package var storage: PosixFile? { file.storage }

    package init(_ file: any BlockFile) { self.file = file }

    package func byteCount() throws(IOError) -> UInt64 { try file.byteCount() }
    package func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        try file.read(into: &buffer, at: offset)
    }
    package func write(_ bytes: RawSpan, at offset: UInt64) throws(IOError) { try file.write(bytes, at: offset) }
    package func resize(to byteCount: UInt64) throws(IOError) { try file.resize(to: byteCount) }
    package func zero(_ range: Range<UInt64>) throws(IOError) { try file.zero(range) }
    package func sync() {}
    package func data(from offset: UInt64) throws(IOError) -> Range<UInt64>? { try file.data(from: offset) }
}
