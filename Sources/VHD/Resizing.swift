public import BlockIO
import ByteCodec
public import DiskModel

/// Gives an image another virtual size in its own file. ResizingFixed.swift and ResizingSparse.swift say in which order
/// the file is written: at every moment the image opens and holds what it held, and after a power cut the same resize
/// completes it.
///
/// Original Size, Unique ID and Time Stamp stay; the geometry is that of the new size where it is exact, else the
/// maximum. Resizing to the size an image has changes nothing but what an earlier resize left undone.
public enum VHDResizer {
    /// What `resize` would do. Changes nothing.
    /// - Throws: `.refused` for a size that cannot be, and for images that may not be changed: with errors, of a saved
    ///   machine; otherwise as opening does.
    public static func plan(_ file: any BlockFile, to virtualByteCount: UInt64) throws(DiskError) -> ResizePlan {
        let edit = try ImageEdit(inspecting: file, for: .resizing)
        return try diskErrors(file.path, "planning the resize") { try plan(edit, virtualByteCount) }
    }

    /// Resizes the image. The caller has the writer's lock, and has decided that what lies past a smaller size may go.
    /// - Parameter progress: throwing stops it where the image is whole, with the old size.
    /// - Returns: what was done.
    /// - Throws: as `plan`, before anything is changed; then I/O errors, which leave the image as a power cut would.
    public static func resize(
        _ file: any BlockFile, to virtualByteCount: UInt64, progress: EditProgress
    ) throws(DiskError) -> ResizePlan {
        let plan = try plan(file, to: virtualByteCount)
        let edit = try ImageEdit(preparing: file, for: .resizing)
        try diskErrors(file.path, "resizing") {
            if let layout = edit.image.layout {
                var resize = try SparseResize(edit, layout, target: virtualByteCount)
                try resize.run(progress)
            } else {
                var resize = FixedResize(edit: edit, target: virtualByteCount)
                try resize.run(progress)
            }
        }
        return plan
    }

    private static func plan(_ edit: ImageEdit, _ target: UInt64) throws -> ResizePlan {
        try VHDCreator.checkSize(target, isFixed: edit.image.layout == nil, path: edit.file.path)
        let resize = try edit.image.layout.map { try SparseResize(edit, $0, target: target) }
        var plan = ResizePlan(
            oldVirtualByteCount: edit.virtualByteCount, newVirtualByteCount: target,
            oldFileByteCount: try edit.file.byteCount(),
            newFileByteCount: resize?.newFileByteCount ?? FixedResize(edit: edit, target: target).newFileByteCount)
        plan.movesTable = resize?.movesTable ?? false
        plan.droppedBlockCount = resize?.droppedBlockCount ?? 0
        return plan
    }
}
