public import BlockIO
public import ByteCodec
public import DiskModel

/// Makes new images, fixed or dynamic, on an empty file.
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
        func refused(_ text: String) -> DiskError { DiskError(.refused, path: file.path, text) }
        try checkSize(virtualByteCount, isFixed: type == .fixed, path: file.path)
        guard blockByteCount.isPowerOfTwo, blockByteCount >= sectorByteCount, blockByteCount <= largestBlockByteCount
        else {
            throw refused("a block of \(blockByteCount) bytes is no power of two from 512 to \(largestBlockByteCount)")
        }
        guard uniqueID != .zero else { throw refused("the Unique ID of a new image may not be all zeros") }
        guard creator.application.count == 4, creator.hostOS.count == 4 else {
            throw refused("a creator's application and host OS have four characters each")
        }
        var footer = Footer()
        footer.timestamp = created.rawValue
        footer.creatorApplication = creator.application
        footer.creatorVersion = creator.version
        footer.creatorHostOS = creator.hostOS
        (footer.originalSize, footer.currentSize) = (virtualByteCount, virtualByteCount)
        footer.geometry = writtenGeometry(virtualByteCount: virtualByteCount)
        footer.uniqueID = uniqueID
        try diskErrors(file.path, "creating the image") {
            guard try file.byteCount() == 0 else { throw refused("the file is not empty") }
            switch type {
            case .fixed: try createFixed(on: file, &footer)
            case .dynamic: try createDynamic(on: file, &footer, blockByteCount)
            }
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

    private static func createFixed(on file: any BlockFile, _ footer: inout Footer) throws(IOError) {
        footer.diskType = DiskTypeCode.fixed
        try file.resize(to: footer.currentSize)
        try file.write(footer.sealed(), at: footer.currentSize)
        try file.sync()
    }

    private static func createDynamic(
        on file: any BlockFile, _ footer: inout Footer, _ blockByteCount: UInt64
    ) throws(IOError) {
        footer.diskType = DiskTypeCode.dynamic
        footer.dataOffset = 512
        var header = DynamicHeader()
        header.tableOffset = 1536
        header.blockSize = UInt32(blockByteCount)
        // Below 2^32: 2040 GiB in blocks of at least 512 bytes are 0xff000000.
        header.maxTableEntries = UInt32(footer.currentSize.dividedRoundingUp(by: blockByteCount))
        let tableEnd = header.tableOffset + (4 * UInt64(header.maxTableEntries)).roundedUp(to: sectorByteCount)

        let piece = [UInt8](repeating: 0xff, count: Int(min(1 << 20, tableEnd - header.tableOffset)))
        var position = header.tableOffset
        while position < tableEnd {
            let count = Int(min(UInt64(piece.count), tableEnd - position))
            try file.write(piece.rawBytes.extracting(0..<count), at: position)
            position += UInt64(count)
        }
        try file.write(header.sealed(), at: footer.dataOffset)
        try file.sync()
        try file.write(footer.sealed(), at: tableEnd)
        try file.write(footer.sealed(), at: 0)
        try file.sync()
    }
}
