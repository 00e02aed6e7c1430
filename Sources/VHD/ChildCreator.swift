public import BlockIO
public import ByteCodec
public import DiskModel

extension VHDCreator {
    /// Makes a differencing image in which no block is stored yet: its disk reads as the parent's, whichever type that
    /// one has. The size and the geometry are the parent's as its footer says, since some programs go by one and some by
    /// the other.
    ///
    /// The parent's paths stand behind the block table in sectors of their own: the absolute one, where there is one, in
    /// slot 0 of the parent locators and the relative one in slot 1, as Windows lays them. (Sections 6 and 10.3)
    ///
    /// Order of writes, as in `create`:
    /// 1. the block table, the paths and the dynamic header, then a flush: a power cut before leaves a file that is no
    ///    image, for want of a footer.
    /// 2. the footer at the end and its copy at 0, then a flush: a power cut before leaves none of them, or one or both,
    ///    and each leads to the whole image.
    /// - Parameters:
    ///   - file: empty.
    ///   - reference: its identity is the parent's; of its places the relative and the absolute path are written.
    ///   - blockByteCount: as in `create`; it need not be the parent's.
    /// - Throws: `.refused` for a file that is not empty, a parent larger than `largestDynamicByteCount`, and names and
    ///   paths that a VHD cannot hold; `.identityMismatch` for a reference that names another image than the parent;
    ///   I/O errors.
    public static func createChild(
        on file: any BlockFile, of parent: VHDLayer, named reference: ParentReference,
        blockByteCount: UInt64 = defaultBlockByteCount, uniqueID: GUID, created: DiskTimestamp,
        creator: Creator = .vhdtools
    ) throws(DiskError) {
        let fields = try ParentFields(reference, path: file.path)
        guard reference.identity == parent.identity else {
            throw DiskError(
                .identityMismatch, path: file.path,
                "the child is to name \(reference.identity) as its parent, and \(parent.file.path) is \(parent.identity)")
        }
        guard uniqueID != fields.uniqueID else {
            throw DiskError(.refused, path: file.path, "a child and its parent cannot have the same Unique ID")
        }
        let byteCount = parent.geometry.virtualByteCount
        try checkSize(byteCount, isFixed: false, path: file.path)
        let builder = try VHDBuilder(
            on: file, type: .dynamic, virtualByteCount: byteCount, blockByteCount: blockByteCount, uniqueID: uniqueID,
            created: created, creator: creator, parent: fields)
        builder.setGeometry(parent.footer.geometry)
        try write(builder, "creating the child")
    }
}
