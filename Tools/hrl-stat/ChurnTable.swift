import ByteCodec
import ChangeLog
import Toolbox

/// The churn as tab-separated values: a line for each bucket with writes.
struct ChurnTable {
    enum Column: String, CaseIterable {
        case time, timeRaw = "time_raw", seconds, writes, bytes, storedBytes = "stored_bytes"
    }

    let columns: [Column]
    init(_ columns: [Column]) { self.columns = columns }

    func write(_ answer: Answer, to out: OutputStream) throws(OutputFailure) {
        try out.line(columns.map(\.rawValue).joined(separator: "\t"))
        for bucket in answer.buckets {
            let values = columns.map { column in
                switch column {
                case .time: bucket.start.description
                case .timeRaw: "\(bucket.start.rawValue)"
                case .seconds: "\(answer.bucketSeconds)"
                case .writes: "\(bucket.writeCount)"
                case .bytes: "\(bucket.byteCount)"
                case .storedBytes: "\(bucket.storedByteCount)"
                }
            }
            try out.line(values.joined(separator: "\t"))
        }
    }
}
