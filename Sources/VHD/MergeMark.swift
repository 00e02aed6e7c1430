public import BlockIO
public import ByteCodec
public import DiskModel

/// Ours: what a footer says, in its reserved bytes, while images are merged into this one. A VHD child names its parent by
/// one id, in one file, and the parent has it in another: for the moment between, the parent goes by its former one, too.
/// Until the merge is done, the mark tells readers that this image and those between hold a mixture, and which image hides it.
struct MergeMark: Equatable, Sendable {
    enum Stage: UInt32, Sendable {
        /// The Unique ID is new, and children may still name the former one.
        case renaming = 1
        /// The former one counts no more.
        case merging = 2
    }
    var stage: Stage
    var formerID: GUID
    /// Unique ID of the image whose contents this one is to show: the merge goes by it.
    var leafID: GUID

    /// `vhdmerge`, the stage (big-endian), four zeros, the former Unique ID, the leaf's.
    static let range = 448..<496
    private static let cookie = Array("vhdmerge".utf8)

    init(_ stage: Stage, formerID: GUID, leafID: GUID) {
        (self.stage, self.formerID, self.leafID) = (stage, formerID, leafID)
    }

    /// - Parameter footer: its 512 bytes.
    init?(in footer: [UInt8]) {
        let bytes = Array(footer[Self.range])
        guard Array(bytes[..<8]) == Self.cookie, let stage = Stage(rawValue: bytes.rawBytes.integer(at: 8, .big)),
            bytes[12..<16].allSatisfy({ $0 == 0 })
        else { return nil }
        self.init(stage, formerID: GUID(bytes.rawBytes, at: 16, .big), leafID: GUID(bytes.rawBytes, at: 32, .big))
    }

    var bytes: [UInt8] {
        Self.cookie + bigEndianBytes(stage.rawValue) + [0, 0, 0, 0] + formerID.bytes(.big) + leafID.bytes(.big)
    }
}

extension VHDLinkEditor {
    /// Gives an image another Unique ID for a merge into it: until `confirmMerge`, children that name its former one are
    /// still its own. Order and power cuts as for `setUniqueID`.
    /// - Parameter leaf: Unique ID of the image whose contents this one is to show.
    /// - Throws: as `setUniqueID`.
    public static func beginMerge(_ file: any BlockFile, as id: GUID, leaf: GUID) throws(DiskError) {
        try mark(file) { footer in
            let mark = MergeMark(
                .renaming, formerID: GUID(footer.rawBytes, at: Footer.uniqueIDOffset, .big), leafID: leaf)
            let renamed = patched(footer, at: Footer.uniqueIDOffset, id.bytes(.big))
            return patched(renamed, at: MergeMark.range.lowerBound, mark.bytes)
        }
    }

    /// From here on children that name the former Unique ID are not this image's.
    /// - Throws: as `setUniqueID`.
    public static func confirmMerge(_ file: any BlockFile) throws(DiskError) {
        try mark(file) { footer in
            guard var mark = MergeMark(in: footer) else { return footer }
            mark.stage = .merging
            return patched(footer, at: MergeMark.range.lowerBound, mark.bytes)
        }
    }

    /// The merge is done; an image without its mark stays as it is.
    /// - Throws: as `setUniqueID`.
    public static func endMerge(_ file: any BlockFile) throws(DiskError) {
        try mark(file) { footer in
            guard MergeMark(in: footer) != nil else { return footer }
            return patched(footer, at: MergeMark.range.lowerBound, .zeros(MergeMark.range.count))
        }
    }

    private static func mark(_ file: any BlockFile, _ change: ([UInt8]) -> [UInt8]) throws(DiskError) {
        let edit = try ImageEdit(preparing: file, for: .identifying)
        try diskErrors(file.path, "marking the merge") {
            let bytes = change(edit.footerBytes)
            guard bytes != edit.footerBytes else { return }
            try edit.writeFooters(sealing(bytes, checksumAt: Footer.checksumOffset))
        }
    }
}
