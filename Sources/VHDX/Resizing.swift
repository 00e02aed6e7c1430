public import BlockIO
public import DiskModel

/// Stand-in.
public enum VHDXResizer {
    public static func plan(_ file: any BlockFile, to virtualByteCount: UInt64) throws(DiskError) -> ResizePlan {
        throw DiskError(.refused, path: file.path, "this version does not resize VHDX images")
    }
    public static func resize(_ file: any BlockFile, to virtualByteCount: UInt64, progress: EditProgress)
        throws(DiskError) -> ResizePlan
    { try plan(file, to: virtualByteCount) }
}
