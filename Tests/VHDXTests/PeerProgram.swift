import Foundation

/// Programs of others that are shown our images.
enum PeerProgram {
    /// The path of a program, or nil and a loud line.
    /// - Parameter missed: what is not tested without it.
    static func find(_ name: String, _ missed: String) -> String? {
        let found = ["/usr/bin/", "/usr/local/bin/"].map { $0 + name }.first(
            where: FileManager.default.isExecutableFile)
        if found == nil { print("SKIPPED: no \(name); \(missed)") }
        return found
    }

    /// Runs it: what it printed, and how it ended.
    static func output(_ program: String, _ arguments: [String]) throws -> (status: Int32, bytes: Data) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        try process.run()
        let bytes = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (process.terminationStatus, bytes)
    }
}
