import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Glibc
import Testing

@testable import SealedFile

/// Sectors that cannot be read: the second copy of an image's envelope stands for the first.
@Suite struct BadSectorTests {
    private static func image() throws -> MemoryFile {
        let file = MemoryFile()
        let image = try makeImage(on: file)
        try image.write([UInt8](repeating: 3, count: 9000), at: 0)
        try image.close()
        return file
    }

    @Test func firstCopyOfTheEnvelope() throws {
        let file = BadSectors(try Self.image(), 0..<4096)
        #expect(try Envelope.isSigned(file))
        #expect(try Envelope.unverified(in: file).kind == .image)
        #expect(try Envelope.opening(file, with: [keyFile(1), keyFile()]) != nil)
        #expect(try SealedImage(reading: file, secrets: [keyFile()]).bytes(at: 0, count: 9000).allSatisfy { $0 == 3 })
        #expect(try !Envelope.hasEqualCopies(in: file))
    }

    /// The first read of all fails, as a sector does that the medium gives back at the second attempt.
    @Test func firstRead() throws {
        let file = FailingFile(try Self.image(), after: 0, failsReads: true, recovers: true)
        #expect(try Envelope.unverified(in: file).kind == .image)
        #expect(file.hasFailed)
    }

    /// Where there is no second copy the failure is told.
    @Test func withoutACopy() throws {
        let stream = MemoryFile(try StreamSamples.sealed([UInt8](repeating: 1, count: 200_000)))
        for file in [
            BadSectors(stream, 0..<4096), BadSectors(try Self.image(), 0..<100_000),
            BadSectors(MemoryFile([UInt8].zeros(300_000)), 0..<512),
        ] {
            let error = #expect(throws: DiskError.self) { try Envelope.unverified(in: file) }
            #expect(error?.kind == .io && error?.ioError?.reason == .errno(EIO))
            let reason = #expect(throws: IOError.self) { try Envelope.isSigned(file) }?.reason
            #expect(reason == .errno(EIO))
        }
    }
}

/// A file of which a range cannot be read.
private final class BadSectors: BlockFile {
    private let base: MemoryFile
    private let bad: Range<UInt64>

    init(_ base: MemoryFile, _ bad: Range<UInt64>) { (self.base, self.bad) = (base, bad) }

    var path: String { base.path }
    func byteCount() -> UInt64 { base.byteCount() }
    func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        guard !bad.overlaps(offset..<offset + UInt64(buffer.byteCount)) else {
            throw IOError("pread", path: path, .errno(EIO), offset: offset)
        }
        try base.read(into: &buffer, at: offset)
    }
    func write(_ bytes: RawSpan, at offset: UInt64) throws(IOError) { try base.write(bytes, at: offset) }
    func resize(to byteCount: UInt64) { base.resize(to: byteCount) }
    func zero(_ range: Range<UInt64>) { base.zero(range) }
    func sync() { base.sync() }
}
