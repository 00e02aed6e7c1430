import Glibc

/// What a folder holds. An end after 100 000 names keeps a hostile folder from taking long.
enum FolderListing {
    /// Names; none where the folder cannot be read.
    static func names(in folder: String) -> [String] {
        guard let stream = unsafe opendir(folder) else { return [] }
        defer { unsafe closedir(stream) }
        var result: [String] = []
        while result.count < 100_000, let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
            }
            result.append(name)
        }
        return result
    }

    /// Paths of regular files, in the order of their names; links are none.
    static func regularFiles(in folder: String) -> some Sequence<String> {
        names(in: folder).sorted().lazy
            .map { folder == "." ? $0 : folder == "/" ? "/\($0)" : "\(folder)/\($0)" }
            .filter(isRegular)
    }

    private static func isRegular(_ path: String) -> Bool {
        var status = stat()
        return unsafe lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }
}
