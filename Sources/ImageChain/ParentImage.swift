import BlockIO
import ByteCodec
import DiskModel

/// An image that is to be the parent of another, open with all its own parents. While it is held no writer gets its file.
struct ParentImage {
    let file: OpenedFile
    let chain: ImageChain
    var layer: any DiskLayer { chain.leaf }

    /// - Throws: `.refused` for a raw disk; `.busy` while somebody writes the image; what opening a chain throws; `.format`
    ///   for an entry of a block table, in any layer, that a reader would stop at.
    init(_ path: String, _ options: OpenOptions) throws(DiskError) {
        let host: PosixFile
        do {
            host = try PosixFile(path)
            try host.keepWritersAway()
        } catch { throw DiskError(error, doing: "") }
        file = try options.files.open(host)
        guard options.format != .raw, try ImageOpener.recognise(file.contents) != nil else {
            throw DiskError(
                .refused, path: path, "neither a VHD nor a VHDX image, and a raw disk is no parent",
                hint:
                    "it has no id, so that nothing could tell whether it is the right one: vhdconvert makes an image of it"
            )
        }
        chain = try ImageChain.open(file, options)
        try ImageChain.checkTables(chain.layers, accepting: options.accepted)
        guard chain.layers.count < ImageChain.depthLimit else {
            throw DiskError(
                .chain, path: path,
                "it stands on a chain of \(chain.layers.count) images, and \(ImageChain.depthLimit) with the child are the most",
                hint: "vhdmerge makes the chain shorter, vhdconvert makes one image of it")
        }
        guard layer.identity.id != .zero else {
            throw DiskError(
                .refused, path: path, "it has no id that a child could name",
                hint: "vhdcheck --repair=id gives it one")
        }
    }

    /// What the files of the chain are, from this image down.
    func fileIdentities() throws(DiskError) -> [PosixFile.Identity] {
        do {
            var result = [file.identity]
            for layer in chain.layers.dropFirst() { result.append(try PosixFile(layer.file.path).identity) }
            return result
        } catch { throw DiskError(error, doing: "") }
    }

    /// What was noticed while opening, with the file's path.
    var findings: [(path: String, finding: Finding)] {
        chain.findings.map { (file.path, $0) }
            + chain.layers.flatMap { layer in layer.findings.map { (layer.file.path, $0) } }
    }

    /// Files whose pending log was replayed in memory.
    var replayedPaths: [String] { chain.layers.filter(\.hasReplayedLog).map(\.file.path) }
}
