public import BlockIO
import ByteCodec
public import DiskModel
import Glibc
import VHD
import VHDX

/// What checking an image, and its place below its parent, found.
public struct ImageCheck: Sendable {
    public var format: ImageFormat
    /// Nil for an image that does not open.
    public var type: ImageType?
    public var report: CheckReport
    /// Of a differencing image that opens: where its parent is; nil when it was not found.
    public var parentPath: String?
}

/// Checks images of all formats, and repairs them.
public enum ImageChecker {
    /// The format to check a file as, also where the mark that says so is damaged: then the user has to insist.
    /// - Throws: `.unrecognised`, also for another format than the one insisted on; `.refused` for raw disks.
    public static func format(of file: any BlockFile, insistingOn wanted: ImageFormat?) throws(DiskError) -> ImageFormat
    {
        guard wanted != .raw else {
            throw DiskError(
                .refused, path: file.path, "a raw disk has no structures: there is nothing to check",
                hint: "check what stands on it, such as its file systems")
        }
        let found = try ImageOpener.recognise(file)
        if let found, let wanted, found != wanted {
            throw DiskError(
                .unrecognised, path: file.path, "not a \(wanted.title) image: the contents are \(found.title)")
        }
        guard let format = wanted ?? found else {
            throw DiskError(
                .unrecognised, path: file.path, "neither a VHD nor a VHDX image: no signature",
                hint: "if it is one and damaged, say which: --format vhd, --format vhdx")
        }
        return format
    }

    /// Holds an image against every rule of its format, and against its parent where it has one. Changes nothing.
    /// - Parameters:
    ///   - file: the image; may be an overlay that shows it as it would be.
    ///   - identity: of the image's file, which must not be its own ancestor.
    ///   - options: format and folders for parents.
    /// - Throws: `DiskError` for failed I/O and for what is no image.
    public static func check(
        _ file: any BlockFile, identity: PosixFile.Identity, _ options: OpenOptions, _ checks: CheckOptions,
        progress: EditProgress
    ) throws(DiskError) -> ImageCheck {
        let format = try format(of: file, insistingOn: options.format)
        let report =
            switch format {
            case .vhdx: try VHDXChecker.check(file, checks, progress: progress)
            default: try VHDChecker.check(file, checks, progress: progress)
            }
        var result = ImageCheck(format: format, report: report)
        try checkParent(file, identity, options, &result)
        return result
    }

    /// Does the repairs asked for where they apply. The caller has the file for writing, and checks again.
    public static func repair(
        _ file: any BlockFile, as format: ImageFormat, _ kinds: Set<RepairKind>, _ checks: CheckOptions,
        progress: EditProgress
    ) throws(DiskError) -> [RepairAction] {
        switch format {
        case .vhdx: try VHDXChecker.repair(file, kinds, checks, progress: progress)
        default: try VHDChecker.repair(file, kinds, checks, progress: progress)
        }
    }

    // MARK: Parents

    private static func checkParent(
        _ file: any BlockFile, _ identity: PosixFile.Identity, _ options: OpenOptions, _ result: inout ImageCheck
    ) throws(DiskError) {
        // What stops a reader is in the report already; the parent's rules are about the rest.
        var reading = options
        reading.format = result.format
        reading.accepted = Set(result.report.findings.map(\.finding.detail.code))
        guard let layer = openedLayer(file, reading) else { return }
        result.type = layer.type
        guard layer.type == .differencing else { return }
        reading.accepted = []
        let links: [ChainLink]
        do { links = try ImageChain.walk(from: layer, identity, file.path, reading).links } catch {
            return addParentError(missing(result.format, error), to: &result.report)
        }
        // Nothing is known to be wrong with the image then.
        if let error = links.last?.parentError, error.kind == .key { throw error }
        if links.count > 1 {
            result.parentPath = links[1].path
            for finding in parentFindings(layer, links[1]) {
                result.report.add(finding.finding.severity, finding.finding.detail, repairs: finding.repairs)
                if finding.finding.severity == .error { result.report.isReadable = false }
            }
        }
        do { _ = try UnfinishedMerge.check(links.map(\.layer)) } catch {
            if let finding = error.formatError { addParentError(finding, to: &result.report) }
        }
        if let error = links.last?.parentError { addParentError(missing(result.format, error), to: &result.report) }
    }

    /// Nobody reads a child without its parent.
    private static func addParentError(_ error: FormatError, to report: inout CheckReport) {
        report.add(.error, error)
        report.isReadable = false
    }

    private static func openedLayer(_ file: any BlockFile, _ options: OpenOptions) -> (any DiskLayer)? {
        switch options.format {
        case .vhdx?: try? VHDXLayer(reading: file, options: ImageOpener.vhdxOptions(options))
        default: try? VHDLayer(reading: file, options: ImageOpener.vhdOptions(options))
        }
    }

    /// The rules between a child and the parent that was found.
    static func parentFindings(_ child: any DiskLayer, _ parent: ChainLink) -> [CheckFinding] {
        switch (child, parent.layer) {
        case (let child as VHDLayer, let parentLayer as VHDLayer):
            let changed = (try? PosixFile(parent.path).status()).map { Int64($0.st_mtim.tv_sec) }
            return VHDChecker.checkParent(child: child, parent: parentLayer, parentModificationTime: changed)
        case (let child as VHDXLayer, let parentLayer as VHDXLayer):
            return VHDXChecker.checkParent(child: child, parent: parentLayer)
        default: return []
        }
    }

    /// The finding that a parent was not found, or cannot be one: rule 29 of both formats.
    private static func missing(_ format: ImageFormat, _ error: DiskError) -> FormatError {
        FormatError(
            FormatError.Code(format == .vhdx ? "VHDX029" : "VHD029"), field: "parent", offset: 0, error.explanation,
            section: format == .vhdx ? "8" : "10.4")
    }
}
