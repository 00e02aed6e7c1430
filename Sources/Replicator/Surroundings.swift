public import BlockIO
public import DiskModel
import Glibc
public import Replication
public import SealedFile

/// What the performers take from outside: the time, who watches, and for tests places to break in.
public struct Surroundings {
    /// The clock.
    public var now: () -> Moment = Surroundings.systemTime
    public var watcher = Watcher()
    /// Opens the source's files, and what is sealed in them.
    public var files = FileOpener.plain
    /// Finds what opens a sealed file of the store.
    public var openingKey: @Sendable (PosixFile) throws(DiskError) -> SlotKey = Surroundings.noKey
    /// Every file written at the target goes through this.
    public var seam: (any BlockFile) -> any BlockFile = { $0 }
    /// A copy in the making is made durable, and noted, after so many bytes or seconds: what a kill costs at most.
    public var markByteCount: UInt64 = 512 << 20
    public var markSeconds = 2.0
    /// Called before each step, by its name; throws `Interruption` to stop there as a kill would.
    public var step: (String) throws -> Void = { _ in }

    public init() {}

    /// - Throws: `.key`, always.
    @Sendable public static func noKey(_ host: PosixFile) throws(DiskError) -> SlotKey {
        throw DiskError(.key, path: host.path, "is sealed, and no key was given", hint: "give one that opens it")
    }

    public static func systemTime() -> Moment {
        var seconds = time(nil)
        var parts = unsafe tm()
        _ = unsafe localtime_r(&seconds, &parts)
        return Moment(Int64(seconds), utcOffset: unsafe Int32(clamping: parts.tm_gmtoff))
    }
}

/// Who is told how the work goes.
public struct Watcher {
    /// A part of the work begins: its name, and how many bytes it has.
    public var begin: (String, UInt64) -> Void = { _, _ in }
    /// So many of them are done.
    public var advance: (UInt64) -> Void = { _ in }
    /// A person should know: a path, and what about it.
    public var warn: (String, String) -> Void = { _, _ in }
    /// The work is done, and yet somebody should look at this: a path, and what about it.
    public var doubt: (String, String) -> Void = { _, _ in }
    /// Something was done.
    public var say: (String) -> Void = { _ in }
    public init() {}
}

/// The work stopped as if the process had been killed: nothing is recorded about it.
public struct Interruption: Error {
    public init() {}
}
