public import BlockIO
import ByteCodec
public import DiskModel

/// Looks for every breach of the format's rules in an image, and mends what it is asked to. docs/formats/vhd.md lists
/// the rules with their codes, severities and repairs.
public enum VHDChecker {
    /// Goes through the whole image and never changes the file. Where the opener stops at the first error, this goes on
    /// as far as there is something to go by. Memory stays under 64 MB whatever the image.
    /// - Throws: `.io` for what cannot be read; what `progress` throws. Broken rules are in the report.
    public static func check(
        _ file: any BlockFile, _ options: CheckOptions, progress: EditProgress
    ) throws(DiskError) -> CheckReport {
        var report = CheckReport()
        var lacksVisibleBytes = false
        try diskErrors(file.path, "checking") {
            do {
                var check = ImageCheck(try ImageParser(surveying: file), options, report)
                try check.run(progress)
                (report, lacksVisibleBytes) = (check.report, check.lacksVisibleBytes)
            } catch let error as FormatError {
                try noteHopeless(file, error, &report)
            }
        }
        report.isReadable = try isReadable(file) && !lacksVisibleBytes
        return report
    }

    /// What is wrong where there is no footer to begin with, or the image is of a kind that nobody here reads.
    private static func noteHopeless(_ file: any BlockFile, _ error: FormatError, _ report: inout CheckReport) throws {
        var error = error
        if error.code == .vhdTrailingFooter {
            error.problem +=
                ", and no copy at 0 can be used: only who knows the size of a fixed disk can make its footer again"
        }
        report.add(.error, error)
        guard try file.byteCount() >= 1024 else { return }
        let copy = try FooterCopy(reading: file, at: 0, cookieCode: .vhdFooterCopy)
        // Without the cookie it is a fixed disk's first sector.
        if let problem = copy.problem, problem.code != .vhdFooterCopy { report.add(.error, problem) }
    }

    /// Whether a reader that accepts nothing opens the image and finds every block in its place; a block in its place may
    /// still lack its end.
    static func isReadable(_ file: any BlockFile) throws(DiskError) -> Bool {
        do throws(DiskError) {
            _ = try VHDLayer(reading: file).census()
            return true
        } catch {
            guard error.kind == .format else { throw error }
            return false
        }
    }
}

/// One check of an image that has a footer to begin with.
struct ImageCheck {
    let image: ImageParser
    let options: CheckOptions
    var report: CheckReport
    /// Whether the file ends before bytes of a block that the disk shows: reading them is refused, though the image opens.
    var lacksVisibleBytes = false
    /// What mends the batmap.
    var batmapRepairs: [RepairKind] = []

    var file: any BlockFile { image.file }

    init(_ image: ImageParser, _ options: CheckOptions, _ report: CheckReport) {
        (self.image, self.options, self.report) = (image, options, report)
    }

    mutating func run(_ progress: EditProgress) throws {
        // The footers first: of one breach under one code and offset the report keeps what it hears first.
        try checkFooters()
        try checkFields()
        checkParentPaths()
        try checkTablePadding()
        try checkBatmap()
        try checkBlocks(progress)
        if options.isDeep, image.header == nil, !image.footers.active.isSparse { try readFixed(progress) }
    }

    /// Reads a fixed disk's bytes: whether they can be read is all there is to know.
    private mutating func readFixed(_ progress: EditProgress) throws {
        let end = image.virtualByteCount
        let buffer = IOBuffer(byteCount: 1 << 20)
        var position: UInt64 = 0
        while position < end, let data = try file.data(from: position), data.lowerBound < end {
            position = max(position, data.lowerBound)
            let limit = min(end, data.upperBound)
            while position < limit {
                let count = min(UInt64(buffer.byteCount), limit - position)
                try buffer.fill(Int(count), from: file, at: position)
                position += count
                try progress(position, end)
            }
        }
        report.deepByteCount = end
        try progress(end, end)
    }
}
