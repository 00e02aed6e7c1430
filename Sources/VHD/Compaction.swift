public import BlockIO
import ByteCodec
public import DiskModel

/// Makes the file of a dynamic or differencing image as short as moving whole blocks makes it: gives up blocks that hold
/// nothing, moves the last blocks into holes, also those that a power cut has left, and cuts the file. CompactionRun.swift
/// says in which order the file is written; what is read from the image never changes.
///
/// Blocks of zeros go in a dynamic image, zeros as the layer shows them: bytes under clear bits do not count. In a
/// differencing image a block goes when none of its bits is set inside the disk; zeros there may hide the parent's bytes.
public enum VHDCompactor {
    /// What `compact` would do. Reads the blocks' data, and changes nothing.
    /// - Parameter progress: bytes of blocks looked at; the whole is twice what the blocks have, for reading and moving.
    /// - Throws: `.refused` for fixed images, for more blocks than are handled, and for images that may not be changed:
    ///   with errors, of a saved machine, half resized; otherwise as opening does.
    public static func plan(_ file: any BlockFile, progress: EditProgress) throws(DiskError) -> CompactionPlan {
        try compaction(try ImageEdit(inspecting: file, for: .compaction), progress).plan
    }

    /// Compacts the image. The caller has the writer's lock.
    /// - Parameter progress: as for `plan`, and then the blocks moved; throwing stops it where the image is whole.
    /// - Returns: what was done.
    /// - Throws: as `plan`, before anything but a damaged footer is changed; then I/O errors, which leave the image as a
    ///   power cut would.
    public static func compact(_ file: any BlockFile, progress: EditProgress) throws(DiskError) -> CompactionPlan {
        let byteCount = try diskErrors(file.path) { try file.byteCount() }
        try checkType(try ImageEdit(inspecting: file, for: .compaction))
        var compaction = try compaction(try ImageEdit(preparing: file, for: .compaction), progress)
        try diskErrors(file.path, "compacting") { try compaction.run(progress) }
        var plan = compaction.plan
        plan.oldFileByteCount = byteCount
        return plan
    }

    private static func compaction(_ edit: ImageEdit, _ progress: EditProgress) throws(DiskError) -> Compaction {
        try checkType(edit)
        return try diskErrors(edit.file.path, "looking for empty blocks") {
            guard let layout = edit.image.layout else { throw fixed(edit) }
            return try Compaction(edit, layout, progress)
        }
    }

    private static func checkType(_ edit: ImageEdit) throws(DiskError) {
        if edit.image.layout == nil { throw fixed(edit) }
    }

    private static func fixed(_ edit: ImageEdit) -> DiskError {
        DiskError(
            .refused, path: edit.file.path, "a fixed VHD holds every sector of its disk and cannot be compacted",
            hint: "convert it to a dynamic image")
    }
}
