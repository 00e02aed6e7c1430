public import BlockIO
public import ByteCodec
public import DiskModel

/// Changes what ties images to each other: the parent that a differencing image names, and the identity that children
/// name. The disk's bytes are never touched. At every moment the image opens with all of the old tie or all of the new
/// one, and after a power cut the same call brings it to its end.
///
/// Each is for an image at rest, of which the caller has the writer's lock. A damaged footer is made whole first, as for
/// every edit in place: at most one copy is written between two flushes, and the other one is valid then. What a killed
/// program left in the host's cache is flushed before anything is built on it.
public enum VHDLinkEditor {
    /// Makes a differencing image name another parent, or the same one with other paths: its Unique ID, time stamp, name
    /// and places. Parent locators of other kinds (`MacX`, `Wi2r`, `Wi2k`, `Mac `), and an absolute path where none is
    /// given, go: they would lead to the old parent. (Sections 6 and 10.3)
    ///
    /// Where the paths stay as they are, and of the name no more than the first 224 units changes, everything is in the
    /// dynamic header's first sector:
    /// 1. that sector, then a flush. A power cut leaves the old sector or the new one.
    ///
    /// Else the header, two sectors without a second copy, is written where nobody looks and then led to:
    /// 1. the footer, as it is, at a new end of the file where there is no room behind the contents, then a flush. A
    ///    power cut leaves the file as it was, or longer.
    /// 2. the new paths where nothing stands, and the new header behind the contents, then a flush. Nobody names them.
    /// 3. the trailing footer with its Data Offset on the new header, a flush, the copy at 0, a flush. Each is one
    ///    sector. A power cut between leaves footers that lead to two whole headers, and the trailing one counts.
    /// 4. the new header in the old one's place, where nobody looks now, then a flush.
    /// 5. the footers back to that place, as in 3: the headers are equal.
    /// 6. the footer right behind what is used, a flush, the file cut behind it, a flush: a footer is last in either
    ///    case.
    ///
    /// The header's place is 512, where every program expects it, unless something else stands there. An image whose
    /// header is elsewhere, as a power cut after step 3 leaves it, begins with step 4. So does what is done again after a
    /// power cut between two footers, when the copy at 0 has been made equal to the trailing footer.
    /// - Throws: `.refused` for what is no differencing image, for parents that a VHD cannot name, and for images that
    ///   may not be changed: with errors other than in what is replaced, of a saved machine; I/O errors, which leave the
    ///   image as a power cut would.
    public static func relink(_ file: any BlockFile, to parent: ParentReference) throws(DiskError) {
        let fields = try ParentFields(parent, path: file.path)
        try checkChild(try ImageEdit(inspecting: file, for: .linking), fields.uniqueID)
        let edit = try ImageEdit(preparing: file, for: .linking)
        try diskErrors(file.path, "naming the parent") {
            guard let header = edit.image.header, let layout = edit.image.layout else { throw notDifferencing(edit) }
            var change = try LinkChange(edit, header, layout, fields)
            try change.run()
        }
    }

    /// Makes a differencing image take another Unique ID for its parent's; the parent's places and time stamp stay.
    ///
    /// 1. the dynamic header's first sector, which holds the ID and the checksum, then a flush. A power cut leaves the
    ///    old sector or the new one.
    /// - Throws: as `relink`, and `.refused` for an ID of zeros.
    public static func setParentID(_ file: any BlockFile, to id: GUID) throws(DiskError) {
        guard id != .zero else { throw zeroID(file, "the parent's Unique ID") }
        try checkChild(try ImageEdit(inspecting: file, for: .linking), id)
        let edit = try ImageEdit(preparing: file, for: .linking)
        try diskErrors(file.path, "setting the parent's ID") {
            let old = try edit.headerBytes()
            let new = patched(old, at: DynamicHeader.parentUniqueIDOffset, id.bytes(.big))
            try edit.writeFirstSector(ofHeader: sealing(new, checksumAt: DynamicHeader.checksumOffset), over: old)
        }
    }

    /// Gives an image of any type another Unique ID; children made before no longer find it as their parent.
    ///
    /// 1. the trailing footer, then a flush: that of a fixed image is its only one.
    /// 2. the copy at 0, then a flush. A power cut before leaves two valid footers with different IDs: the trailing one
    ///    counts.
    /// - Throws: `.refused` for an ID of zeros, for the parent's, and for images that may not be changed: with errors, of
    ///   a saved machine, in the middle of another edit; I/O errors, which leave the image as a power cut would.
    public static func setUniqueID(_ file: any BlockFile, to id: GUID) throws(DiskError) {
        guard id != .zero else { throw zeroID(file, "the Unique ID") }
        let found = try ImageEdit(inspecting: file, for: .identifying)
        if found.image.footer.diskType == DiskTypeCode.differencing, found.image.header?.parentUniqueID == id {
            throw sameID(file)
        }
        let edit = try ImageEdit(preparing: file, for: .identifying)
        try diskErrors(file.path, "setting the Unique ID") {
            let bytes = patched(edit.footerBytes, at: Footer.uniqueIDOffset, id.bytes(.big))
            try edit.writeFooters(sealing(bytes, checksumAt: Footer.checksumOffset))
        }
    }

    // MARK: Refusals

    private static func checkChild(_ edit: ImageEdit, _ parentID: GUID) throws(DiskError) {
        guard edit.image.footer.diskType == DiskTypeCode.differencing else { throw notDifferencing(edit) }
        guard edit.image.footer.uniqueID != parentID else { throw sameID(edit.file) }
    }

    private static func notDifferencing(_ edit: ImageEdit) -> DiskError {
        DiskError(.refused, path: edit.file.path, "is no differencing VHD: it has no parent to name")
    }

    private static func sameID(_ file: any BlockFile) -> DiskError {
        DiskError(.refused, path: file.path, "a child and its parent cannot have the same Unique ID")
    }

    private static func zeroID(_ file: any BlockFile, _ what: String) -> DiskError {
        DiskError(.refused, path: file.path, "\(what) may not be all zeros")
    }
}
