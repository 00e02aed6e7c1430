import BlockIO
import ByteCodec
import DiskModel
import HRL

/// The logs of one image and their names:
///
/// | name | what |
/// |---|---|
/// | `<image>.hrl` | the log being written; after a clean end a closed one |
/// | `<image>.hrl.new` | the log that becomes it in a switch |
/// | `<image>.<UniqueId>.hrl` | a closed log |
/// | `<image>.<UniqueId>.unclosed.hrl` | one that was never closed, kept for those who want to look into it |
///
/// Each renaming is durable before the next one, so that at every power cut a log has one of these names.
struct TrackedLogs: Sendable {
    let folder: any TrackedFolder
    let imageName: String

    var currentName: String { imageName + ".hrl" }
    var newName: String { imageName + ".hrl.new" }
    var mapName: String { imageName + ".hrl.map" }
    func closedName(_ id: GUID) -> String { "\(imageName).\(id).hrl" }
    func unclosedName(_ id: GUID) -> String { "\(imageName).\(id).unclosed.hrl" }
    func path(_ name: String) -> String { "\(folder.path)/\(name)" }

    /// What was there when tracking began.
    struct Tip {
        /// The log that the next one follows; zero where there was none.
        var uniqueID = GUID.zero
        /// Why the logs up to there do not tell everything; nil when they do.
        var loss: String?
    }

    /// Gives the logs of the last run the names they keep.
    ///
    /// 1. `<image>.hrl` is renamed, the folder flushed. A cut before leaves it for the next start.
    /// 2. `<image>.hrl.new` likewise. It is there when a switch was cut off, and follows the other one; where it has no
    ///    whole header it was never used, and is removed.
    ///
    /// - Throws: `.busy` while another tracker writes one of them; `.io`.
    func settle() throws(DiskError) -> Tip {
        var tip = Tip()
        let names = try diskErrors(folder.path, "looking for logs") { Set(try folder.names()) }
        if names.contains(currentName) { try settle(currentName, &tip) }
        if names.contains(newName) { try settle(newName, &tip) }
        return tip
    }

    private func settle(_ name: String, _ tip: inout Tip) throws(DiskError) {
        let header: LogHeader?
        do throws(DiskError) {
            let file = try diskErrors(path(name), "opening the last log") { try folder.open(name) }
            header = try LogHeader(from: file)
        } catch {
            guard error.kind == .format else { throw error }
            header = nil
        }
        try diskErrors(path(name), "renaming the last log") {
            if let header, header.isClosed {
                try folder.rename(name, to: closedName(header.uniqueID))
            } else if let header {
                tip.loss = "\(path(name)) was not closed: the tracker or the machine crashed"
                try folder.rename(name, to: unclosedName(header.uniqueID))
            } else if name == newName {
                try folder.remove(name)
            } else {
                tip.loss = "\(path(name)) is no log that can be read"
                try folder.rename(name, to: unclosedName(.random()))
            }
            try folder.sync()
        }
        // After a log that cannot be read comes one that follows none of those there.
        if header != nil || name == currentName { tip.uniqueID = header?.uniqueID ?? .random() }
    }

    /// Makes a log under `<image>.hrl.new`, durably; without a writer it counts as unclosed.
    func prepare(_ options: LogWriter.Options) throws(DiskError) -> LogWriter {
        let file = try diskErrors(path(newName), "making a log") { try folder.create(newName) }
        do throws(DiskError) {
            let log = try LogWriter.create(on: file, options)
            try diskErrors(path(newName), "making a log") { try folder.sync() }
            return log
        } catch {
            discardNew()
            throw error
        }
    }

    /// Takes back `prepare`.
    func discardNew() {
        // Where this fails the next start finds a log that was not closed, and says so.
        do throws(IOError) {
            try folder.remove(newName)
            try folder.sync()
        } catch {}
    }

    /// The log made last becomes `<image>.hrl`, durably; that name is free.
    func promoteNew() throws(DiskError) {
        try diskErrors(path(newName), "renaming the new log") {
            try folder.rename(newName, to: currentName)
            try folder.sync()
        }
    }

    /// `<image>.hrl`, which is closed, gets the name it keeps, durably.
    func retire(_ id: GUID) throws(DiskError) {
        try diskErrors(path(currentName), "renaming the closed log") {
            try folder.rename(currentName, to: closedName(id))
            try folder.sync()
        }
    }

    /// What the logs that wait in the folder occupy, closed or given up.
    func waitingByteCount() throws(DiskError) -> UInt64 {
        try diskErrors(folder.path, "measuring the logs") {
            var sum: UInt64 = 0
            for name in try folder.names() where isOld(name) {
                // It may have been sent and removed just now.
                sum += (try? folder.occupiedByteCount(of: name)) ?? 0
            }
            return sum
        }
    }

    /// Whether a name is that of a log that is no longer written: the id is what tells it from another image's.
    private func isOld(_ name: String) -> Bool {
        guard name.hasPrefix(imageName + "."), name.hasSuffix(".hrl") else { return false }
        var id = name.dropFirst(imageName.utf8.count + 1).dropLast(4)
        if id.hasSuffix(".unclosed") { id = id.dropLast(9) }
        return id.utf8.count == 36
    }
}
