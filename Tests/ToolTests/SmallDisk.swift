import Foundation
import ToolTesting

/// A file system in memory that can be made full.
final class SmallDisk {
    let folder: String
    private let scratch: Scratch

    /// Nil, and a loud line, where mounting is not allowed.
    init?(byteCount: UInt64) throws {
        scratch = try Scratch()
        folder = scratch.path("disk")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let mounted = try runProgram(
            "/bin/mount", ["-t", "tmpfs", "-o", "size=\(byteCount),huge=never", "tmpfs", folder])
        guard mounted.exit == 0 else {
            print("SKIPPED: no tmpfs may be mounted here: full disks are not tried (\(mounted.error))")
            return nil
        }
    }

    deinit { _ = try? runProgram("/bin/umount", ["-l", folder]) }

    private var ballast: String { folder + "/ballast" }

    /// Fills it up to so many bytes.
    func leave(free byteCount: UInt64) throws {
        let size = try FileManager.default.attributesOfFileSystem(forPath: folder)[.systemFreeSize]
        let free = (size as? NSNumber)?.uint64Value ?? 0
        guard free > byteCount else { throw ProgramFailure(description: "\(free) bytes free, \(byteCount) wanted") }
        let made = try runProgram("/usr/bin/fallocate", ["-l", "\(free - byteCount)", ballast])
        guard made.exit == 0 else { throw ProgramFailure(description: made.error) }
    }

    func removeBallast() throws { try FileManager.default.removeItem(atPath: ballast) }
}
