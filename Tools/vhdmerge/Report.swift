import DiskModel
import ImageChain
import Toolbox

/// What a merge does, or did, for people and as JSON.
struct Report {
    let plan: MergePlan
    let isDryRun: Bool
    let keepsFiles: Bool

    /// What is merged away, by name.
    var images: [String] { plan.links + plan.leftovers }

    /// - Parameter removed: the merged images that are gone.
    func lines(plain: Bool, removed: [String]) -> [String] {
        func size(_ byteCount: UInt64) -> String { Quantity.bytes(byteCount, plain: plain) }
        let target = printable(plan.target)
        var what = "nothing to move: it shows the same already"
        if plan.dataByteCount + plan.zeroByteCount > 0 {
            what = size(plan.dataByteCount) + (isDryRun ? " would be merged" : " merged")
            if plan.zeroByteCount > 0 { what += ", and \(size(plan.zeroByteCount)) of zeros" }
        }
        var lines = ["\(target): \(what)"]
        if plan.oldVirtualByteCount != plan.newVirtualByteCount {
            lines.append(
                "  the disk \(isDryRun ? "would go" : "went") from \(size(plan.oldVirtualByteCount)) to "
                    + size(plan.newVirtualByteCount))
        }
        if isDryRun, plan.newBlockByteCount > 0 {
            lines.append("  its file would grow by \(size(plan.newBlockByteCount)) at most")
        }
        func add(_ what: String, _ names: [String]) {
            if !names.isEmpty { lines.append("  \(what): \(names.map(printable).joined(separator: ", "))") }
        }
        if keepsFiles {
            add(isDryRun ? "would be kept" : "kept", images)
        } else if isDryRun {
            add("would be removed", images)
        } else {
            add("removed", images.filter(removed.contains))
            add("not removed, renamed or replaced meanwhile", images.filter { !removed.contains($0) })
        }
        add("left over", plan.strays)
        return lines
    }

    /// - Parameters:
    ///   - isDone: whether all has been done.
    ///   - removed: the merged images that are gone.
    func document(isDone: Bool, removed: [String]) -> JSONValue {
        func images(_ list: [ChildImage]) -> JSONValue {
            .array(list.map { ["path": .string($0.path), "parent": .string($0.parent)] })
        }
        return [
            "child": .string(plan.links[0]), "target": .string(plan.target),
            "format": .string(plan.format.rawValue), "links": .array(plan.links.map(JSONValue.string)),
            "dry_run": .bool(isDryRun), "done": .bool(isDone), "kept": .bool(keepsFiles),
            "data_bytes": .unsigned(plan.dataByteCount), "zero_bytes": .unsigned(plan.zeroByteCount),
            "old_virtual_size": .unsigned(plan.oldVirtualByteCount),
            "new_virtual_size": .unsigned(plan.newVirtualByteCount),
            "new_block_bytes": .unsigned(plan.newBlockByteCount), "resumed": .bool(plan.resumes),
            "invalidated": images(plan.invalidated), "orphaned": images(plan.orphaned),
            "pending_logs": .array(plan.pendingLogs.map(JSONValue.string)),
            "removed": .array(self.images.filter(removed.contains).map(JSONValue.string)),
            "left_over": .array(plan.strays.map(JSONValue.string)),
        ]
    }
}
