import BlockIO
import ByteCodec
public import DiskModel
import VHD
import VHDX

/// One image of a chain: what it is, what its check found, and how it stands to its parent.
public struct LinkDiagnosis: Sendable {
    public let path: String
    public let format: ImageFormat
    public let type: ImageType
    public let geometry: DiskGeometry
    public let identity: DiskIdentity
    /// Of the file; nil when it cannot be told any more.
    public private(set) var fileByteCount: UInt64?
    public private(set) var log = MetadataLogReport(state: .none)
    /// What the check of the image found, and what breaks a rule between it and its parent.
    public private(set) var findings: [CheckFinding] = []
    /// Findings that were counted and not kept.
    public private(set) var droppedCount = 0
    /// Whether all that the image itself shows can be read; its parents aside.
    public private(set) var isReadable = true
    /// Why the check did not come to its end.
    public private(set) var checkError: DiskError?
    /// Nil for a base image.
    public private(set) var parent: ParentDiagnosis?
    /// Whether it names its parent by two ids, the sign of a merge that was interrupted. Another link would take the sign
    /// away, and the image would pass for right.
    let namesTwoParents: Bool
    public internal(set) var repairs: [ChainRepair] = []

    init(_ link: ChainLink, _ checks: CheckOptions, _ options: OpenOptions) {
        (path, format, type) = (link.path, link.layer.format, link.layer.type)
        (geometry, identity) = (link.layer.geometry, link.layer.identity)
        namesTwoParents = UnfinishedMerge.namesTwoParents(link.layer)
        do {
            // The file itself: the layer may show it as after the replay of its log.
            let file = try options.files.open(link.path)
            fileByteCount = try file.host.byteCount()
            if let layer = link.layer as? any InspectableLayer { log = try layer.report().log }
            guard let report = try Self.report(file.contents, format, checks) else { return }
            (findings, droppedCount, isReadable) = (report.findings, report.droppedCount, report.isReadable)
        } catch let error as DiskError {
            (checkError, isReadable) = (error, false)
        } catch let error as IOError {
            (checkError, isReadable) = (DiskError(error), false)
        } catch {
            (checkError, isReadable) = (DiskError(.io, path: link.path, "\(error)"), false)
        }
    }

    /// Nil for a raw disk, which has nothing to check.
    static func report(_ file: any BlockFile, _ format: ImageFormat, _ checks: CheckOptions) throws(DiskError)
        -> CheckReport?
    {
        switch format {
        case .raw: nil
        case .vhd: try VHDChecker.check(file, checks) { _, _ in }
        case .vhdx: try VHDXChecker.check(file, checks) { _, _ in }
        }
    }

    mutating func addParent(of link: ChainLink, _ next: ChainLink?, in chain: [ChainLink], _ options: OpenOptions) {
        parent = ParentDiagnosis(of: link, next, in: chain, options)
        if let next { findings += ImageChecker.parentFindings(link.layer, next) }
    }

    public var errorCount: Int { count(.error) + (checkError == nil ? 0 : 1) }
    public var warningCount: Int { count(.warning) }

    /// A pending log aside, which is no fault and has a word of its own.
    private func count(_ severity: Finding.Severity) -> Int {
        findings.count { $0.finding.severity == severity && !$0.isPendingLog }
    }
}

extension CheckFinding {
    /// Whether it says no more than that the log is pending.
    public var isPendingLog: Bool { finding.severity == .warning && finding.detail.code.rawValue == "VHDX005" }
}
