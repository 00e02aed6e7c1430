public import BlockIO
public import DiskModel

/// Sees, when reading has come to its end, whether what was read is still what was opened: somebody who merges into an
/// image or writes it meanwhile makes a mixture of what a reader gets.
///
/// What counts is the open file, whatever its name is now: of an image that was merged away the reader still has all bytes.
/// Of a file that was written it cannot be known which bytes were read before and which after, so that it counts as
/// changed though they may all be right, as they are in the leaf of a merge: nothing shows a reader that its own leaf is the
/// one that is merged, and not a child of it.
public struct ReadWitness: Sendable {
    private let layers: [any DiskLayer]
    private let options: OpenOptions

    /// - Parameters:
    ///   - layers: as they were opened for reading, at any time before `check`: the files remember how they were then.
    ///   - options: with which they were opened.
    public init(_ layers: some Sequence<any DiskLayer>, _ options: OpenOptions = .init()) {
        (self.layers, self.options) = (Array(layers), options)
    }

    /// To be called after the last read, and before anything is made of what was read.
    /// - Throws: `.refused` with the first file that was changed since it was opened; `.io`.
    public func check() throws(DiskError) {
        for layer in layers {
            guard let host = layer.file.storage else { continue }
            try Self.check(host)
            // Where the time of the last write is coarse, or was set back.
            guard isSame(layer) else { throw Self.changed(host) }
        }
    }

    /// For one whose bytes were read as they are.
    public static func check(_ file: PosixFile) throws(DiskError) {
        let now: PosixFile.Version
        do throws(IOError) { now = try file.version() } catch { throw DiskError(error) }
        guard now == file.versionAtOpening else { throw changed(file) }
    }

    /// The id by which children know it, and the mark of a merge, read from the file anew. A raw disk has neither.
    private func isSame(_ layer: any DiskLayer) -> Bool {
        guard layer.format != .raw else { return true }
        var options = options
        options.format = layer.format
        guard let now = try? ImageOpener.layer(reading: layer.storedFile, options) else { return false }
        return now.identity == layer.identity && now.unfinishedMerge == layer.unfinishedMerge
    }

    private static func changed(_ file: PosixFile) -> DiskError {
        DiskError(.refused, path: file.path, "was changed while it was being read", hint: "read it again")
    }
}

extension DiskLayer {
    /// Below the overlay in which a pending log was replayed.
    var storedFile: any BlockFile {
        var file = file
        while let overlay = file as? OverlayFile { file = overlay.base }
        return file
    }

    /// Whether what it holds is encrypted on the disk.
    public var isSealed: Bool { file.storage != nil && storedFile.hostFile == nil }
}

extension ImageChain {
    /// Sees that no image of the chain was changed since it was opened.
    /// - Throws: as `ReadWitness`.
    public func checkUnchanged(_ options: OpenOptions = .init()) throws(DiskError) {
        try ReadWitness(layers, options).check()
    }
}
