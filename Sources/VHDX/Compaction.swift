public import BlockIO
public import DiskModel

/// Stand-in.
public enum VHDXCompactor {
    public static func plan(_ file: any BlockFile, progress: EditProgress) throws(DiskError) -> CompactionPlan {
        throw DiskError(.refused, path: file.path, "this version does not compact VHDX images")
    }
    public static func compact(_ file: any BlockFile, progress: EditProgress) throws(DiskError) -> CompactionPlan {
        try plan(file, progress: progress)
    }
}
