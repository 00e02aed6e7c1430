@testable import BlockIO
import Foundation
import Testing
import ToolTesting

@Suite struct PendingFileTests {
    private let scratch = try! Scratch()

    @Test func wholeOrAbsent() throws {
        let path = scratch.path("out")
        let pending = try PendingFile(path, replaces: false)
        try pending.file.write([1, 2], at: 0)
        #expect(try scratch.names() == [])
        try pending.commit()
        #expect(try scratch.names() == ["out"])
        #expect(try fileBytes(path) == [1, 2])
        pending.discard()
        #expect(try scratch.names() == ["out"])
    }

    /// Where files have a name from the start.
    @Test func withTemporaryName() throws {
        let path = scratch.path("out")
        for replaces in [false, true] {
            let pending = try PendingFile(path, replaces: replaces, needsName: true)
            try pending.file.write([1, 2], at: 0)
            let names = try scratch.names().filter { $0 != "out" }
            #expect(names.count == 1 && names[0].hasPrefix(".out.") && names[0].hasSuffix(".tmp"), "\(names)")
            try pending.commit()
            pending.discard()
            #expect(try scratch.names() == ["out"])
            #expect(try fileBytes(path) == [1, 2])
        }
        do { try PendingFile(path, replaces: true, needsName: true).file.write([3], at: 0) }
        #expect(try scratch.names() == ["out"])
        #expect(try fileBytes(path) == [1, 2])
    }

    @Test func droppedOrDiscarded() throws {
        do { try PendingFile(scratch.path("a"), replaces: false).file.write([1], at: 0) }
        #expect(try scratch.names() == [])
        let kept = try scratch.write("b", [7])
        let pending = try PendingFile(kept, replaces: true)
        try pending.file.write([1], at: 0)
        pending.discard()
        #expect(try scratch.names() == ["b"])
        #expect(try fileBytes(kept) == [7])
        // After discarding there is nothing to commit, and the old file stays.
        #expect(throws: IOError.self) { try pending.commit() }
        #expect(try fileBytes(kept) == [7])
    }

    /// Told at once, not after all the work; the link itself is replaced.
    @Test func linkToNothing() throws {
        let path = scratch.path("out")
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "absent")
        for needsName in [false, true] {
            let error = try ioError { _ = try PendingFile(path, replaces: false, needsName: needsName) }
            #expect(error.reason == .errno(EEXIST))
        }
        #expect(try scratch.names() == ["out"])
        let pending = try PendingFile(path, replaces: true)
        try pending.file.write([8], at: 0)
        try pending.commit()
        #expect(try fileBytes(path) == [8] && scratch.names() == ["out"])
    }

    @Test func replacesOnlyWhenTold() throws {
        let path = try scratch.write("out", [7])
        #expect(try ioError { _ = try PendingFile(path, replaces: false) }.reason == .errno(EEXIST))
        #expect(try scratch.names() == ["out"])
        let pending = try PendingFile(path, replaces: true)
        try pending.file.write([8], at: 0)
        #expect(try fileBytes(path) == [7])
        try pending.commit()
        #expect(try fileBytes(path) == [8])
    }

    /// Something came into the place while we wrote.
    @Test func raced() throws {
        let path = scratch.path("out")
        do {
            let pending = try PendingFile(path, replaces: false)
            _ = try scratch.write("out", [7])
            #expect(try ioError { try pending.commit() }.reason == .errno(EEXIST))
        }
        #expect(try scratch.names() == ["out"])
        #expect(try fileBytes(path) == [7])
    }

    @Test func symlinkInThePlace() throws {
        let target = try scratch.write("target", [7])
        let path = scratch.path("link")
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "target")
        #expect(try ioError { _ = try PendingFile(path, replaces: false) }.reason == .errno(EEXIST))
        try replaceFile(path, with: [8])
        #expect(try fileBytes(target) == [7])
        #expect(try fileBytes(path) == [8])
    }

    @Test func folderMissingOrInThePlace() throws {
        let missing = try ioError { _ = try PendingFile(scratch.path("no/out"), replaces: true) }
        #expect(missing.reason == .errno(ENOENT))
        #expect(missing.path == scratch.path("no/out"))
        try FileManager.default.createDirectory(atPath: scratch.path("dir"), withIntermediateDirectories: false)
        #expect(throws: IOError.self) { try replaceFile(scratch.path("dir"), with: [1]) }
        #expect(try scratch.names() == ["dir"])
    }

    @Test func replacingSmallFiles() throws {
        let path = scratch.path("small")
        try replaceFile(path, with: [1])
        try replaceFile(path, with: [])
        #expect(try fileBytes(path) == [])
        try replaceFile(path, with: Array(repeating: 3, count: 100_000))
        #expect(try fileBytes(path).count == 100_000)
        #expect(try scratch.names() == ["small"])
    }

    /// The permissions of any new file, and the process's umask as it was, whatever other threads do.
    @Test func permissions() async throws {
        let folder = scratch.folder
        let before = umask(0o027)
        umask(before)
        let mode = try await withThrowingTaskGroup(of: mode_t.self) { group in
            for number in 0..<100 {
                group.addTask {
                    let pending = try PendingFile("\(folder)/p\(number)", replaces: false)
                    return try pending.file.status().st_mode & 0o777
                }
            }
            var modes: Set<mode_t> = []
            for try await mode in group { modes.insert(mode) }
            return modes
        }
        #expect(mode == [0o666 & ~before])
        let after = umask(before)
        #expect(after == before)
        let private600 = try PosixFile(scratch.path("plain"), .create).status().st_mode & 0o777
        #expect(private600 == 0o600 & ~before)
    }

    /// A killed writer leaves nothing; where files need a name, that file, which `discard` would have removed.
    @Test(arguments: [false, true]) func killed(needsName: Bool) throws {
        let path = scratch.path("out")
        // The process's death as far as the files tell: the object is leaked, its `deinit` never runs.
        let leaked = unsafe Unmanaged.passRetained(try PendingFile(path, replaces: true, needsName: needsName))
        try unsafe leaked.takeUnretainedValue().file.write([1, 2, 3], at: 0)
        let names = try scratch.names()
        #expect(names.count == (needsName ? 1 : 0), "\(names)")
        #expect(!needsName || names[0].hasPrefix(".out."), "\(names)")
        // The next writer is not in its way.
        try replaceFile(path, with: [8])
        #expect(try fileBytes(path) == [8])
        #expect(try scratch.names() == names + ["out"])
        unsafe leaked.release()
    }

    /// Only a regular file that nobody is writing is replaced, and its permissions stay.
    @Test func whatIsReplaced() throws {
        let path = try scratch.write("out", [7])
        do {
            let writer = try PosixFile(path, .write)
            #expect(try ioError { try replaceFile(path, with: [8]) }.reason == .locked)
            withExtendedLifetime(writer) {}
        }
        let changed = unsafe chmod(path, 0o604)
        #expect(changed == 0)
        for needsName in [false, true] {
            let pending = try PendingFile(path, replaces: true, needsName: needsName)
            #expect(try pending.file.status().st_mode & 0o777 == 0o604)
            // Nobody else may begin to write it, nor replace it, meanwhile.
            #expect(try ioError { _ = try PosixFile(path, .write) }.reason == .locked)
            #expect(try ioError { _ = try PendingFile(path, replaces: true) }.reason == .locked)
            try pending.commit()
            #expect(try PosixFile(path).status().st_mode & 0o777 == 0o604)
        }
        let fifo = scratch.path("fifo")
        let made = unsafe mkfifo(fifo, 0o600)
        #expect(made == 0)
        for replaces in [false, true] {
            #expect(try ioError { _ = try PendingFile(fifo, replaces: replaces) }.reason == .notRegular)
            #expect(try ioError { _ = try PendingFile("/dev/null", replaces: replaces) }.reason == .notRegular)
        }
    }

    @Test func paths() {
        #expect(splitPath("a") == (".", "a"))
        #expect(splitPath("/a") == ("/", "a"))
        #expect(splitPath("a/b") == ("a", "b"))
        #expect(splitPath("/a/b/c") == ("/a/b", "c"))
        #expect(splitPath("./a") == (".", "a"))
    }
}
