public import BlockIO
public import ByteCodec
public import DiskModel
import VHD
import VHDX

/// A differencing child that is to be made of an image. Making this value looks at everything and writes nothing; the
/// parent is never written, and kept from writers while the value is held.
public struct Snapshot {
    public let format: ImageFormat
    /// Of the child: its size and sectors are the parent's.
    public let geometry: DiskGeometry
    /// What the child will say about its parent.
    public let reference: ParentReference
    /// Images in the chain, with the child.
    public let depth: Int
    public let notes: [EditNote]
    /// What was noticed while opening the parent and those below, with the file's path.
    public let findings: [(path: String, finding: Finding)]
    /// Files below the child whose pending log was replayed in memory.
    public let replayedPaths: [String]
    /// The files below the child, from its parent down.
    public let chainPaths: [String]
    public let parentType: ImageType
    private let parent: ParentImage
    public var parentFile: OpenedFile { parent.file }
    private let blockByteCount: UInt64

    /// - Parameters:
    ///   - parentPath: a VHD or VHDX of any type, whose own parents are found.
    ///   - childPath: where the child will stand.
    ///   - blockByteCount: of the child; nil for 2 MiB.
    /// - Throws: `.refused` for a raw parent, for a block size the format has not, and for names that cannot be written;
    ///   `.chain` for a chain that is too deep already; `.busy` while somebody writes the parent; what opening throws.
    public init(
        of parentPath: String, as childPath: String, blockByteCount: UInt64? = nil, naming: ParentNaming = .init(),
        _ options: OpenOptions = .init()
    ) throws(DiskError) {
        parent = try ParentImage(parentPath, options)
        let layer = parent.layer
        (format, parentType, depth) = (layer.format, layer.type, parent.chain.layers.count + 1)
        (findings, replayedPaths) = (parent.findings, parent.replayedPaths)
        chainPaths = parent.chain.layers.map(\.file.path)
        self.blockByteCount = blockByteCount ?? Self.defaultBlockByteCount
        try Self.check(self.blockByteCount, layer.format, path: childPath)
        try Self.checkName(childPath, layer.format)
        geometry = DiskGeometry(
            virtualByteCount: layer.geometry.virtualByteCount,
            logicalSectorByteCount: layer.geometry.logicalSectorByteCount,
            physicalSectorByteCount: layer.geometry.physicalSectorByteCount, blockByteCount: self.blockByteCount)
        reference = try naming.reference(for: childPath, to: layer, in: parent.file.host)
        notes = EditNote.parentPlace(reference).map { [$0] } ?? []
    }

    public static let defaultBlockByteCount: UInt64 = 2 << 20

    /// Makes the child on an empty file, and opens it over its parent.
    /// - Parameters:
    ///   - uniqueID: of a VHD; a VHDX has the virtual disk ID of its parent.
    ///   - created: seconds since 1970, kept in a VHD.
    /// - Throws: as the formats' creators; `.chain` and `.format` when what was made does not open.
    public func create(on file: any BlockFile, uniqueID: GUID = .random(), created: Int64) throws(DiskError) {
        switch parent.layer {
        case let layer as VHDLayer:
            try VHDCreator.createChild(
                on: file, of: layer, named: reference, blockByteCount: blockByteCount, uniqueID: uniqueID,
                created: DiskTimestamp(unixSeconds: created))
        case let layer as VHDXLayer:
            try VHDXCreator.createChild(on: file, of: layer, named: reference, blockByteCount: blockByteCount)
        default:
            throw DiskError(.refused, path: parent.file.path, "only a VHD or a VHDX can have children")
        }
        try checkChild(file)
    }

    /// What was made is opened as a reader will do it.
    private func checkChild(_ file: any BlockFile) throws(DiskError) {
        let child = try ImageOpener.layer(reading: file)
        guard child.parentLink?.identities == [reference.identity], child.geometry == geometry else {
            throw DiskError(.chain, path: file.path, "what was made does not name its parent, or has another size")
        }
        _ = try ImageChain(leafFirst: [child] + parent.chain.layers)
    }

    // MARK: Checks

    private static func check(_ blockByteCount: UInt64, _ format: ImageFormat, path: String) throws(DiskError) {
        guard NewImage.blockByteCounts(format).contains(blockByteCount) else {
            let sizes = format == .vhd ? "512 KiB or 2 MiB" : "a power of two from 1 MiB to 256 MiB"
            throw DiskError(
                .refused, path: path, "a block of \(blockByteCount) bytes: a \(format.title) image has \(sizes)")
        }
    }

    /// Windows goes by the ending.
    private static func checkName(_ path: String, _ format: ImageFormat) throws(DiskError) {
        let name = path.lowercased()
        let others: [String] = format == .vhd ? [".vhdx", ".avhdx"] : [".vhd", ".avhd"]
        guard let ending = others.first(where: name.hasSuffix) else { return }
        let right = format == .vhd ? ".vhd or .avhd" : ".vhdx or .avhdx"
        throw DiskError(
            .refused, path: path, "the child of a \(format.title) is a \(format.title), and \(ending) says otherwise",
            hint: "let its name end with \(right)")
    }
}

extension EditNote {
    /// Where readers do not look for a parent by themselves.
    static func parentPlace(_ reference: ParentReference) -> EditNote? {
        guard !ParentNaming.isInReach(reference.relativePath) else { return nil }
        return EditNote(
            .parentPlace,
            "the parent stands at \(reference.relativePath) from the child, more than one folder up: these tools look for "
                + "it there only with --parent-dir and its folder; Windows does at once")
    }
}
