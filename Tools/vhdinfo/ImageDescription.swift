import BlockIO
import ByteCodec
import DiskModel
import ImageChain
import Toolbox

/// The keys of the JSON result, in its order.
enum ResultKey: String, CaseIterable {
    case format, type
    case virtualSize = "virtual_size"
    case fileSize = "file_size"
    case allocatedBytes = "allocated_bytes"
    case blockSize = "block_size"
    case logicalSectorSize = "logical_sector_size"
    case physicalSectorSize = "physical_sector_size"
    case creator, created
    case createdRaw = "created_raw"
    case diskID = "disk_id"
    case writeIDs = "write_ids"
    case log, blocks, parent, chain
    case chainVerdict = "chain_verdict"
    case structures, gaps
    case gapCount = "gap_count"
    case findings, partitions, sealed

    /// Keys for which the whole block table is read.
    static let fromCensus: Set<Self> = [.allocatedBytes, .blocks, .gaps, .gapCount, .findings]
}

/// A range of the file that nothing claims.
struct Gap {
    var range: Range<UInt64>
    /// Nil when it is too long to look at.
    var isZero: Bool?
}

/// All that is known about one image. The file is only read.
struct ImageDescription {
    let path: String
    /// Of the file as it lies on the disk, whatever a log says that was replayed in memory.
    let fileByteCount: UInt64
    let isSealed: Bool
    /// Leaf first, as far as the parents were found.
    let links: [ChainLink]
    let leaf: any DiskLayer
    /// Nil for raw images.
    let report: ImageReport?
    /// Nil for raw images, when it was not wanted, and when the table is damaged.
    let census: BlockCensus?
    let gaps: [Gap]
    /// Nil when the disk cannot be read because a parent is missing, and when it was not wanted.
    let partitions: PartitionGlance?
    let parent: ParentSearchResult?
    let chainFindings: [Finding]
    /// Nil when it was not wanted.
    let diagnosis: ChainDiagnosis?

    /// Why the chain cannot be read.
    let chainError: DiskError?
    let censusError: DiskError?
    let partitionsError: DiskError?

    /// - Throws: when the image itself cannot be opened.
    init(
        _ path: String, _ file: PosixFile, _ options: OpenOptions, wanting keys: Set<ResultKey>, diagnosesChain: Bool
    ) throws(DiskError) {
        self.path = path
        do { fileByteCount = try file.byteCount() } catch { throw DiskError(error) }
        // Held until the chain is open, so that a key is found once.
        let opened = try options.files.open(file)
        isSealed = opened.isSealed
        (links, chainFindings) = try ImageChain.walk(path, options)
        leaf = links[0].layer
        parent = ParentSearchResult(links)

        let inspectable = leaf as? any InspectableLayer
        report = try inspectable?.report()
        let wantsCensus = !keys.isDisjoint(with: ResultKey.fromCensus)
        (census, censusError) = Self.attempt { () throws(DiskError) in wantsCensus ? try inspectable?.census() : nil }
        gaps = keys.contains(.gaps) ? try Self.gaps(census, leaf.file) : []

        let layers = links.map(\.layer)
        ImageChain.shareCaches(among: layers)
        let missing = links.last?.parentError
        let chain: ImageChain?
        (chain, chainError) = Self.attempt { () throws(DiskError) in
            if let missing { throw missing }
            _ = try UnfinishedMerge.check(layers, accepting: options.accepted)
            return try ImageChain(leafFirst: layers)
        }
        var checks = CheckOptions()
        checks.now = ToolRun.now()
        diagnosis =
            diagnosesChain ? try ChainDiagnosis(links, error: chainError, options, checks) { _, _ in } : nil
        (partitions, partitionsError) = Self.attempt { () throws(DiskError) in
            guard let chain, keys.contains(.partitions) else { return nil }
            return try PartitionGlance(chain)
        }
    }

    private static func attempt<Value>(_ body: () throws(DiskError) -> Value?) -> (Value?, DiskError?) {
        do { return (try body(), nil) } catch { return (nil, error) }
    }

    private static func gaps(_ census: BlockCensus?, _ file: any BlockFile) throws(DiskError) -> [Gap] {
        var check = ZeroCheck(file)
        do {
            return try (census?.gaps ?? []).map { (range) throws(IOError) in
                Gap(range: range, isZero: try check.isZero(range))
            }
        } catch { throw DiskError(error, doing: "looking at gaps") }
    }

    /// Read after the tables were: looking at them adds findings.
    var findings: [Finding] { leaf.findings + chainFindings }

    /// What a person should notice: without the pending log, which is said otherwise, and without information.
    var problems: [Finding] {
        findings.filter { $0.severity > .information && !(leaf.hasReplayedLog && $0.detail.code.rawValue == "VHDX005") }
    }

    /// Says on standard error, in the document and by the exit status what is not as it should be.
    func report(to run: ToolRun) {
        for link in links {
            let layer = link.layer
            run.warn(link.path, layer.findings)
            if layer.hasReplayedLog { run.noteReplayedLog(link.path) }
        }
        // A diagnosis says it in more words.
        let isToldBelow = diagnosis?.unfinishedMerge != nil
        run.warn(path, chainFindings.filter { $0.detail.code != .unfinishedMerge || !isToldBelow })
        if problems.contains(where: { $0.severity == .error }) { run.raise(.partial) }
        if let chainError {
            run.warn(
                chainError.path, chainError.explanation,
                code: chainError.kind == .identityMismatch
                    ? FormatError.Code.parentIdentity.rawValue : chainError.formatError?.code.rawValue,
                offset: chainError.formatError?.offset)
            run.raise(chainError.kind == .key ? .key : .partial)
        }
        if let merge = diagnosis?.unfinishedMerge {
            run.warn(
                links[merge.linkIndex].path,
                "a merge into \(merge.target ?? "its parent") was begun and not finished: \(merge.meaning)")
        }
        if let diagnosis, diagnosis.errorCount + diagnosis.warningCount > 0 { run.raise(.partial) }
        // The first is the cause of the second, if both are there.
        if let error = censusError ?? partitionsError { run.fail(error) }
    }
}

/// How the search for the leaf's parent ended.
struct ParentSearchResult {
    enum Outcome: String { case match, mismatch, missing, locked }
    let outcome: Outcome
    let link: ParentLink
    let candidates: [ParentCandidate]
    /// The file found, be it the right one or not.
    let path: String?
    let found: DiskIdentity?

    /// Nil when the leaf has no parent.
    init?(_ links: [ChainLink]) {
        let child = links[0]
        guard let link = child.layer.parentLink else { return nil }
        (self.link, candidates) = (link, child.candidates)
        var wrong: (path: String, id: DiskIdentity)?
        for candidate in child.candidates {
            switch candidate.outcome {
            case .match:
                (outcome, path) = (.match, candidate.path)
                found = links.count > 1 ? links[1].layer.identity : nil
                return
            case .mismatch(let id): wrong = wrong ?? (candidate.path, id)
            default: break
            }
        }
        if wrong == nil, let error = child.parentError, error.isMissingKey {
            (outcome, path, found) = (.locked, error.path, nil)
            return
        }
        (outcome, path, found) = (wrong == nil ? .missing : .mismatch, wrong?.path, wrong?.id)
    }
}

/// Tells whether ranges of a file are zero; so many bytes and no more are read for that, holes not counted.
struct ZeroCheck {
    private let file: any BlockFile
    private var budget: UInt64 = 64 << 20
    private static let pieceByteCount: UInt64 = 1 << 20

    init(_ file: any BlockFile) { self.file = file }

    /// Nil when the answer takes too long.
    mutating func isZero(_ range: Range<UInt64>) throws(IOError) -> Bool? {
        var position = range.lowerBound
        while position < range.upperBound, let data = try file.data(from: position) {
            position = max(position, data.lowerBound)
            guard position < range.upperBound else { return true }
            guard budget > 0 else { return nil }
            let end = min(range.upperBound, data.upperBound, position + Self.pieceByteCount)
            guard try file.isZero(position..<end) else { return false }
            budget -= min(budget, end - position)
            position = end
        }
        return true
    }
}
