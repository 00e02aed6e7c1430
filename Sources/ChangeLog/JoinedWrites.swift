import DiskModel
import ByteCodec
import HRL

/// Writes of one time on their way to a log, in the order of the disk: those that adjoin become one entry, up to the log's
/// limit, and zeros become a hole.
///
/// Zeros that come as bytes become a hole where they fill a unit of the disk, or all that is written of one: shorter runs
/// would cost entries and save no block of the log's file. So the log's entries follow from the disk's bytes alone, not from
/// how they came here.
struct JoinedWrites: Sendable {
    static let usualUnitByteCount = 4096

    let unitByteCount: Int
    let writer: LogWriter
    let time: DiskTimestamp
    /// A run of zeros not yet in the log.
    private var zeros: Range<UInt64> = 0..<0
    private(set) var byteCount: UInt64 = 0
    /// Of these the ones that are holes of the log.
    private(set) var zeroByteCount: UInt64 = 0

    /// - Parameter unitByteCount: what zeros have to fill; see above.
    init(_ writer: LogWriter, _ time: DiskTimestamp, unitByteCount: Int = usualUnitByteCount) {
        (self.writer, self.time, self.unitByteCount) = (writer, time, unitByteCount)
    }

    /// Appends bytes that may hold zeros. A unit of the disk comes in one piece, as far as it is written in one run.
    mutating func append(_ bytes: RawSpan, at offset: UInt64) throws(DiskError) {
        var start = 0
        while start < bytes.byteCount {
            let (isZero, end) = run(in: bytes, from: start, at: offset)
            let place = offset + UInt64(start)
            if isZero {
                try append(zeros: place..<offset + UInt64(end))
            } else {
                try finish()
                try writer.append(bytes.extracting(start..<end), at: place, time: time, joining: true)
                byteCount += UInt64(end - start)
            }
            start = end
        }
    }

    mutating func append(zeros range: Range<UInt64>) throws(DiskError) {
        byteCount += range.upperBound - range.lowerBound
        zeroByteCount += range.upperBound - range.lowerBound
        if zeros.upperBound == range.lowerBound, !zeros.isEmpty {
            zeros = zeros.lowerBound..<range.upperBound
        } else {
            try finish()
            zeros = range
        }
    }

    /// Brings the run of zeros into the log; before it is closed.
    mutating func finish() throws(DiskError) {
        guard !zeros.isEmpty else { return }
        try writer.appendZeroes(zeros, time: time)
        zeros = 0..<0
    }

    /// Where the units from `start` on end that are all zeros, or that all are not.
    private func run(in bytes: RawSpan, from start: Int, at offset: UInt64) -> (isZero: Bool, end: Int) {
        var kind: Bool?
        var end = start
        while end < bytes.byteCount {
            let inside = Int((offset + UInt64(end)) % UInt64(unitByteCount))
            let next = min(bytes.byteCount, end + unitByteCount - inside)
            let isZero = ByteCodec.isZero(bytes.extracting(end..<next))
            guard kind == nil || kind == isZero else { break }
            (kind, end) = (isZero, next)
        }
        return (kind ?? false, end)
    }
}
