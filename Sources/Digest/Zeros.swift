/// Small enough to stay in the cache, large enough that a call's own cost does not show.
private let zeroPage = [UInt8](repeating: 0, count: 1 << 15)

/// Calls `body` with pieces of zeros, `count` in all.
func forEachZeroPiece(count: UInt64, _ body: (RawSpan) -> Void) {
    let page = unsafe zeroPage.span.bytes
    var left = count
    while left > 0 {
        let piece = Int(min(left, UInt64(page.byteCount)))
        body(page.extracting(0..<piece))
        left -= UInt64(piece)
    }
}
