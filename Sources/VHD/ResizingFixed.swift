import BlockIO
import ByteCodec
import DiskModel

/// Another size for a fixed image, in this order:
///
/// 1. Growing past the footer: the footer, with the old size, at the new end, then a flush. A power cut leaves the old
///    file, or the longer one, whose footer names the old size.
/// 2. Growing: everything from the old size to the footer is made zero, the old footer too, then a flush. None of it is
///    in the disk yet.
/// 3. The footer with the new size over the one at the end, then a flush. It is one sector: the size is the old one or
///    the new one.
/// 4. Where space is left before it: the footer right behind the disk, over bytes that are no longer in it, then a flush.
///    The one at the end still stands.
/// 5. The file is cut behind it, then a flush. A footer is the last sector, cut or not.
///
/// Every step looks at what is there: run again after a power cut, the rest is done, and nothing where nothing is left.
struct FixedResize {
    var edit: ImageEdit
    let target: UInt64

    var newFileByteCount: UInt64 { target + sectorByteCount }

    mutating func run(_ progress: EditProgress) throws {
        try progress(0, sectorByteCount)
        if target > edit.virtualByteCount {
            try edit.reserve(to: target)
            try clear(edit.virtualByteCount..<edit.footerOffset)
            try edit.file.sync()
        }
        let bytes = edit.footerBytes(virtualByteCount: target)
        try edit.writeFooters(bytes)
        try edit.trim(to: target, footer: bytes)
        try progress(sectorByteCount, sectorByteCount)
    }

    /// Makes a range zero, leaving alone what is a hole in the file already.
    private func clear(_ range: Range<UInt64>) throws(IOError) {
        var position = range.lowerBound
        while position < range.upperBound, let data = try edit.file.data(from: position) {
            let piece = data.clamped(to: position..<range.upperBound)
            guard !piece.isEmpty else { return }
            try edit.file.zero(piece)
            position = piece.upperBound
        }
    }
}
