import ByteCodec
import DiskModel

/// An edit in place that a power cut has stopped between its two footers: both are valid, and they differ in nothing but
/// what that edit changes. The trailing one is written first and read by everybody, so it counts.
enum UnfinishedEdit: Sendable {
    case resize
    /// The dynamic header stands in two places for a while, and each footer leads to one that is whole.
    case headerMove
    case newIdentity

    /// The bytes of a footer that the edit changes, apart from the checksum.
    private var changedBytes: [Range<Int>] {
        switch self {
        case .resize:
            [
                Footer.currentSizeOffset..<Footer.currentSizeOffset + 8,
                Footer.geometryOffset..<Footer.geometryOffset + 4,
            ]
        case .headerMove: [Footer.dataOffsetOffset..<Footer.dataOffsetOffset + 8]
        case .newIdentity: [Footer.uniqueIDOffset..<Footer.uniqueIDOffset + GUID.byteCount, MergeMark.range]
        }
    }

    /// The one that two footers tell of; nil where they are equal, and where they differ in more than one edit changes.
    init?(_ footers: FooterCopies) {
        guard let copy = footers.copy, copy.isValid, footers.trailing.isValid, copy.bytes != footers.trailing.bytes
        else { return nil }
        let checksum = Footer.checksumOffset..<Footer.checksumOffset + 4
        let differing = copy.bytes.indices.filter {
            copy.bytes[$0] != footers.trailing.bytes[$0] && !checksum.contains($0)
        }
        let edits: [UnfinishedEdit] = [.resize, .headerMove, .newIdentity]
        guard
            let edit = edits.first(where: { edit in
                differing.allSatisfy { index in edit.changedBytes.contains { $0.contains(index) } }
            })
        else { return nil }
        self = edit
    }

    /// Why another edit is refused before this one is brought to its end.
    func refusal(_ footers: FooterCopies, path: String) -> DiskError {
        let (now, old) = (footers.trailing.footer, footers.copy?.footer ?? Footer())
        let (what, hint) =
            switch self {
            case .resize:
                (
                    "a resize was cut off: the footer says \(now.currentSize) bytes, and its copy at 0 \(old.currentSize)",
                    "vhdresize to \(now.currentSize) bytes completes it, or vhdcheck --repair=footer"
                )
            case .headerMove:
                (
                    "a change of the dynamic header was cut off: the footer leads to \(hex(now.dataOffset)), and its "
                        + "copy at 0 to \(hex(old.dataOffset))",
                    "vhdrebase onto the same parent completes it, or vhdcheck --repair=footer"
                )
            case .newIdentity:
                (
                    "a change of the Unique ID was cut off: the footer says \(now.uniqueID), and its copy at 0 "
                        + "\(old.uniqueID)", "vhdcheck --repair=footer completes it"
                )
            }
        return DiskError(.refused, path: path, what, hint: hint)
    }
}
