import BlockIO
import ChangeLog
import DiskModel
import ImageChain
import Toolbox

// An undo log where something is sealed.

extension HRLApply {
    /// A new undo log, sealed for whom the options say; else as the image is, or the nearest of its parents that is
    /// sealed: it holds bytes of theirs.
    func undoOutput(_ path: String, replaces: Bool, _ chain: ImageChain) throws -> OutputFile {
        let sealed = try chain.layers.first(where: \.isSealed).map {
            try imageOptions.openOptions.files.open($0.file.path)
        }
        return try newSeal.output(path, replaces: replaces, imageOptions.keyOptions, staysSmall: true, like: sealed)
    }

    /// Judges what stands at the undo log's place.
    /// - Throws: `.key` for a sealed file that no key opens, which may be the undo log: it is not replaced, with -f
    ///   neither.
    func judgeUndo(_ host: PosixFile, _ effect: LogEffect, on chain: ImageChain) throws(DiskError) -> UndoLogPlace {
        let file: OpenedFile
        do throws(DiskError) { file = try imageOptions.openOptions.files.open(host) } catch {
            guard error.kind == .format else { throw error }
            return .other(error)
        }
        return try UndoLogPlace(of: file.contents, for: effect, on: chain, diskID: chain.diskID)
    }
}
