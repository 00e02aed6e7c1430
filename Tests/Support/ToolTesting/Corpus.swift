import Foundation
import Synchronization

/// Real images made by other people's software, in a folder `shared/corpus` beside the checkout. They are no part of the
/// repository; where they are absent, tests say so and are skipped.
public enum Corpus {
    public struct Expectation: Sendable, CustomStringConvertible {
        public var file: String
        public var madeBy: String
        public var type: String
        public var virtualByteCount: UInt64
        /// `-`, `clean` or `dirty`.
        public var log: String
        /// SHA-256 of the contents, or `zeros`.
        public var contents: String
        public var description: String { file }
    }

    /// The folder, or nil: beside the checkout, or beside a folder above it.
    public static let folder: String? = {
        var url = URL(fileURLWithPath: repositoryFolder)
        for _ in 0..<3 {
            url.deleteLastPathComponent()
            let candidate = url.appendingPathComponent("shared/corpus")
            if FileManager.default.fileExists(atPath: candidate.appendingPathComponent("EXPECT.tsv").path) {
                return candidate.path
            }
        }
        print("SKIPPED: no folder shared/corpus beside \(repositoryFolder): tests on real images do not run")
        return nil
    }()

    public static let expectations: [Expectation] = {
        guard let folder, let text = try? String(contentsOfFile: folder + "/EXPECT.tsv", encoding: .utf8) else {
            return []
        }
        return text.split(separator: "\n").dropFirst().compactMap { line in
            let columns = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            guard columns.count >= 7, let size = UInt64(columns[4]) else { return nil }
            return Expectation(
                file: columns[0], madeBy: columns[2], type: columns[3], virtualByteCount: size, log: columns[5],
                contents: columns[6])
        }
    }()

    private static let unpacked = Mutex<Scratch?>(nil)

    /// A folder with every image unpacked, made once a process; read-only by convention: copy before writing.
    public static func unpackedFolder() throws -> String? {
        guard let folder else { return nil }
        return try unpacked.withLock { scratch in
            if let scratch { return scratch.folder }
            let fresh = try Scratch()
            for expectation in expectations {
                let result = try runProgram(
                    "/bin/sh",
                    [
                        "-c",
                        "gzip -dc \"$1\" | dd of=\"$2\" conv=sparse bs=64k status=none && truncate -s \"$(gzip -dc \"$1\" | wc -c)\" \"$2\"",
                        "sh", "\(folder)/\(expectation.file).gz", fresh.path(expectation.file),
                    ])
                guard result.exit == 0 else { throw ProgramFailure(description: result.error) }
            }
            scratch = fresh
            atexit { Corpus.removeUnpacked() }
            return fresh.folder
        }
    }

    private static func removeUnpacked() { unpacked.withLock { $0 = nil } }

    /// The unpacked image of that name.
    public static func path(_ file: String) throws -> String? { try unpackedFolder().map { $0 + "/" + file } }
}
