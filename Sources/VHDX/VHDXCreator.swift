public import BlockIO
public import ByteCodec
public import DiskModel

/// Makes new images.
///
/// Order: length, table (fixed images only; zeros otherwise), metadata, region tables, identifier, flush; then
/// header 1 and header 2, flush. A cut before the first header is whole leaves a file without a valid header, which
/// does not open.
public enum VHDXCreator {
    /// Creates an image on an empty file, all zeros. The log stands at 1 MiB (1 MiB long), metadata at 2 MiB, the
    /// table at 3 MiB, blocks behind it. A fixed image has all blocks, in order, as holes of the host file where it
    /// can have such.
    /// - Parameters:
    ///   - virtualByteCount: whole logical sectors, up to 64 TiB.
    ///   - blockByteCount: a power of two from 1 MiB to 256 MiB.
    ///   - logicalSectorByteCount: 512 or 4096; so for the physical one.
    ///   - creator: up to 256 UTF-16 code units; the rest is cut off.
    ///   - newGUID: where FileWriteGuid and DataWriteGuid come from.
    /// - Throws: `.refused` for parameters the format does not allow and for a file that is not empty; `.io`.
    public static func create(
        on file: any BlockFile, type: ImageType, virtualByteCount: UInt64, blockByteCount: UInt64 = 32 << 20,
        logicalSectorByteCount: Int = 512, physicalSectorByteCount: Int = 4096, virtualDiskID: GUID = .random(),
        creator: String = "vhdtools", newGUID: () -> GUID = { .random() }
    ) throws(DiskError) {
        let builder = try VHDXBuilder(
            on: file, type: type, virtualByteCount: virtualByteCount, blockByteCount: blockByteCount,
            logicalSectorByteCount: logicalSectorByteCount, physicalSectorByteCount: physicalSectorByteCount,
            virtualDiskID: virtualDiskID, creator: creator, newGUID: newGUID)
        try diskErrors(file.path, "creating the image") {
            try builder.writeBody()
            try file.sync()
            try builder.writeHeaders()
            try file.sync()
        }
    }
}
