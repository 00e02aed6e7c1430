import BlockIO
import DiskModel
import ImageChain
import Toolbox

extension VHDCheck {
    /// Puts back what an undo file holds.
    func putBack(_ undo: String, _ image: String, _ progress: Progress, _ run: ToolRun) throws {
        let files = imageOptions.openOptions.files
        let opened = try files.open(image, dryRun ? .read : .write)
        let file = opened.contents
        run.addInput(image, byteCount: try opened.host.byteCount())
        guard let journal = try UndoPlace.open(undo, for: opened.host, forWriting: !dryRun, files) else {
            return try tellUnbegun(undo, image, run)
        }
        run.addInput(undo, byteCount: try journal.file.byteCount())
        let state = try diskErrors(image, "comparing with the undo file") { try journal.check(file) }
        if !journal.isClosed {
            run.warn(undo, "the repair was cut off before its end: what it had changed until then is put back")
        }
        if state == .changed, !dryRun {
            progress.begin("vhdcheck: putting back", total: journal.savedByteCount)
            try diskErrors(image, "putting back") {
                try journal.restore(file) { done, _ in progress.update(done) }
            }
            progress.end()
            run.addOutput(image, byteCount: try opened.host.byteCount())
        }
        run.result = document(journal, state, undo, image)
        guard !output.json, !output.quiet else { return }
        let bytes = Quantity.bytes(journal.savedByteCount, plain: output.bytes)
        let text =
            switch (state, dryRun) {
            case (.original, _): "is as it was before the repair: nothing to put back"
            case (.changed, true): "would be as before the repair again: \(bytes) to put back"
            case (.changed, false): "is as before the repair again: \(bytes) put back"
            }
        try run.out.line("\(printable(image)) \(text)")
    }

    /// The repair was killed before it saved anything.
    private func tellUnbegun(_ undo: String, _ image: String, _ run: ToolRun) throws {
        run.addInput(undo, byteCount: try PosixFile(undo).byteCount())
        run.result = document(nil, .original, undo, image)
        guard !output.json, !output.quiet else { return }
        try run.out.line(
            "\(printable(image)): nothing to put back: the repair of \(printable(undo)) ended before anything was saved, "
                + "and so before anything was changed")
    }

    private func document(
        _ journal: UndoJournal?, _ state: UndoJournal.ImageState, _ undo: String, _ image: String
    ) -> JSONValue {
        [
            "path": .string(image), "format": nil, "type": nil, "parent": nil, "deep": false, "verdict": nil,
            "check": nil, "repair": nil,
            "undo": [
                "file": .string(undo), "dry_run": .bool(dryRun), "image_name": .optional(journal?.imageName),
                "original_size": .optional(journal?.originalByteCount),
                "saved_bytes": .unsigned(journal?.savedByteCount ?? 0),
                "repair_finished": .bool(journal?.isClosed ?? false), "was_original": .bool(state == .original),
            ],
        ]
    }
}
