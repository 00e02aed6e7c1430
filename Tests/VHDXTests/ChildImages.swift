import BlockIO
import ByteCodec
import DiskModel
import Testing

@testable import VHDX

extension ParentReference {
    /// A reference to an open image.
    init(
        to parent: VHDXLayer, _ relativePath: String = "base/parent.vhdx", absolutePath: String? = nil,
        volumePath: String? = nil
    ) {
        self.init(
            identity: parent.identity, modified: 0, relativePath: relativePath, absolutePath: absolutePath,
            volumePath: volumePath)
    }

    /// A reference to an image that is not there.
    init(
        _ id: GUID, _ relativePath: String, absolutePath: String? = nil, volumePath: String? = nil
    ) {
        self.init(
            identity: DiskIdentity(format: .vhdx, id: id), modified: 0, relativePath: relativePath,
            absolutePath: absolutePath, volumePath: volumePath)
    }
}

/// A child made by us, in memory, of an image that names nothing but itself.
func makeChild(
    of parent: MemoryFile.Contents, _ relativePath: String = "base/parent.vhdx", absolutePath: String? = nil,
    volumePath: String? = nil, blockByteCount: UInt64 = 1 << 20
) throws -> MemoryFile {
    let file = MemoryFile()
    let layer = try VHDXLayer(reading: MemoryFile(parent))
    try VHDXCreator.createChild(
        on: file, of: layer,
        named: ParentReference(to: layer, relativePath, absolutePath: absolutePath, volumePath: volumePath),
        blockByteCount: blockByteCount, creator: "test")
    return file
}

/// The pairs of an image's parent locator as lines.
func locatorLines(_ file: any BlockFile) throws -> [String] {
    try VHDXLayer(reading: file).parentLocatorPairs.map { "\($0.key)=\($0.value)" }
}

extension TinyImage {
    init(_ contents: MemoryFile.Contents) { self.contents = contents }

    /// Gives the metadata region another place at the end of the file, and another length.
    mutating func moveMetadata(byteCount: UInt64) -> UInt64 {
        let start = append(bytes(Self.metadata, 1 << 20), count: byteCount)
        inRegionTables(64, start)
        inRegionTables(72, UInt32(byteCount))
        return start
    }
}
