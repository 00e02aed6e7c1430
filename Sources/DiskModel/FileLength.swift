import BlockIO

extension BlockFile {
    /// Before a writer makes its file longer: sees that nobody else made it shorter meanwhile. The growth would put zeros in
    /// the place of what was cut off, and nothing would tell any more.
    /// - Parameter knownByteCount: the length that the writer gave it.
    /// - Throws: `.refused` for a shorter file; `.io`.
    package func checkLength(atLeast knownByteCount: UInt64) throws(DiskError) {
        let now: UInt64
        do throws(IOError) { now = try byteCount() } catch { throw DiskError(error, doing: "measuring the file") }
        guard now < knownByteCount else { return }
        throw DiskError(
            .refused, path: path,
            "another program cut it to \(now) bytes while it was being written, of \(knownByteCount)",
            hint: "what was cut off is lost: bring the file back from an earlier copy")
    }
}
