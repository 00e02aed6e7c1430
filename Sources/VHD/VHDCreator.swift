public import BlockIO
public import ByteCodec
public import DiskModel

/// Makes new images on an empty file: fixed and dynamic ones here, differencing ones in ChildCreator.swift.
public enum VHDCreator {
    public enum NewType: Sendable { case fixed, dynamic }

    /// The program a new image names as its maker.
    public struct Creator: Sendable {
        /// Four characters.
        public var application: [UInt8]
        public var version: UInt32
        public var hostOS: [UInt8]
        public init(application: [UInt8], version: UInt32, hostOS: [UInt8] = Array("Wi2k".utf8)) {
            (self.application, self.version, self.hostOS) = (application, version, hostOS)
        }
        /// Ours.
        public static let vhdtools = Creator(application: Array("vhdt".utf8), version: 0x0001_0000)
    }

    public static let defaultBlockByteCount: UInt64 = 2 << 20
    /// 2040 GiB, the largest dynamic image.
    public static let largestDynamicByteCount = VHD.largestDynamicByteCount

    /// Makes an image whose disk reads as zeros. A fixed one gets its length and then the footer; a dynamic one gets the
    /// block table and the dynamic header, a flush, and then the footer at the end and its copy at 0. Ends with a flush;
    /// a power cut before leaves a file that is no image, for want of a footer, or the whole image.
    ///
    /// The geometry is that of the size where it is exact, and else the maximum one, so that readers that go by geometry
    /// see the whole disk.
    /// - Parameters:
    ///   - virtualByteCount: a multiple of 512; at most `largestDynamicByteCount` for a dynamic image.
    ///   - blockByteCount: a power of two from 512 to 256 MiB; Windows opens only 512 KiB and 2 MiB.
    /// - Throws: `.refused` for a file that is not empty and for sizes that cannot be.
    public static func create(
        on file: any BlockFile, type: NewType, virtualByteCount: UInt64,
        blockByteCount: UInt64 = defaultBlockByteCount, uniqueID: GUID, created: DiskTimestamp,
        creator: Creator = .vhdtools
    ) throws(DiskError) {
        try checkSize(virtualByteCount, isFixed: type == .fixed, path: file.path)
        let builder = try VHDBuilder(
            on: file, type: type, virtualByteCount: virtualByteCount, blockByteCount: blockByteCount,
            uniqueID: uniqueID, created: created, creator: creator)
        try write(builder, "creating the image")
    }

    /// Body, flush, footers, flush; of a fixed image the body is its length, which needs no flush of its own.
    static func write(_ builder: VHDBuilder, _ doing: String) throws(DiskError) {
        try diskErrors(builder.file.path, doing) {
            try builder.writeBody()
            if builder.geometry.blockByteCount != nil { try builder.file.sync() }
            try builder.writeFooters()
            try builder.file.sync()
        }
    }

    /// Whether there can be a disk of that size.
    static func checkSize(_ virtualByteCount: UInt64, isFixed: Bool, path: String) throws(DiskError) {
        guard virtualByteCount > 0, virtualByteCount % sectorByteCount == 0 else {
            throw DiskError(
                .refused, path: path, "a disk of \(virtualByteCount) bytes is no whole number of 512-byte sectors")
        }
        guard virtualByteCount <= (isFixed ? UInt64(Int64.max) - sectorByteCount : largestDynamicByteCount) else {
            throw DiskError(
                .refused, path: path, "a disk of \(virtualByteCount) bytes is too large for this type of VHD",
                hint: isFixed ? nil : "the most is \(largestDynamicByteCount) bytes; a VHDX can be larger")
        }
    }
}
