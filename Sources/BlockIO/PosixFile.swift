import CPlatform
public import Glibc

/// A file of the host. Opened for reading it is never changed, not even its access time where the system allows that.
public final class PosixFile: BlockFile {
    public enum Access: Sendable {
        case read
        /// Reading and writing, under the exclusive writer's lock.
        case write
        /// A new file, which must not exist, for reading and writing under the lock.
        case create
    }

    public let path: String
    public let access: Access
    private let descriptor: Descriptor

    /// What the file is, by device and inode, whatever its name.
    public struct Identity: Hashable, Sendable {
        public let device: UInt64
        public let inode: UInt64
    }
    public let identity: Identity

    /// Of a regular file that is open already; nil for anything else.
    public static func identity(of descriptor: CInt) -> Identity? {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        return Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    /// What changes when a regular file is written: its size, and the time of the last write. A block device tells nothing:
    /// its versions are all the same.
    public struct Version: Hashable, Sendable {
        private let byteCount: Int64
        private let seconds: Int
        private let nanoseconds: Int

        init(_ status: stat) {
            let isRegular = status.st_mode & S_IFMT == S_IFREG
            byteCount = isRegular ? Int64(status.st_size) : 0
            (seconds, nanoseconds) = isRegular ? (status.st_mtim.tv_sec, status.st_mtim.tv_nsec) : (0, 0)
        }
    }
    /// As it was before anything was read from it.
    public let versionAtOpening: Version

    /// Opens a regular file (or, for reading, a block device).
    /// - Parameter permissions: of a file that is created, less the process's umask.
    /// - Throws: `IOError`; `.locked` when another writer has the file; `.replaced` when one put another file in its place
    ///   before the lock was had.
    public convenience init(_ path: String, _ access: Access = .read, permissions: mode_t = 0o600) throws(IOError) {
        let flags: CInt =
            switch access {
            case .read: O_RDONLY
            case .write: O_RDWR
            case .create: O_RDWR | O_CREAT | O_EXCL
            }
        // O_NONBLOCK: opening a FIFO must not hang; it changes nothing for regular files.
        let number = unsafe open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, permissions)
        guard number >= 0 else { throw IOError("open", path: path, .errno(errno)) }
        try self.init(number, path, access)
    }

    /// A new file without a name in a folder, for reading and writing under the lock.
    /// - Parameter path: the name it will get, for messages.
    /// - Throws: `IOError`, EOPNOTSUPP where the file system has no such files.
    convenience init(unnamedIn folder: String, for path: String, permissions: mode_t) throws(IOError) {
        let number = unsafe vt_open_unnamed(folder, permissions)
        guard number >= 0 else { throw IOError("create", path: path, .errno(-number)) }
        try self.init(number, path, .create)
        guard vt_can_be_named(number) else { throw IOError("create", path: path, .errno(EOPNOTSUPP)) }
    }

    /// - Parameter number: a descriptor, closed when this value goes.
    init(_ number: CInt, _ path: String, _ access: Access) throws(IOError) {
        descriptor = Descriptor(number: number)
        self.path = path
        self.access = access

        var status = stat()
        guard unsafe fstat(number, &status) == 0 else { throw IOError("fstat", path: path, .errno(errno)) }
        let kind = status.st_mode & S_IFMT
        guard kind != S_IFDIR else { throw IOError("open", path: path, .errno(EISDIR)) }
        guard kind == S_IFREG || (kind == S_IFBLK && access == .read) else {
            throw IOError("open", path: path, .notRegular)
        }
        identity = Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
        versionAtOpening = Version(status)

        if access != .read {
            let result = vt_lock_exclusive(number)
            guard result != -EAGAIN, result != -EACCES else { throw IOError("lock", path: path, .locked) }
            guard result == 0 else { throw IOError("lock", path: path, .errno(-result)) }
        }
        // Whoever had the lock may have given the name to another file: what is written here would be lost.
        guard access != .write || Self.identity(at: path) == identity else {
            throw IOError("lock", path: path, .replaced)
        }
    }

    /// Of what a path leads to, links followed.
    private static func identity(at path: String) -> Identity? {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        return Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    /// Keeps writers away from a file open for reading, qemu among them, until this value goes. Several readers can do so
    /// at once.
    /// - Throws: `IOError`; `.locked` when a writer has the file.
    public func keepWritersAway() throws(IOError) {
        let result = vt_lock_shared(descriptor.number)
        guard result != -EAGAIN else { throw IOError("lock", path: path, .locked) }
        guard result == 0 else { throw IOError("lock", path: path, .errno(-result)) }
    }

    /// Takes `keepWritersAway` back.
    public func letWritersIn() {
        guard access == .read else { return }
        _ = vt_unlock(descriptor.number)
    }

    /// Gives a file without a name one that must be free.
    func giveName(_ name: String) throws(IOError) {
        let result = unsafe vt_give_name(descriptor.number, name)
        guard result == 0 else { throw IOError("link", path: path, .errno(-result)) }
    }

    public var hostFile: PosixFile? { self }

    /// Runs `body` with the descriptor, which stays open at least until it returns.
    public func withDescriptor<Failure: Error, Result>(
        _ body: (CInt) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(descriptor.number)
    }

    public func status() throws(IOError) -> stat {
        var status = stat()
        guard unsafe fstat(descriptor.number, &status) == 0 else { throw failure("fstat") }
        return status
    }

    public func version() throws(IOError) -> Version { Version(try status()) }

    public func byteCount() throws(IOError) -> UInt64 {
        let end = lseek(descriptor.number, 0, SEEK_END)
        guard end >= 0 else { throw failure("lseek") }
        return UInt64(end)
    }

    public func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        let number = descriptor.number
        let failed: IOError.Reason? = unsafe buffer.withUnsafeMutableBytes { raw in
            // No file reaches past the largest off_t.
            guard let start = Self.position(offset, raw.count) else { return .endOfFile(byteCount: 0) }
            var done = 0
            while done < raw.count {
                let n = unsafe pread(number, raw.baseAddress! + done, raw.count - done, start + off_t(done))
                if n < 0 && errno == EINTR { continue }
                if n < 0 { return .errno(errno) }
                if n == 0 { return .endOfFile(byteCount: 0) }
                done += n
            }
            return nil
        }
        guard let failed else { return }
        if case .endOfFile = failed {
            throw IOError("pread", path: path, .endOfFile(byteCount: try byteCount()), offset: offset)
        }
        throw IOError("pread", path: path, failed, offset: offset)
    }

    public func write(_ bytes: RawSpan, at offset: UInt64) throws(IOError) {
        let number = descriptor.number
        let failed: CInt? = unsafe bytes.withUnsafeBytes { raw in
            guard let start = Self.position(offset, raw.count) else { return EFBIG }
            var done = 0
            while done < raw.count {
                let n = unsafe pwrite(number, raw.baseAddress! + done, raw.count - done, start + off_t(done))
                if n < 0 && errno == EINTR { continue }
                if n <= 0 { return n == 0 ? ENOSPC : errno }
                done += n
            }
            return nil
        }
        if let failed {
            throw IOError("pwrite", path: path, access == .read ? .readOnly : .errno(failed), offset: offset)
        }
    }

    public func resize(to byteCount: UInt64) throws(IOError) {
        guard access != .read else { throw IOError("ftruncate", path: path, .readOnly, offset: byteCount) }
        guard let size = off_t(exactly: byteCount) else { throw IOError("ftruncate", path: path, .errno(EFBIG)) }
        while ftruncate(descriptor.number, size) != 0 {
            guard errno == EINTR else { throw failure("ftruncate", offset: byteCount) }
        }
    }

    public func zero(_ range: Range<UInt64>) throws(IOError) {
        let end = min(range.upperBound, try byteCount())
        guard range.lowerBound < end else { return }
        let count = end - range.lowerBound
        if vt_punch_hole(descriptor.number, range.lowerBound, count) == 0 { return }
        if vt_zero_range(descriptor.number, range.lowerBound, count) == 0 { return }
        let zeros = IOBuffer(byteCount: Int(min(count, 1 << 20)))
        var position = range.lowerBound
        while position < end {
            let piece = Int(min(UInt64(zeros.byteCount), end - position))
            try write(zeros.bytes(0..<piece), at: position)
            position += UInt64(piece)
        }
    }

    /// Reserves space for a range, so that writing there cannot find the disk full; the size stays.
    /// - Throws: `IOError`, ENOSPC when there is not enough, EOPNOTSUPP where the file system cannot.
    public func preallocate(_ range: Range<UInt64>) throws(IOError) {
        let result = vt_preallocate(descriptor.number, range.lowerBound, range.upperBound - range.lowerBound)
        guard result == 0 else { throw IOError("fallocate", path: path, .errno(-result), offset: range.lowerBound) }
    }

    /// Shares a range of another file's blocks, when both are on a file system that can.
    /// - Returns: false when it cannot be done here; nothing is changed then.
    /// - Throws: `IOError` when it failed otherwise, such as a full disk.
    public func clone(_ range: Range<UInt64>, of source: PosixFile, to offset: UInt64) throws(IOError) -> Bool {
        let count = range.upperBound - range.lowerBound
        let result = vt_clone_range(
            descriptor.number, offset, source.descriptor.number, range.lowerBound, count)
        switch -result {
        case 0: return true
        case EOPNOTSUPP, EXDEV, EINVAL, ENOTTY, EPERM, ETXTBSY: return false
        default: throw IOError("ioctl(FICLONERANGE)", path: path, .errno(-result), offset: offset)
        }
    }

    /// Asks the system to forget what it keeps of the file in memory, so that the next reading comes from the medium. What
    /// is not flushed stays.
    public func forgetCached() { _ = posix_fadvise(descriptor.number, 0, 0, POSIX_FADV_DONTNEED) }

    public func sync() throws(IOError) {
        while fdatasync(descriptor.number) != 0 {
            guard errno == EINTR else { throw failure("fdatasync") }
        }
    }

    public func data(from offset: UInt64) throws(IOError) -> Range<UInt64>? {
        let start = vt_seek_data(descriptor.number, offset)
        if start == -Int64(ENXIO) { return nil }
        let end = start < 0 ? start : vt_seek_hole(descriptor.number, UInt64(start))
        guard start >= 0, end > start else {
            // The file system knows no holes, or the file was cut just now: all of it may be data.
            let size = try byteCount()
            return offset < size ? offset..<size : nil
        }
        return UInt64(start)..<UInt64(end)
    }

    /// The offset as the system takes it; nil when the range ends past what it can.
    private static func position(_ offset: UInt64, _ count: Int) -> off_t? {
        guard let start = off_t(exactly: offset) else { return nil }
        return start.addingReportingOverflow(off_t(count)).overflow ? nil : start
    }

    private func failure(_ call: String, offset: UInt64? = nil) -> IOError {
        IOError(call, path: path, .errno(errno), offset: offset)
    }
}

private struct Descriptor: ~Copyable {
    let number: CInt
    deinit {
        // Harmless where nothing is locked.
        _ = vt_unlock(number)
        close(number)
    }
}
