public import BlockIO
import ByteCodec
public import DiskModel

/// Finds every breach of the format's rules, each by its own code, and mends what can be mended. [MS-VHDX]
///
/// A check goes on behind an error wherever there is a way: a wrong identifier does not keep it from the headers, a log
/// without a sequence not from the regions, and of the table each entry is looked at by itself. What a pending log
/// changes is seen as after its replay. Memory is bounded as for reading.
public enum VHDXChecker {
    /// Checks an image, and never changes it.
    /// - Parameter progress: bytes of the table, and with `isDeep` of the blocks, gone through; throwing ends the check.
    /// - Throws: `.io`, also where a block cannot be read; what `progress` throws. Breaches are in the report.
    public static func check(
        _ file: any BlockFile, _ options: CheckOptions, progress: EditProgress
    ) throws(DiskError) -> CheckReport {
        try diskErrors(file.path, "checking") {
            var check = Check(try CheckedImage(file))
            try check.run(options, progress: progress)
            check.report.isReadable = try isReadable(file) && !check.hasUnreadableBlock
            return check.report
        }
    }

    /// Whether a reader that accepts nothing opens the image and gets through its table.
    private static func isReadable(_ file: any BlockFile) throws(DiskError) -> Bool {
        do {
            _ = try VHDXLayer(reading: file).census()
            return true
        } catch {
            guard error.kind == .io else { return false }
            var error = error
            if error.doing.isEmpty { error.doing = "checking" }
            throw error
        }
    }
}

/// A check of one image.
struct Check {
    let image: CheckedImage
    var report = CheckReport()
    /// The repairs that would mend something of what was found, also of what the report has no room for.
    private(set) var applicable: Set<RepairKind> = []
    /// A block whose reading fails though the census passes.
    private(set) var hasUnreadableBlock = false

    init(_ image: CheckedImage) { self.image = image }

    mutating func run(_ options: CheckOptions, progress: EditProgress) throws {
        structures()
        let tableByteCount = (image.map?.geometry.entryCount ?? 0) * TableEntry.byteCount
        let total = tableByteCount + (options.isDeep ? image.fileByteCount : 0)
        try table { done in try progress(min(done, total), total) }
        if options.isDeep {
            // Blocks that share space are read twice, so the sum can be larger than the file.
            try blocks { done in try progress(min(tableByteCount + done, total), total) }
        }
        try progress(total, total)
    }

    /// What opening found.
    mutating func structures() {
        for finding in image.findings { add(finding.severity, finding.detail, image.repairs(of: finding)) }
    }

    mutating func add(_ severity: Finding.Severity, _ error: FormatError, _ repairs: [RepairKind] = []) {
        applicable.formUnion(repairs)
        if error.code == .vhdxNoSectorBitmap { hasUnreadableBlock = true }
        var error = error
        if severity == .error, repairs.isEmpty { error.problem += "; " + Self.hint(error.code) }
        report.add(severity, error, repairs: repairs)
    }

    /// What is left to do where there is no repair.
    private static func hint(_ code: FormatError.Code) -> String {
        if Set<FormatError.Code>.acceptableToVHDXReaders.contains(code) {
            return "not repairable: copy what can be read (vhdcat --accept \(code), vhdconvert --accept \(code))"
        }
        return Set<FormatError.Code>.ofSingleBlocks.contains(code)
            ? "not repairable: other blocks can be read (vhdcat --range)"
            : "not repairable: take the file from a backup"
    }
}

extension Set<FormatError.Code> {
    /// Breaches that stop the reading of one block only.
    fileprivate static let ofSingleBlocks: Self = [
        .vhdxBlockState, .vhdxBlockPastEnd, .vhdxNoSectorBitmap, .vhdxPresentWithoutOffset, .vhdxOffsetTooLarge,
        .vhdxSectorBitmapState,
    ]
}
