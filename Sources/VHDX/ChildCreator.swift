public import BlockIO
public import ByteCodec
public import DiskModel
import Synchronization

extension VHDXCreator {
    /// Creates a differencing image on an empty file, which shows its parent's bytes everywhere. The log stands at 1 MiB
    /// (1 MiB long), metadata at 2 MiB, the table behind them, all its entries zero. Whatever the parent's metadata say
    /// of the disk, and not of the file, is taken over: size, virtual disk ID, sector sizes, unknown items that are
    /// marked IsVirtualDisk. [MS-VHDX] 2.6.1.2, 2.6.2.6
    ///
    /// Order of writes:
    ///  1. Length, inherited items, metadata, region tables, identifier, and a flush. *Cut: no header is valid, and the
    ///     file does not open.*
    ///  2. Header 1 and header 2, and a flush. *Cut: as after 1, or one header is whole, and the child opens.*
    ///
    /// - Parameters:
    ///   - parent: only its metadata are read. Its log may be pending: replay changes neither disk nor identity.
    ///   - reference: how the child names the parent, whose identity it holds.
    ///   - blockByteCount: a power of two from 1 MiB to 256 MiB; it need not be the parent's.
    ///   - creator: up to 256 UTF-16 code units; the rest is cut off.
    ///   - newGUID: where FileWriteGuid and DataWriteGuid come from.
    /// - Throws: `.refused` for parameters and paths that the format does not allow, for a file that is not empty and for
    ///   a parent with errors; `.identityMismatch` for a reference to another image than `parent`; `.io`.
    public static func createChild(
        on file: any BlockFile, of parent: VHDXLayer, named reference: ParentReference,
        blockByteCount: UInt64 = 2 << 20, creator: String = "vhdtools", newGUID: () -> GUID = { .random() }
    ) throws(DiskError) {
        try VHDXBuilder.checkNew(file, blockByteCount: blockByteCount)
        let child = try NewChild(
            of: parent, named: reference, blockByteCount: blockByteCount, creator: creator, path: file.path)
        try diskErrors(file.path, "creating the image") {
            try file.resize(to: child.structures.table.upperBound)
            try child.copyItems(to: file)
            try child.structures.write(to: file)
            try file.sync()
            var header = Header(newGUID: newGUID)
            try header.writeCopies(to: file)
            try file.sync()
        }
    }
}

/// A child to be made: its structures, and the parent that some of them come from.
private struct NewChild {
    let parent: VHDXLayer
    private(set) var structures: NewStructures

    init(
        of parent: VHDXLayer, named reference: ParentReference, blockByteCount: UInt64, creator: String, path: String
    ) throws(DiskError) {
        try reference.checkForLocator(path: path)
        try Self.check(parent, reference)
        self.parent = parent
        structures = NewStructures(
            type: .differencing,
            geometry: TableGeometry(
                virtualByteCount: parent.geometry.virtualByteCount, blockByteCount: blockByteCount,
                logicalSectorByteCount: UInt64(parent.geometry.logicalSectorByteCount), isDifferencing: true),
            physicalSectorByteCount: UInt32(parent.geometry.physicalSectorByteCount),
            virtualDiskID: parent.virtualDiskID, creator: creator)
        structures.parentLocator = try ParentLocatorItem(naming: reference).serialized(path: path)
        structures.inherited = parent.metadata.itemsOfDisk
        try placeRegions(path)
    }

    /// Refuses a parent that cannot be named, or that another program would see other bytes of.
    private static func check(_ parent: VHDXLayer, _ reference: ParentReference) throws(DiskError) {
        let headers = parent.state.withLock { $0.headers }
        guard !headers.isAmbiguous else {
            throw DiskError(
                .refused, path: parent.file.path,
                "the two headers have the same sequence number and differ, so a child cannot say which it was made from",
                hint: "have vhdcheck make the repair headers first")
        }
        if let finding = parent.findings.first(where: { $0.severity == .error }) {
            throw DiskError(
                .refused, path: parent.file.path, "an image with errors gets no child (\(finding.detail))",
                hint: "copy the contents into a new image")
        }
        guard reference.identity == parent.identity else {
            throw DiskError(
                .identityMismatch, path: parent.file.path,
                "its DataWriteGuid is \(parent.identity), and the child would name \(reference.identity)",
                hint: "name the parent as it is now")
        }
    }

    /// Sizes metadata and table by what stands in them.
    private mutating func placeRegions(_ path: String) throws(DiskError) {
        let itemCount = structures.metadataItemCount
        guard itemCount <= Layout.maximumEntryCount else {
            throw DiskError(
                .refused, path: path,
                "the child would have \(itemCount) metadata items, more than \(Layout.maximumEntryCount)")
        }
        let byteCount = structures.metadataByteCount
        guard byteCount <= UInt64(UInt32.max) else {
            throw DiskError(.refused, path: path, "the child would have \(byteCount) bytes of metadata, 4 GiB or more")
        }
        let start = NewStructures.metadata.lowerBound
        let tableByteCount = VHDXBuilder.tableByteCount(structures.geometry)
        structures.metadata = start..<start + byteCount
        structures.table = start + byteCount..<start + byteCount + tableByteCount
    }

    /// The bytes of the inherited items, one by one, since together they can be large.
    func copyItems(to file: any BlockFile) throws(IOError) {
        let targets = structures.metadataEntries.suffix(structures.inherited.count)
        for (source, target) in zip(structures.inherited, targets) where source.length > 0 {
            let bytes = try parent.file.bytes(
                at: parent.metadata.region.lowerBound + UInt64(source.offset), count: Int(source.length))
            try file.write(bytes, at: structures.metadata.lowerBound + UInt64(target.offset))
        }
    }
}

extension Metadata {
    /// The entries of items that go with the disk to a child, besides those that every image has. Reserved bits of their
    /// flags are left out, since some programs refuse them.
    fileprivate var itemsOfDisk: [MetadataTableEntry] {
        table.map(\.entry)
            .filter { $0.isVirtualDisk && ($0.isUser || Self.expectedFlags[$0.itemID] == nil) }
            .map { entry in
                var entry = entry
                entry.flags &= 7
                entry.reserved = 0
                return entry
            }
    }
}
