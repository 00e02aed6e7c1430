import BlockIO
import ByteCodec
import DiskModel
import VHD
import VHDX

/// Merges links into their ancestor, in place. Each sector is moved once, from the link nearest to the leaf.
///
/// At every power cut the leaf shows the same bytes through its parents, and doing it again completes it: what is moved
/// into the target shows in the leaf from a link above it, until the target holds all of it and is durable. Steps:
///
///  0. Where a target that grows would show its own parent behind its old end, the leaf gets zeros there, which it shows
///     already. *Cut: the same bytes.*
///  1. Leaf and target are signed, and the target gets a new id, before anything else in it changes: from then on its other
///     children are refused, and so is whoever reads the target, or an image between, not through the leaf. The lowest link,
///     whose parent the target is, goes along:
///     VHDX: the leaf bears the merge, then the target's metadata name it; then the link gets the target's future
///     DataWriteGuid as its `parent_linkage2`, and the present one as its first, in one entry of its log; then the target's
///     headers take it. *Cut: the link names the target by either id, and the target has one of them; it is not signed, and
///     as it was, or it is, and the leaf bears that merge.*
///     VHD: the target's footers take a new Unique ID and a mark with the former one, which counts, too, and with the
///     leaf's; then the link names the new one; then the mark says that the former one counts no more. *Cut: the link names
///     the target by either id, and both count as long as that is needed.*
///  2. A target smaller than the leaf grows, as told at the format's resizer. *Cut: what it gained reads as zeros, as in
///     the leaf.*
///  3. Bytes and zeros go into the target, as told at the format's writer, which is then closed. *Cut: any of it, hidden
///     below the links.*
///  4. A target larger than the leaf shrinks. *Cut: nobody looks behind the leaf's end.*
///
/// Then the target shows what the leaf shows, and the links can go. Without keeping the files:
///  5. Where links lie between: the leaf is made a child of the target itself; its absolute path leads to its former
///     parent for now. *Cut: it shows the same either way, and the same call finds those between by that path.*
///  6. The links between are removed, the lowest first; the target loses its sign; then the leaf is removed, each
///     durably. *Cut: the leaf stands on the target; what is left of those between has no parent.*
///
/// Keeping them:
///  7. Where links lie between: as 5; then the lowest one loses its parent's id, since it would show a mixture. VHDX: its
///     `parent_linkage2` is cleared; VHD: its Parent Unique ID becomes one that nobody has. *Cut: as after 5.*
///  8. The leaf is made a child of the target under its new id, with right paths; the target loses its sign, then the
///     leaf. *Cut: the same.*
struct MergeRun: Sendable {
    let format: ImageFormat
    let files: any MergeFiles
    /// The target's parents.
    let below: [any DiskLayer]
    let plan: MergePlan
    /// What readers see meanwhile.
    var disk: LiveDisk?
    var newGUID: @Sendable () -> GUID = { .random() }

    /// - Parameter progress: bytes moved of the total, called from several threads; throwing stops at a safe point.
    func perform(
        keepsFiles: Bool, _ progress: @Sendable (UInt64, UInt64) throws(DiskError) -> Void
    ) throws(DiskError) {
        let length = try GrowingLength(files.target)
        if !plan.changesNothing {
            let former = try currentIdentity().id
            do { try fill(length, progress) } catch {
                if length.isCut {
                    disown(as: former)
                    giveBack(former)
                }
                throw error
            }
        }
        do { try settle(keepsFiles: keepsFiles, length) } catch {
            if length.isCut, let id = try? currentIdentity().id { disown(as: id) }
            throw error
        }
    }

    /// Steps 0 to 4.
    private func fill(
        _ length: GrowingLength, _ progress: @Sendable (UInt64, UInt64) throws(DiskError) -> Void
    ) throws(DiskError) {
        if plan.pinsZeros { try pinZeros() }
        try length.check()
        let id = try format == .vhdx ? promise() : rename()
        let (links, target) = try prepare(id, length)
        do {
            try move(links, target, length, progress)
        } catch {
            // Brings the target to rest where that works; the links still show everything. One that seems cut stays as it
            // is: closed, it would have its old length again.
            if !length.seemsCut { try? target.close() }
            throw error
        }
        try finish(target, id, length)
    }

    /// Bytes of the target are gone, and what was written after the cut may have made it long again: nothing but this sign
    /// would tell the next one who opens it. Where even that cannot be written, its tables lead nowhere.
    private func disown(as id: GUID) {
        let merge = UnfinishedMerge.ofCutTarget
        if format == .vhdx {
            try? VHDXLinkEditor.setUnfinishedMerge(files.target, to: merge)
        } else {
            try? VHDLinkEditor.beginMerge(files.target, as: id, leaf: merge)
        }
    }

    /// The lowest link names the target by its former id again, by which it finds a copy of before the merge. In VHDX it has
    /// both.
    private func giveBack(_ former: GUID) {
        guard format == .vhd else { return }
        try? VHDLinkEditor.setParentID(files.links[files.links.count - 1], to: former)
    }

    // MARK: Steps

    /// Step 1 of VHDX, but for the headers, with an id that nobody can know yet, also where a merge was interrupted:
    /// somebody may have made a child of the half-merged target since.
    private func promise() throws(DiskError) -> GUID {
        let lowest = files.links[files.links.count - 1]
        let ids = try VHDXLayer(reading: lowest).parentLink?.identities.map(\.id) ?? []
        let current = try currentIdentity().id
        guard ids.contains(current) else {
            throw DiskError(
                .identityMismatch, path: lowest.path,
                "it expects a parent with the id \(ids.map(\.description).joined(separator: " or ")), and \(files.target.path) has \(current)"
            )
        }
        try sign()
        let id = newGUID()
        // Both at once: the second one is the sign of the merge, and never goes while it lasts.
        try VHDXLinkEditor.setSecondLinkage(lowest, to: id, first: current)
        return id
    }

    /// Says in the leaf and in the target that they are merged; first in the leaf, which otherwise could not be read.
    private func sign() throws(DiskError) {
        let target = try VHDXLayer(reading: files.target)
        if let merge = target.unfinishedMerge, try VHDXLayer(reading: files.links[0]).bears(merge: merge) { return }
        let merge = newGUID()
        try VHDXLinkEditor.setMerge(files.links[0], to: merge)
        try VHDXLinkEditor.setUnfinishedMerge(files.target, to: merge)
    }

    /// Step 1 of VHD, whole. Also after an interrupted merge, with yet another id.
    /// - Returns: nil: the id stands in the file already.
    private func rename() throws(DiskError) -> GUID? {
        let lowest = files.links[files.links.count - 1]
        let target = try VHDLayer(reading: files.target)
        let named = try VHDLayer(reading: lowest).parentLink?.identities.first
        if let former = target.formerIdentity, named == former {
            try VHDLinkEditor.setParentID(lowest, to: target.identity.id)
        } else if named != target.identity {
            throw DiskError(
                .identityMismatch, path: lowest.path,
                "it expects a parent with the id \(named?.description ?? "none"), and \(files.target.path) has \(target.identity)"
            )
        }
        // An interrupted change of the size has to come to its end first. What is refused here is refused below.
        do { try resizeTarget(to: target.geometry.virtualByteCount, nil) } catch  where error.kind == .refused {}
        let id = newGUID()
        let leaf = try VHDLayer(reading: files.links[0]).identity.id
        try VHDLinkEditor.beginMerge(files.target, as: id, leaf: leaf)
        try VHDLinkEditor.setParentID(lowest, to: id)
        try VHDLinkEditor.confirmMerge(files.target)
        return nil
    }

    /// Step 0.
    private func pinZeros() throws(DiskError) {
        let file = files.links[0]
        let leaf: any WritableDiskLayer
        if format == .vhdx {
            // What it shows stays, and so does the id by which its own children know it.
            let id = try VHDXLayer(reading: file).dataWriteGUID
            leaf = try VHDXLayer(writing: file, dataWriteGUID: id)
        } else {
            leaf = try VHDLayer(writing: file)
        }
        var links: [any DiskLayer] = [leaf]
        for file in files.links.dropFirst() { links.append(try ImageOpener.layer(reading: file)) }
        try MergeFeed.forEachUncovered(links, from: plan.oldVirtualByteCount) { (range) throws(DiskError) in
            try leaf.writeZeroes(range)
        }
        try leaf.close()
    }

    private func currentIdentity() throws(DiskError) -> DiskIdentity {
        try ImageOpener.layer(reading: files.target).identity
    }

    /// The end of step 1, and step 2, while nobody reads.
    private func prepare(
        _ id: GUID?, _ length: GrowingLength
    ) throws(DiskError) -> (links: [any DiskLayer], target: any WritableDiskLayer) {
        var links: [any DiskLayer] = []
        for file in files.links { links.append(try ImageOpener.layer(reading: file)) }
        var target: (any WritableDiskLayer)?
        func open() throws(DiskError) -> ImageChain {
            let size = max(plan.newVirtualByteCount, plan.oldVirtualByteCount)
            if size > plan.oldVirtualByteCount { try resizeTarget(to: size, id) }
            // An edit may have ended by making it shorter.
            try length.begin()
            try checkTables()
            let opened = try openTarget(id)
            target = opened
            return try ImageChain(leafFirst: links + [opened] + below)
        }
        if let disk { try disk.exchange(open) } else { _ = try open() }
        guard let target else { throw DiskError(.io, path: files.target.path, "the target is not open") }
        return (links, target)
    }

    private func openTarget(_ id: GUID?) throws(DiskError) -> any WritableDiskLayer {
        guard let id else { return try VHDLayer(writing: files.target) }
        let layer = try VHDXLayer(writing: files.target, dataWriteGUID: id)
        try layer.beginSession()
        return layer
    }

    private func resizeTarget(to size: UInt64, _ id: GUID?) throws(DiskError) {
        func ignore(_: UInt64, _: UInt64) {}
        if let id {
            _ = try VHDXResizer.resize(files.target, to: size, dataWriteGUID: id, progress: ignore)
        } else {
            _ = try VHDResizer.resize(files.target, to: size, progress: ignore)
        }
    }

    /// Step 3, but for closing.
    private func move(
        _ links: [any DiskLayer], _ target: any WritableDiskLayer, _ length: GrowingLength,
        _ progress: @Sendable (UInt64, UInt64) throws(DiskError) -> Void
    ) throws(DiskError) {
        let mover = try MergeMover(
            MergeFeed(links, shareDevice: target.file.hostFile?.identity.device), into: target, over: below,
            total: plan.dataByteCount + plan.zeroByteCount, watching: length)
        try mover.run(progress)
    }

    /// The end of step 3, and 4.
    private func finish(
        _ target: any WritableDiskLayer, _ id: GUID?, _ length: GrowingLength
    ) throws(DiskError) {
        func close() throws(DiskError) -> ImageChain {
            // Looked at between: the flush lasts, and closing makes what was cut long again.
            try target.flush()
            try length.check()
            try target.close()
            if plan.newVirtualByteCount < plan.oldVirtualByteCount {
                try resizeTarget(to: plan.newVirtualByteCount, id)
            }
            return try ImageChain(leafFirst: [ImageOpener.layer(reading: files.target)] + below)
        }
        if let disk { try disk.exchange(close) } else { _ = try close() }
    }

    // MARK: The links

    /// Steps 5 to 8.
    private func settle(keepsFiles: Bool, _ length: GrowingLength) throws(DiskError) {
        // Closing gave back what was reserved.
        try length.begin()
        try checkTarget(length)
        let between = files.links.dropFirst() + files.leftovers
        let isMixed = !plan.changesNothing || plan.resumes
        if !between.isEmpty { try relinkLeaf(keepsTrace: true) }
        if keepsFiles {
            if isMixed, let lowest = between.last { try cutLoose(lowest) }
            if isMixed || !between.isEmpty { try relinkLeaf(keepsTrace: false) }
            try endMerge()
            if format == .vhdx, isMixed { try VHDXLinkEditor.setMerge(files.links[0], to: nil) }
            return try checkTarget(length)
        }
        if !between.isEmpty { try checkTarget(length) }
        for file in between.reversed() { try remove(file, length) }
        try endMerge()
        try checkTarget(length)
        try remove(files.links[0], length)
        // Too late for the leaf, and still to be told.
        try length.check()
    }

    /// A last look at the target before something leads to it alone: its name, its length, all of its tables.
    private func checkTarget(_ length: GrowingLength) throws(DiskError) {
        try files.checkTarget()
        try length.check()
        try checkTables()
    }

    private func checkTables() throws(DiskError) {
        try ImageChain.checkTables([ImageOpener.layer(reading: files.target)])
    }

    private func endMerge() throws(DiskError) {
        guard try ImageOpener.layer(reading: files.target).unfinishedMerge != nil else { return }
        guard format == .vhdx else { return try VHDLinkEditor.endMerge(files.target) }
        try VHDXLinkEditor.setUnfinishedMerge(files.target, to: nil)
    }

    private func relinkLeaf(keepsTrace: Bool) throws(DiskError) {
        let leaf = files.links[0]
        let reference = try files.reference(
            to: ImageOpener.layer(reading: files.target), keepsTrace: keepsTrace)
        if format == .vhdx {
            try VHDXLinkEditor.relink(leaf, to: reference, changesData: false)
        } else {
            try VHDLinkEditor.relink(leaf, to: reference)
        }
    }

    private func cutLoose(_ lowest: any BlockFile) throws(DiskError) {
        if format == .vhdx {
            try VHDXLinkEditor.setSecondLinkage(lowest, to: nil)
        } else {
            try VHDLinkEditor.setParentID(lowest, to: newGUID())
        }
    }

    private func remove(_ file: any BlockFile, _ length: GrowingLength) throws(DiskError) {
        try files.checkTarget()
        try length.check()
        do throws(IOError) { try files.remove(file) } catch {
            var failure = DiskError(error, doing: "removing a merged image")
            failure.hint = "its data is in \(files.target.path); remove the file by hand"
            throw failure
        }
    }
}
