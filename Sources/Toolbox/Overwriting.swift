import BlockIO
public import DiskModel

/// Refuses an output that is a file already in use by this run, whatever name it goes by.
/// - Parameter role: what the files are, such as "the input".
public func refuseOverwriting(_ output: String, _ paths: [String], _ role: String) throws(DiskError) {
    guard let there = try? PosixFile(output) else { return }
    for path in paths where (try? PosixFile(path))?.identity == there.identity {
        throw DiskError(.refused, path: output, "the output is \(role)", hint: "choose another output file")
    }
}
