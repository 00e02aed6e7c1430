import BlockIO
import ByteCodec
import DiskModel

/// Complemented byte sums of the data of a log's writes, asked for in the order of the log.
///
/// Where writes follow one another, it reads ahead; holes cost nothing. The log must not change meanwhile. Holds one
/// window, from the first sum on.
struct DataSum {
    private static let windowByteCount = 256 << 10

    private let file: any BlockFile
    private var buffer: IOBuffer?
    /// What of the file stands at the start of the buffer.
    private var window: Range<UInt64> = 0..<0
    private var finder: DataFinder
    /// Where data begins that follows on what was asked for last.
    private var next: UInt64 = .max

    init(_ file: any BlockFile) { (self.file, finder) = (file, DataFinder(file)) }

    /// The sum of a range of the file, which lies inside it.
    mutating func complementedSum(of range: Range<UInt64>) throws(DiskError) -> UInt32 {
        let readsAhead = range.lowerBound == next
        next = range.upperBound
        let buffer = self.buffer ?? IOBuffer(byteCount: Self.windowByteCount)
        self.buffer = buffer
        var sum: UInt32 = 0
        var position = range.lowerBound
        do {
            while position < range.upperBound {
                if !window.contains(position) {
                    guard let data = try finder.data(from: position), data.lowerBound < range.upperBound else { break }
                    position = max(position, data.lowerBound)
                    try fill(buffer, position..<(readsAhead ? data.upperBound : min(data.upperBound, range.upperBound)))
                }
                let end = min(window.upperBound, range.upperBound)
                sum &+= byteSum(
                    buffer.bytes(Int(position - window.lowerBound)..<Int(end - window.lowerBound)))
                position = end
            }
        } catch { throw DiskError(error, doing: "reading data") }
        return ~sum
    }

    /// Puts the start of a range into the window, as much as fits.
    private mutating func fill(_ buffer: IOBuffer, _ range: Range<UInt64>) throws(IOError) {
        let count = min(UInt64(Self.windowByteCount), range.upperBound - range.lowerBound)
        window = 0..<0
        try buffer.fill(Int(count), from: file, at: range.lowerBound)
        window = range.lowerBound..<range.lowerBound + count
    }
}
