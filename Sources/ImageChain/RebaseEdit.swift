import BlockIO
import ByteCodec
import DiskModel
import VHD
import VHDX

/// What moving a child onto a parent writes. The child's file is the caller's alone; parents are only read.
///
/// Order of writes:
/// 1. Where the contents are to stay and the new parent shows other bytes than the old one: the old one's bytes, into the
///    child, as the formats' writers do it (`Writer` of VHD and VHDX). A loss of power here leaves the child on its old
///    parent; each sector shows the old parent's bytes, from there or from the child itself, which are the same.
/// 2. Flush and close: all these bytes are durable. From here on the child shows the same over either parent.
/// 3. The link, as `VHDLinkEditor` and `VHDXLinkEditor` write it: after a loss the child names its old parent or its new
///    one.
///
/// The same call again brings it to its end: what the child holds already is not looked at again.
struct RebaseEdit {
    /// The new parent.
    let reference: ParentReference
    /// Whether what the child shows may change: children made of it then must not open any more.
    let changesData: Bool
    /// Old and new parent's disks, where the contents are to stay.
    let parents: (old: any VirtualDisk, new: any VirtualDisk)?
    /// Sees whether these were changed meanwhile: then the child keeps the parent it has.
    var witness: ReadWitness?

    /// - Throws: as the formats' writers and link editors; what `progress` throws ends step 1 at a safe point.
    func perform(on file: any BlockFile, progress: EditProgress) throws(DiskError) -> HeldByteCount {
        var held = HeldByteCount()
        if let parents { held = try Self.fill(file, reference.identity.format, parents, progress: progress) }
        try witness?.check()
        try relink(file)
        return held
    }

    /// Steps 1 and 2.
    static func fill(
        _ file: any BlockFile, _ format: ImageFormat, _ parents: (old: any VirtualDisk, new: any VirtualDisk),
        progress: EditProgress
    ) throws(DiskError) -> HeldByteCount {
        let child = try writableLayer(file, format)
        var difference = ParentDifference(of: child, from: parents.old, to: parents.new)
        let held = try difference.run(
            copy: { (offset, bytes) throws(DiskError) in try child.write(bytes, at: offset) },
            zero: { (range) throws(DiskError) in try child.writeZeroes(range) }, progress: progress)
        try child.flush()
        try child.close()
        return held
    }

    /// Step 3.
    func relink(_ file: any BlockFile) throws(DiskError) {
        switch reference.identity.format {
        case .vhdx: try VHDXLinkEditor.relink(file, to: reference, changesData: changesData)
        default: try VHDLinkEditor.relink(file, to: reference)
        }
    }

    /// What the child shows stays, and so does the DataWriteGuid by which its own children know it.
    private static func writableLayer(
        _ file: any BlockFile, _ format: ImageFormat
    ) throws(DiskError) -> any WritableDiskLayer {
        guard format == .vhdx else { return try VHDLayer(writing: file) }
        let id = try VHDXLayer(reading: file).dataWriteGUID
        return try VHDXLayer(writing: file, dataWriteGUID: id)
    }
}
