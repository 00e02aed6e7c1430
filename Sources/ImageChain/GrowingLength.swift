import BlockIO
import DiskModel
import Synchronization

/// The length of a file that is written and may only grow meanwhile: where it is shorter than it was, somebody without
/// the lock cut it, and what stood behind the cut is lost, also when it grew again since.
///
/// A cut is seen when it is looked for before the file's next growth. Writers here make a file longer for whole blocks,
/// under the image's lock, so that looking right before and after each piece leaves a cut no more than that to hide in.
final class GrowingLength: Sendable {
    private let file: any BlockFile
    private let seenByteCount: Mutex<UInt64>

    /// - Throws: `.io`.
    init(_ file: any BlockFile) throws(DiskError) {
        self.file = file
        seenByteCount = Mutex(try Self.length(file))
    }

    /// - Throws: `.refused` when the file was longer before; `.io`.
    func check() throws(DiskError) {
        // Measured inside: of two that look at once, the slower one must not hold its older, shorter length for a cut.
        let (now, before) = try seenByteCount.withLock { (seen) throws(DiskError) in
            let (now, before) = (try Self.length(file), seen)
            seen = max(seen, now)
            return (now, before)
        }
        guard now < before else { return }
        throw DiskError(
            .refused, path: file.path,
            "it was cut to \(now) bytes by another program during the merge, after it had \(before)",
            hint: "no image was removed since; what was cut off is lost: bring the file back from an earlier copy")
    }

    /// Whether it is as long as it ever was, as far as that can be told.
    var holds: Bool {
        do throws(DiskError) { try check() } catch { return error.kind != .refused }
        return true
    }

    private static func length(_ file: any BlockFile) throws(DiskError) -> UInt64 {
        do throws(IOError) { return try file.byteCount() } catch {
            throw DiskError(error, doing: "measuring the target of a merge")
        }
    }
}
