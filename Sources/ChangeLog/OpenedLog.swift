import BlockIO
public import ByteCodec
public import DiskModel
public import HRL

/// A log open for reading; one that was not closed as far as the search for its blocks finds.
public struct OpenedLog: Sendable {
    public let reader: LogReader
    public private(set) var isUnclosed = false
    /// Writes found in a log that was not closed.
    public private(set) var recoveredWriteCount: UInt64?
    public private(set) var recoveryFindings: [Finding] = []

    /// - Parameter files: opens the log, and what is sealed.
    /// - Throws: `DiskError`; HRL044 for an unclosed log with several possible ends.
    public init(_ path: String, _ options: HRLReadOptions, _ files: FileOpener = .plain) throws(DiskError) {
        let file = try files.open(path).contents
        do throws(DiskError) {
            reader = try LogReader(file, options: options)
            return
        } catch {
            guard error.isUnclosedLog else { throw error }
        }
        let recovered = try recover(unclosed: file)
        do throws(DiskError) {
            let candidate = try recovered.candidate()
            reader = recovered.reader(of: candidate, options: options)
            recoveredWriteCount = candidate.writeCount
            recoveryFindings = try recovered.findings(for: candidate)
        } catch {
            var error = error
            if recovered.candidateCount > 1 { error.hint = "hrl-check lists them, and recovers the one picked" }
            throw error
        }
        isUnclosed = true
    }
}
