import ArgumentParser
import BlockIO
import DiskModel
import SealedFile
import Toolbox

@main
struct SealStatus: Tool {
    static let configuration = CommandConfiguration(
        commandName: "seal-status",
        abstract: "Say what a sealed file is, who can open it and, with a key, whether it is authentic.",
        discussion: """
            EXAMPLES
              seal-status disk.raw.sealed
              seal-status -i key.txt disk.raw.sealed
              seal-status --verify -i key.txt log.hrl.sealed

            Without a key nothing that is told is authentic: it is what the file says about itself.
            """,
        version: versionText)
    static let schema = "seal-status/1"

    @Argument(help: "A sealed file, or - for a sealed stream on standard input.", completion: .file())
    var input: String
    @Flag(help: "Read everything, and check that it is authentic; needs a key.")
    var verify = false
    @OptionGroup var keyOptions: KeyOptions
    @OptionGroup var progressOptions: ProgressOptions
    @OptionGroup var output: OutputOptions

    func perform(_ run: ToolRun) throws {
        let sealed = try SealedInput(input)
        run.addInput(sealed.path, byteCount: sealed.byteCount)
        var answer = Answer(sealed.envelope)
        // What is known is told even where a key does not fit or bytes are not authentic.
        defer { report(answer, sealed.path, run) }
        guard verify || keyOptions.isGiven else { return }
        if verify { answer.isVerified = false }
        let progress = Progress(
            "seal-status", total: sealed.byteCount ?? 0, output: output, options: progressOptions)
        defer { progress.end() }
        switch sealed.envelope.kind {
        case .stream: try check(try sealed.stream(keyOptions), &answer, progress, run)
        case .image: try check(try sealed.image(keyOptions), &answer, progress)
        }
    }

    private func check(
        _ reader: SealedStreamReader, _ answer: inout Answer, _ progress: Progress, _ run: ToolRun
    ) throws {
        answer.envelope = reader.envelope
        answer.isAuthentic = true
        guard verify else { return }
        var length: UInt64 = 0
        try reader.forEachPiece { (piece) throws(DiskError) in
            length += UInt64(piece.byteCount)
            progress.update(length)
        }
        (answer.byteCount, answer.isComplete, answer.isVerified) = (length, reader.isComplete, true)
        do throws(DiskError) { try reader.requireEnd() } catch { run.noteOpenStream(error) }
    }

    private func check(_ image: SealedImage, _ answer: inout Answer, _ progress: Progress) throws {
        answer.envelope = image.envelope
        answer.isAuthentic = true
        (answer.byteCount, answer.anchor) = (image.byteCount(), image.anchor)
        guard verify else { return }
        let total = image.byteCount()
        _ = try FileContents(image).run { offset, bytes in
            progress.update(offset + UInt64(bytes.byteCount), of: total)
        } zeros: { _, _ in
        }
        answer.isVerified = true
    }

    private func report(_ answer: Answer, _ path: String, _ run: ToolRun) {
        run.result = answer.document
        guard !output.json else { return }
        for line in answer.lines(path, plain: output.bytes) { try? run.out.line(line) }
    }
}
