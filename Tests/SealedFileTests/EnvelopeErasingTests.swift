import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing
import ToolTesting

@testable import SealedFile

/// Containers whose keys are erased.
@Suite struct EnvelopeErasingTests {
    private static let end = 131_072

    private func stream(_ byteCount: Int) throws -> MemoryFile.Contents {
        let file = MemoryFile()
        var offset: UInt64 = 0
        let writer = try SealedStreamWriter(for: [keyFile(1), keyFile(2)], random: fixedRandom(1)) {
            (bytes) throws(IOError) in
            try file.write(bytes, at: offset)
            offset += UInt64(bytes.byteCount)
        }
        let text = [UInt8](repeating: 3, count: byteCount)
        try writer.write(text.rawBytes)
        try writer.finish()
        return file.contents
    }

    private func image() throws -> MemoryFile.Contents { try SlotCase(start: .pending).image().contents }

    private func containers() throws -> [MemoryFile.Contents] {
        [try stream(0), try stream(70_000), try stream(300_000), try image()]
    }

    private func code(_ body: () throws(DiskError) -> Void) -> FormatError.Code? {
        do throws(DiskError) { try body() } catch { return error.formatError?.code }
        return nil
    }

    /// Nothing of the envelopes stays, everything behind their areas does, and every way to open it says why it does not.
    @Test func nothingOpensIt() throws {
        for before in try containers() {
            let file = MemoryFile(before)
            try Envelope.erase(file)
            let (old, new) = (MemoryFile(before).allBytes, file.allBytes)
            #expect(old.count == new.count && old.dropFirst(Self.end) == new.dropFirst(Self.end))
            for start in [0, 65_536] where new.count > start + 64 {
                // By chance one byte in 256 is the same; zeros would be more.
                let area = start + 64..<min(start + 65_536, new.count)
                let same = area.count { old[$0] == new[$0] }
                #expect(same < area.count / 128 + 8, "\(same) of \(area.count)")
            }
            #expect(code { () throws(DiskError) in _ = try Envelope.unverified(in: file) } == .sealedErased)
            #expect(
                code { () throws(DiskError) in _ = try SealedImage(reading: file, secrets: [keyFile(1)]) }
                    == .sealedErased)
            #expect(
                code { () throws(DiskError) in _ = try SealedStreamReader(secrets: [keyFile(1)], from: file) }
                    == .sealedErased)
            #expect(
                code { () throws(DiskError) in _ = try ImageSlots(of: file, secrets: [keyFile(1)]) } == .sealedErased)
        }
    }

    /// At every cut it opens as before, or not at all, and then the second call does what is left.
    @Test func everyCut() throws {
        for (number, before) in try containers().enumerated() {
            let file = RecordingFile(before)
            try Envelope.erase(file)
            file.mark(1)
            let tally = try PowerCuts(file.recording, imageLimit: 600).forEachImage { cut in
                let opens =
                    number == 3
                    ? (try? openImage(cut.contents, secret: 1).everything()) != nil
                    : (try? SealedStreamReader(secrets: [keyFile(1)], from: MemoryFile(cut.contents))) != nil
                #expect(!opens || !cut.marks.contains(1))
                let again = MemoryFile(cut.contents)
                try Envelope.erase(again)
                #expect(code { () throws(DiskError) in _ = try Envelope.unverified(in: again) } == .sealedErased)
            }
            // The empty stream is one sector.
            #expect(tally.imageCount > (number == 0 ? 2 : 250), "\(tally)")
        }
    }

    private func openImage(_ contents: MemoryFile.Contents, secret: UInt8) throws -> SealedImage {
        try SealedImage(reading: MemoryFile(contents), secrets: [keyFile(secret)])
    }

    /// Of an image the second copy goes first: while it does, the first one opens it.
    @Test func theFirstCopyGoesLast() throws {
        let before = try image()
        let file = RecordingFile(before)
        try Envelope.erase(file)
        var opening = 0
        try PowerCuts(file.recording, imageLimit: 600).forEachImage { cut in
            guard cut.operationCount < 2 else { return }
            let image = try openImage(cut.contents, secret: 3)
            #expect(try image.everything() == openImage(before, secret: 3).everything())
            opening += 1
        }
        #expect(opening > 250)
    }

    @Test func damagedContainers() throws {
        let before = try image()
        let file = MemoryFile(before)
        try file.write([UInt8].zeros(8), at: 0)
        try Envelope.erase(file)
        #expect(code { () throws(DiskError) in _ = try Envelope.unverified(in: file) } == .sealedErased)
        #expect(try file.bytes(at: 0, count: 64) == file.bytes(at: 65_536, count: 64))
    }

    /// What is no container stays as it is; so does one of a version to come, whose keys may stand elsewhere.
    @Test func otherFiles() throws {
        var later = MemoryFile(try image()).allBytes
        (later[8], later[65_536 + 8]) = (2, 2)
        for (bytes, expected) in [
            ([], FormatError.Code.sealedSignature), ([UInt8].zeros(200_000), .sealedSignature), (later, .sealedVersion),
        ] {
            let file = MemoryFile(bytes)
            #expect(code { () throws(DiskError) in try Envelope.erase(file) } == expected)
            #expect(code { () throws(DiskError) in try Envelope.requireContainer(file) } == expected)
            #expect(file.allBytes == bytes)
        }
    }

    @Test func failingCalls() throws {
        let before = try image()
        for after in 0..<4 {
            let failing = FailingFile(MemoryFile(before), after: after)
            do throws(DiskError) {
                try Envelope.erase(failing)
                Issue.record("call \(after) did not fail")
            } catch { #expect(error.kind == .io) }
        }
    }

    @Test func secondReader() throws {
        let file = MemoryFile(try image())
        try Envelope.erase(file)
        let scratch = try Scratch()
        let path = try scratch.write("erased", file.allBytes)
        let secret = EnvelopeVector.Secret(keyFile: hexadecimal([UInt8](repeating: 1, count: 32)))
        guard let result = try Unsealed.run([secret], on: path) else { return }
        #expect(result.exit == 1 && result.error.contains("SEAL011"), "\(result.error)")
    }
}
