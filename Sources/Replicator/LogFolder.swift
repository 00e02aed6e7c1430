import BlockIO
import ByteCodec
import DiskModel
import Glibc
import HRL
import Replication

/// The logs beside one disk: `IMAGE*.hrl` in the image's folder.
struct LogFolder {
    let imagePath: String
    let folder: String
    let imageName: String

    private let files: FileOpener

    init(imagePath: String, files: FileOpener = .plain) {
        (self.imagePath, self.files) = (imagePath, files)
        (folder, imageName) = splitPath(imagePath)
    }

    func path(_ name: String) -> String { "\(folder)/\(name)" }

    /// Names that are this disk's. `disk.vhdx.1.hrl` is not one of `disk.vhd`'s where there is a `disk.vhdx`: the longest
    /// name of an image counts.
    func names() throws(DiskError) -> [String] {
        let all = try Folders.names(folder)
        let longer = all.filter { $0.hasPrefix(imageName) && $0 != imageName && !$0.hasSuffix(".hrl") }
        return all.filter { name in
            name.hasPrefix(imageName) && name.hasSuffix(".hrl")
                && !longer.contains { name.hasPrefix($0) && $0.utf8.count < name.utf8.count - 3 }
        }
    }

    /// Whether it is where a running tracker writes.
    func isLiveName(_ name: String) -> Bool { name == imageName + ".hrl" }

    /// What a log holds, unsealed where it is sealed.
    func open(_ name: String) throws(DiskError) -> any BlockFile {
        try files.open(path(name), doing: "reading a log").contents
    }

    /// Whether there is a closed log that is not in `known`; nothing but headers is read.
    func hasNew(known: Set<LogID>) throws(DiskError) -> Bool {
        for name in try names() {
            do throws(DiskError) {
                let header = try LogHeader(from: try open(name))
                let isKnown = LogID(header.uniqueID).map(known.contains) ?? false
                if !isKnown, header.isClosed || !isLiveName(name) { return true }
            } catch {
                if error.kind == .key { throw error }
                if !isLiveName(name) { return true }
            }
        }
        return false
    }

    /// Describes all logs. Those of `known` are not checked again.
    func describe(known: Set<LogID>) throws(DiskError) -> [LogDescriptor] {
        var result: [LogDescriptor] = []
        for name in try names() {
            let file: any BlockFile
            do throws(DiskError) { file = try open(name) } catch {
                if error.ioError?.isMissing == true { continue }
                // A tracker that writes a sealed log lets nobody else in.
                guard error.kind == .busy, isLiveName(name) else { throw error }
                let occupied = try Folders.occupiedBytes(path(name))
                var log = LogDescriptor(name: name, uniqueID: nil, previousID: nil, byteCount: occupied)
                log.ending = .live
                result.append(log)
                continue
            }
            result.append(
                try LogDescriptor.describing(
                    file, name: name, isLiveName: isLiveName(name), occupied: try Folders.occupiedBytes(path(name)),
                    known: known))
        }
        return result
    }

    /// Bytes of logs that are not in `known`, live ones included.
    func waitingBytes(known: Set<LogID>) throws(DiskError) -> UInt64 {
        var sum: UInt64 = 0
        for name in try names() {
            if let file = try? open(name), let header = try? LogHeader(from: file),
                let id = LogID(header.uniqueID), known.contains(id)
            {
                continue
            }
            sum += (try? Folders.occupiedBytes(path(name))) ?? 0
        }
        return sum
    }

    /// Removes logs, but only those whose UniqueId is one of `ids`.
    func remove(_ names: [String], ids: Set<LogID>) throws(DiskError) {
        var removed = false
        for name in names {
            guard let file = try? open(name), let header = try? LogHeader(from: file),
                let id = LogID(header.uniqueID), ids.contains(id)
            else { continue }
            try Folders.remove(path(name))
            removed = true
        }
        if removed { do { try syncFolder(folder) } catch { throw DiskError(error) } }
    }

    /// Renames logs so that they are never picked up: `NAME.aside`, `NAME.aside2` …
    func setAside(_ names: [String]) throws(DiskError) -> [String] {
        var result: [String] = []
        for name in names where Folders.exists(path(name)) {
            var place = "\(name).aside"
            var number = 2
            // A hard link does not replace what is there.
            while unsafe link(path(name), path(place)) != 0 {
                guard errno == EEXIST, number < 10_000 else {
                    throw DiskError(IOError("link", path: path(place), .errno(errno)))
                }
                place = "\(name).aside\(number)"
                number += 1
            }
            try Folders.remove(path(name))
            result.append(place)
        }
        if !result.isEmpty { do { try syncFolder(folder) } catch { throw DiskError(error) } }
        return result
    }
}

extension LogDescriptor {
    /// What a log file says, all of it checked unless it is known or not closed.
    /// - Throws: only for failed I/O; what is wrong with the log is in the descriptor.
    static func describing(
        _ file: any BlockFile, name: String, isLiveName: Bool = false, occupied: UInt64, known: Set<LogID> = []
    ) throws(DiskError) -> LogDescriptor {
        var log = LogDescriptor(name: name, uniqueID: nil, previousID: nil, byteCount: occupied)
        do throws(DiskError) {
            let header = try LogHeader(from: file)
            log.uniqueID = LogID(header.uniqueID)
            log.previousID = LogID(header.previousUniqueID)
            if let id = log.uniqueID, known.contains(id) { return log }
            guard header.isClosed else {
                log.ending = isLiveName ? .live : .unclosed
                return log
            }
            let reader = try LogReader(file)
            try reader.checkApplicable()
            log.diskEnd = try reader.validate().maximumEnd
        } catch {
            guard let problem = error.formatError else { throw error }
            log.problem = problem.description
            // A tracker that has only just begun: there is not even a header yet.
            if isLiveName, problem.code == .hrlFileTooShort { log.ending = .live }
        }
        return log
    }
}
