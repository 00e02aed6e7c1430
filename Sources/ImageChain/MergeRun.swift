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
///  1. VHDX: the lowest link, whose parent the target is, gets the target's future DataWriteGuid as its
///     `parent_linkage2`, through its log; where an interrupted merge left the target under a second id, that one becomes
///     its `parent_linkage` before. *Cut: the link names the target by either id, and the target has the first.*
///  2. VHDX: the target's headers take that id, before anything else in it changes. *Cut: the link names it by the second.*
///     From here on other children of the target are refused.
///  3. A target smaller than the leaf grows, as told at the format's resizer. *Cut: what it gained reads as zeros, as in
///     the leaf.*
///  4. Bytes and zeros go into the target, as told at the format's writer, which is then closed. *Cut: any of it, hidden
///     below the links.*
///  5. A target larger than the leaf shrinks. *Cut: nobody looks behind the leaf's end.*
///
/// Then the target shows what the leaf shows, and the links can go. Without keeping the files:
///  6. Where links lie between: the leaf is made a child of the target itself; its absolute path leads to its former
///     parent for now. *Cut: it shows the same either way, and the same call finds those between by that path.*
///  7. The links between are removed, the lowest first, then the leaf, each durably. *Cut: the leaf stands on the target;
///     what is left of those between has no parent.*
///  8. VHD: the target gets a new Unique ID, so that other children do not pass for right. *Cut: it has the old one; the
///     merge is complete, and only that protection is missing.*
///
/// Keeping them:
///  9. Where links lie between: as 6; then the lowest one loses its parent's id, since it would show a mixture. VHDX: its
///     `parent_linkage2` is cleared; VHD: its Parent Unique ID becomes one that nobody has. *Cut: as after 6.*
/// 10. The leaf is made a child of the target under its new id, with right paths. *Cut: the same.*
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
        if !plan.changesNothing {
            let id = try format == .vhdx ? promise() : nil
            let (links, target) = try prepare(id)
            do {
                try move(links, target, progress)
            } catch {
                // Brings the target to rest where that works; the links still show everything.
                try? target.close()
                throw error
            }
            try finish(target, id)
        }
        try settle(keepsFiles: keepsFiles)
    }

    // MARK: Steps

    /// Step 1, with an id that nobody can know yet, also where a merge was interrupted: somebody may have made a child of
    /// the half-merged target since.
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
        // The first id is the one that is not replaced next.
        if ids[0] != current { try VHDXLinkEditor.setLinkage(lowest, to: current) }
        let id = newGUID()
        try VHDXLinkEditor.setSecondLinkage(lowest, to: id)
        return id
    }

    private func currentIdentity() throws(DiskError) -> DiskIdentity {
        try ImageOpener.layer(reading: files.target).identity
    }

    /// Steps 2 and 3, while nobody reads.
    private func prepare(_ id: GUID?) throws(DiskError) -> (links: [any DiskLayer], target: any WritableDiskLayer) {
        var links: [any DiskLayer] = []
        for file in files.links { links.append(try ImageOpener.layer(reading: file)) }
        var target: (any WritableDiskLayer)?
        func open() throws(DiskError) -> ImageChain {
            let size = max(plan.newVirtualByteCount, plan.oldVirtualByteCount)
            // A VHD also where the size stays: an interrupted change of it has to come to its end first.
            if format == .vhd || size > plan.oldVirtualByteCount { try resizeTarget(to: size, id) }
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

    /// Step 4, but for closing.
    private func move(
        _ links: [any DiskLayer], _ target: any WritableDiskLayer,
        _ progress: @Sendable (UInt64, UInt64) throws(DiskError) -> Void
    ) throws(DiskError) {
        let mover = try MergeMover(
            MergeFeed(links, shareDevice: target.file.hostFile?.identity.device), into: target, over: below,
            total: plan.dataByteCount + plan.zeroByteCount)
        try mover.run(progress)
    }

    /// The end of step 4, and 5.
    private func finish(_ target: any WritableDiskLayer, _ id: GUID?) throws(DiskError) {
        func close() throws(DiskError) -> ImageChain {
            try target.close()
            if plan.newVirtualByteCount < plan.oldVirtualByteCount {
                try resizeTarget(to: plan.newVirtualByteCount, id)
            }
            return try ImageChain(leafFirst: [ImageOpener.layer(reading: files.target)] + below)
        }
        if let disk { try disk.exchange(close) } else { _ = try close() }
    }

    // MARK: The links

    /// Steps 6 to 10.
    private func settle(keepsFiles: Bool) throws(DiskError) {
        let between = files.links.dropFirst() + files.leftovers
        let isMixed = !plan.changesNothing || plan.resumes
        if !between.isEmpty { try relinkLeaf(keepsTrace: true) }
        if keepsFiles {
            if isMixed, let lowest = between.last { try cutLoose(lowest) }
            if isMixed || !between.isEmpty { try relinkLeaf(keepsTrace: false) }
            return
        }
        for file in between.reversed() { try remove(file) }
        try remove(files.links[0])
        if format == .vhd, isMixed { try VHDLinkEditor.setUniqueID(files.target, to: newGUID()) }
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

    private func remove(_ file: any BlockFile) throws(DiskError) {
        do throws(IOError) { try files.remove(file) } catch {
            var failure = DiskError(error, doing: "removing a merged image")
            failure.hint = "its data is in \(files.target.path); remove the file by hand"
            throw failure
        }
    }
}
