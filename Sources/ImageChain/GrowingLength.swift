import BlockIO
import DiskModel
import Synchronization

/// The length of a file that is written and may only grow meanwhile: where it is shorter than it was, somebody without
/// the lock cut it, and what stood behind the cut is lost, also when it grew again since.
///
/// A cut is seen when it is looked for before the file's next growth. Writers here make a file longer for whole blocks,
/// under the image's lock, so that looking right before and after each piece leaves a cut no more than that to hide in.
final class GrowingLength: Sendable {
    private struct State {
        var seenByteCount: UInt64
        var isCut = false
    }

    private let file: any BlockFile
    private let state: Mutex<State>

    /// - Throws: `.io`.
    init(_ file: any BlockFile) throws(DiskError) {
        self.file = file
        state = Mutex(State(seenByteCount: try Self.length(file)))
    }

    /// Whether it was found cut.
    var isCut: Bool { state.withLock { $0.isCut } }

    /// Starts from the length it has now, where it may have been shortened rightly. What was cut off before has to be seen
    /// from the image's tables.
    func begin() throws(DiskError) {
        try state.withLock { (state) throws(DiskError) in state.seenByteCount = try Self.length(file) }
    }

    /// Nil where it is as long as ever. While somebody writes it, a growth that failed may have been taken back.
    /// - Throws: `.io`.
    func loss() throws(DiskError) -> DiskError? {
        // Measured inside: of two that look at once, the slower one must not hold its older, shorter length for a cut.
        let (now, before) = try state.withLock { (state) throws(DiskError) in
            let (now, before) = (try Self.length(file), state.seenByteCount)
            state.seenByteCount = max(before, now)
            return (now, before)
        }
        guard now < before else { return nil }
        return DiskError(
            .refused, path: file.path,
            "it was cut to \(now) bytes by another program during the merge, after it had \(before)",
            hint: "no image was removed since; what was cut off is lost: bring back the file as it was before the merge"
        )
    }

    /// Whether it is shorter than it was, for whatever reason.
    var seemsCut: Bool {
        do throws(DiskError) { return try loss() != nil } catch { return false }
    }

    /// A loss that no failed growth explains.
    /// - Returns: itself.
    func confirm(_ loss: DiskError) -> DiskError {
        state.withLock { $0.isCut = true }
        return loss
    }

    /// While nobody makes the file longer.
    /// - Throws: `.refused` when the file was longer before; `.io`.
    func check() throws(DiskError) {
        if let loss = try loss() { throw confirm(loss) }
    }

    private static func length(_ file: any BlockFile) throws(DiskError) -> UInt64 {
        do throws(IOError) { return try file.byteCount() } catch {
            throw DiskError(error, doing: "measuring the target of a merge")
        }
    }
}
