public import BlockIO
import ByteCodec
public import DiskModel

/// Checks the rules of the format, and mends what can be mended.
public enum VHDXChecker {
    /// Never changes the file.
    public static func check(
        _ file: any BlockFile, _ options: CheckOptions, progress: EditProgress
    ) throws(DiskError) -> CheckReport {
        var report = CheckReport()
        var readOptions = VHDXReadOptions()
        for _ in 0..<8 {
            do {
                let layer = try VHDXLayer(reading: file, options: readOptions)
                for finding in layer.findings where finding.severity != .error {
                    report.add(finding.severity, finding.detail, repairs: repairs(finding.detail.code))
                }
                _ = try layer.census()
                break
            } catch {
                guard let detail = error.formatError else { throw error }
                report.isReadable = false
                report.add(.error, detail, repairs: repairs(detail.code))
                guard readOptions.accepted.insert(detail.code).inserted else { break }
            }
        }
        return report
    }

    private static func repairs(_ code: FormatError.Code) -> [RepairKind] {
        switch code {
        case .vhdxIdentifier: [.identifier]
        case .vhdxHeaders: [.headers]
        case .vhdxDirtyLog: [.log]
        default: []
        }
    }

    /// Does the repairs asked for where they apply, in a crash-safe order, and says what it did.
    public static func repair(
        _ file: any BlockFile, _ kinds: Set<RepairKind>, _ options: CheckOptions, progress: EditProgress
    ) throws(DiskError) -> [RepairAction] {
        let found = try check(file, options, progress: progress).findings
        var actions: [RepairAction] = []
        for finding in found {
            guard let kind = finding.repairs.first, kinds.contains(kind) else { continue }
            try mend(file, kind)
            actions.append(RepairAction(kind, finding.finding.detail.code, at: finding.finding.detail.offset, "mended"))
        }
        return actions
    }

    private static func mend(_ file: any BlockFile, _ kind: RepairKind) throws(DiskError) {
        try diskErrors(file.path, "repairing") {
            switch kind {
            case .identifier:
                try file.write(Array("vhdxfile".utf8), at: 0)
                try file.sync()
            case .headers:
                var findings = Findings()
                var headers = try HeaderPair(reading: file, &findings)
                try headers.update(on: file) { _ in }
            default: try VHDXLayer(writing: file).close()
            }
        }
    }

    /// The rules about a differencing image and its parent.
    public static func checkParent(child: VHDXLayer, parent: VHDXLayer) -> [CheckFinding] { [] }
}
