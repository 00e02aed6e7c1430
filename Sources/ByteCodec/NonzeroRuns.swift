/// The parts of a span that hold anything but zeros, in whole steps of `granularity` bytes from its start (the last step may
/// be shorter): what has to be written where the ground is zero.
/// - Parameter body: called with each run in order; runs do not touch.
@inlinable public func forEachNonzeroRun<Failure: Error>(
    in bytes: RawSpan, granularity: Int = 4096, _ body: (Range<Int>) throws(Failure) -> Void
) throws(Failure) {
    var runStart: Int?
    var position = 0
    while position < bytes.byteCount {
        let end = min(position + granularity, bytes.byteCount)
        if isZero(bytes.extracting(position..<end)) {
            if let start = runStart { try body(start..<position) }
            runStart = nil
        } else if runStart == nil {
            runStart = position
        }
        position = end
    }
    if let start = runStart { try body(start..<position) }
}
