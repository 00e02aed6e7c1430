public import BlockIO
public import ByteCodec
public import DiskModel

/// Changes how a differencing image names its parent. Payload and table stay as they are.
///
/// A power cut at any moment leaves an image that opens, with the old or the new parent locator whole. Steps, inside a
/// session of `Writer`:
///
///  1. A pending log is replayed into the file, and the session begins. *Cut: the old locator; the file has new
///     identities, and a log whose replay changes nothing.*
///  2. One log entry with the pages of the locator's bytes and of its entry in the metadata table, which places them.
///     *Cut: the entry is whole, and all of it takes effect, or it is not, and none does.*
///  3. The pages are written to their places. *Cut: replay of the entry of 2 writes them again.*
///  4. The session is closed, as told at `EditSession`, the file's length staying. *Cut: the new locator.*
///
/// A locator that already is as asked for is left alone. A longer one that does not fit where it stands goes into a gap
/// between the other items, or behind the last.
public enum VHDXLinkEditor {
    /// Names another parent: `parent_linkage` becomes its identity, `parent_linkage2` zeros. The paths become those of
    /// the reference, and a path it does not have is removed. Keys that the format does not name are kept.
    /// [MS-VHDX] 2.6.2.6.3
    /// - Parameters:
    ///   - file: the child's, open for writing, the caller's alone.
    ///   - changesData: whether the disk will show other bytes than before: then it gets a new DataWriteGuid, and what
    ///     was made from it no longer finds it.
    /// - Throws: `.refused` for an image without parent, one with errors, and names that the format does not allow;
    ///   `.format`, with the rule's code, for images that do not open; `.io`. After an error the image is whole, with the
    ///   old or the new locator.
    public static func relink(
        _ file: any BlockFile, to parent: ParentReference, changesData: Bool
    ) throws(DiskError) {
        try parent.checkForLocator(path: file.path)
        try edit(file, "naming another parent", changesData: changesData) { $0.name(parent) }
    }

    /// Sets `parent_linkage2`, which names a second identity that the parent may have: a merge stores the one that the
    /// parent is about to get. DataWriteGuid and paths stay.
    /// - Parameters:
    ///   - id: nil for zeros, which name none.
    ///   - first: what `parent_linkage` becomes in the same entry of the log; nil to leave it.
    /// - Throws: as `relink`.
    public static func setSecondLinkage(
        _ file: any BlockFile, to id: GUID?, first: GUID? = nil
    ) throws(DiskError) {
        try edit(file, "setting the second linkage", changesData: false) {
            if let first { $0.set(ParentLocatorItem.Key.linkage, to: first) }
            $0.set(ParentLocatorItem.Key.secondLinkage, to: id ?? .zero)
        }
    }

    static func edit(
        _ file: any BlockFile, _ doing: String, changesData: Bool, _ change: (inout ParentLocatorItem) -> Void
    ) throws(DiskError) {
        try diskErrors(file.path, doing) {
            var session = try EditSession(file, plansOnly: false)
            guard var locator = session.metadata.parentLocator,
                let item = session.metadata.find(KnownGUID.parentLocator)
            else {
                throw DiskError(.refused, path: file.path, "the image is not a differencing one and has no parent")
            }
            change(&locator)
            let bytes = try locator.serialized(path: file.path)
            let isAsBefore = try session.file.bytes(at: item.start, count: Int(item.entry.length)) == bytes
            guard changesData || !isAsBefore else { return }
            let pages = try session.metadata.pages(settingParentLocator: bytes, in: session.file)
            try session.write(pages, changesData: changesData)
        }
    }
}

extension EditSession {
    /// A whole session for some pages of metadata, which change in one entry of the log.
    mutating func write(_ pages: [(offset: UInt64, bytes: [UInt8])], changesData: Bool = false) throws {
        do {
            try begin(changesData: changesData)
            try replace(pages)
            try finish(fileByteCount: map.fileByteCount)
        } catch {
            abandon()
            throw error
        }
    }
}
