import BlockIO
public import ByteCodec
public import DiskModel
import Glibc

/// One step of a chain being opened: the layer, and how its parent was looked for.
public struct ChainLink: Sendable {
    public var path: String
    public var layer: any DiskLayer
    /// Where its parent was looked for; empty for a base image.
    public var candidates: [ParentCandidate] = []
    /// Nil when the parent was found, or none is needed.
    public var parentError: DiskError?
}

extension ImageChain {
    /// Opens an image and all its parents for reading.
    /// - Throws: `DiskError`; `.parentMissing` and `.identityMismatch` name the link, and the ids expected and found.
    public static func open(_ path: String, _ options: OpenOptions = .init()) throws(DiskError) -> ImageChain {
        try open(try options.files.open(path), options)
    }

    /// Opens an image whose file is open already, and all its parents, for reading.
    /// - Throws: as for a path.
    public static func open(_ file: OpenedFile, _ options: OpenOptions = .init()) throws(DiskError) -> ImageChain {
        let leaf = try ImageOpener.layer(reading: file.contents, options)
        let (links, findings) = try walk(from: leaf, file.identity, file.path, options)
        if let error = links.last?.parentError { throw error }
        let layers = links.map(\.layer)
        let mixture = try UnfinishedMerge.check(layers, accepting: options.accepted)
        // Before the tables are gone through, which fills what is kept of them.
        shareCaches(among: layers)
        return try ImageChain(leafFirst: layers, findings: findings + mixture + sharedSpace(layers, options))
    }

    /// Opens an image for writing under the writer's lock, its parents for reading.
    public static func open(writing path: String, _ options: OpenOptions = .init()) throws(DiskError) -> ImageChain {
        let file = try options.files.open(path, .write, doing: "opening for writing")
        // Nothing is repaired or replayed in an image that may not be written.
        _ = try UnfinishedMerge.check([try ImageOpener.layer(reading: file.contents, options)])
        let leaf = try ImageOpener.layer(writing: file.contents, options)
        let (links, findings) = try walk(from: leaf, file.identity, path, options)
        if let error = links.last?.parentError { throw error }
        let layers = links.map(\.layer)
        _ = try UnfinishedMerge.check(layers)
        shareCaches(among: layers)
        // A leaf open for writing was looked through before.
        return try ImageChain(
            leafFirst: layers, writableLeaf: leaf, findings: findings + sharedSpace(layers.dropFirst(), options))
    }

    /// Looks through the tables of layers for blocks that share space.
    /// - Returns: what was accepted.
    /// - Throws: `DiskError` with a `FormatError` for the first such pair.
    public static func sharedSpace(
        _ layers: some Sequence<any DiskLayer>, _ options: OpenOptions
    ) throws(DiskError) -> [Finding] {
        var accepted: [Finding] = []
        guard options.checksSharedSpace else { return [] }
        for case let layer as any InspectableLayer in layers {
            do { accepted += try layer.checkSharedSpace(accepting: options.accepted) } catch {
                var error = error
                if let code = error.formatError?.code {
                    error.hint = "two blocks show the same bytes; --accept \(code) reads them as they are"
                }
                throw error
            }
        }
        return accepted
    }

    /// Opens an image and its parents as far as they are found; a parent that is not ends the walk with the reason in
    /// the last link.
    public static func walk(_ path: String, _ options: OpenOptions = .init()) throws(DiskError)
        -> (links: [ChainLink], findings: [Finding])
    {
        let file = try options.files.open(path)
        return try walk(from: try ImageOpener.layer(reading: file.contents, options), file.identity, path, options)
    }

    /// Where the parent of a child at `path` would be looked for; nothing is opened, each outcome is `.missing` or
    /// `.outside`.
    public static func parentCandidates(
        of path: String, _ link: ParentLink, _ options: OpenOptions = .init()
    ) -> [ParentCandidate] {
        ParentSearch(childPath: path, link: link, options: options).candidates()
    }

    static func walk(
        from leaf: any DiskLayer, _ leafIdentity: PosixFile.Identity, _ leafPath: String, _ options: OpenOptions
    ) throws(DiskError) -> (links: [ChainLink], findings: [Finding]) {
        var links = [ChainLink(path: leafPath, layer: leaf)]
        var findings: [Finding] = []
        var seen = [leafIdentity: leaf.identity]
        while let link = links[links.count - 1].layer.parentLink {
            let child = links[links.count - 1]
            var search = Search(link: link, child: child, options: options, seen: seen)
            let found = search.run()
            links[links.count - 1].candidates = search.candidates
            guard let found else {
                links[links.count - 1].parentError = search.error()
                break
            }
            guard links.count < ImageChain.depthLimit else {
                links[links.count - 1].parentError = DiskError(
                    .chain, path: leafPath, "the chain is deeper than \(ImageChain.depthLimit) images",
                    hint: "merge some of them, vhdmerge, or make one image of it, vhdconvert")
                break
            }
            findings += search.findings
            if UnfinishedMerge.isMarked(child.layer, found.layer) {
                findings.append(Finding(.warning, unfinishedMerge(into: found.file.path)))
            }
            seen[found.file.identity] = found.layer.identity
            links.append(ChainLink(path: found.file.path, layer: found.layer))
        }
        return (links, findings)
    }

    private static func unfinishedMerge(into path: String) -> FormatError {
        FormatError(
            .unfinishedMerge, field: "a merge", offset: 0,
            "into \(path) was interrupted: until vhdmerge completes it, only the image that it was begun with reads right",
            section: "")
    }

    /// The search for one parent.
    private struct Search {
        let link: ParentLink
        let child: ChainLink
        let options: OpenOptions
        /// The chain so far.
        let seen: [PosixFile.Identity: DiskIdentity]
        var candidates: [ParentCandidate] = []
        var findings: [Finding] = []
        var failure: DiskError?

        mutating func run() -> (file: OpenedFile, layer: any DiskLayer)? {
            let search = ParentSearch(childPath: child.path, link: link, options: options)
            candidates = search.candidates()
            var accepted: (file: OpenedFile, layer: any DiskLayer)?
            for index in candidates.indices where candidates[index].outcome == .missing {
                let path = candidates[index].path
                let host: PosixFile
                do { host = try PosixFile(path) } catch {
                    if error.reason != .errno(ENOENT) { candidates[index].outcome = .unusable(error.explanation) }
                    if let tooMany = tooManyFiles(error) { failure = failure ?? tooMany }
                    continue
                }
                guard search.isContained(path) else { candidates[index].outcome = .outside; continue }
                if let own = seen[host.identity] {
                    candidates[index].outcome = .unusable("already part of this chain: it would be its own ancestor")
                    // With another id it is only a file of the same name.
                    if failure == nil, link.identities.contains(own) {
                        failure = DiskError(.chain, path: path, "it is already part of this chain, which loops")
                    }
                    continue
                }
                do {
                    var layerOptions = options
                    layerOptions.format = child.layer.format
                    let file = try options.files.open(host)
                    let layer = try ImageOpener.layer(reading: file.contents, layerOptions)
                    if layer.isNamed(by: link) {
                        candidates[index].outcome = .match
                        return (file, layer)
                    }
                    candidates[index].outcome = .mismatch(layer.identity)
                    accepted = accepted ?? (file, layer)
                } catch {
                    candidates[index].outcome = .unusable(error.explanation)
                    // The parent is there and damaged: that, not "missing", is what the user must hear.
                    if failure == nil, error.kind != .unrecognised { failure = error }
                }
            }
            if options.accepted.contains(.parentIdentity), let accepted {
                findings.append(Finding(.error, mismatch(accepted.layer.identity, accepted.file.path)))
                return accepted
            }
            return nil
        }

        /// Each image of a chain stays open.
        private func tooManyFiles(_ error: IOError) -> DiskError? {
            guard error.reason == .errno(EMFILE) || error.reason == .errno(ENFILE) else { return nil }
            return DiskError(
                .io, path: error.path, cause: .io(error),
                hint: "\(seen.count) images of the chain are open, each of which needs a file of its own: allow more, "
                    + "ulimit -n 1024")
        }

        private func mismatch(_ found: DiskIdentity, _ path: String) -> FormatError {
            FormatError(
                .parentIdentity, field: "parent identity", offset: 0,
                "is \(found) in \(path), expected \(expected)", section: "")
        }

        private var expected: String {
            link.identities.isEmpty ? "none" : link.identities.map(\.description).joined(separator: " or ")
        }

        func error() -> DiskError {
            for candidate in candidates {
                guard case .mismatch(let found) = candidate.outcome else { continue }
                return DiskError(
                    .identityMismatch, path: child.path,
                    "its parent must have the id \(expected), but \(candidate.path) has \(found)",
                    hint: "bring back the right parent, or name its folder with --parent-dir; \(lookFurther)")
            }
            if let failure {
                return DiskError(
                    failure.kind, path: failure.path, doing: "opening the parent of \(child.path)",
                    cause: failure.cause, hint: failure.hint)
            }
            let looked = candidates.map { candidate in
                switch candidate.outcome {
                case .outside: "\(candidate.path) (outside the allowed folders)"
                case .unusable(let why): "\(candidate.path) (\(why))"
                default: candidate.path
                }
            }
            return DiskError(
                .parentMissing, path: child.path,
                "its parent (id \(expected)) was not found; looked at \(looked.isEmpty ? "nothing: no locator is usable" : looked.joined(separator: ", "))",
                hint: "name the parent's folder with --parent-dir; \(lookFurther)")
        }

        private var lookFurther: String {
            "vhdinfo --chain \(child.path) finds it under other names, too, and says what mends the link"
        }
    }
}
