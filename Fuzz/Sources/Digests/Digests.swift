import Digest

/// Hashing a message in pieces, with several algorithms at once, gives what hashing it whole gives.
@_cdecl("LLVMFuzzerTestOneInput")
public func test(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = [UInt8](UnsafeBufferPointer(start: start, count: count))
    guard let first = input.first else { return 0 }
    // The first byte is where the message is cut, and how many zeros follow it.
    let message = Array(input.dropFirst())
    let cut = min(Int(first), message.count)

    let multi = MultiDigest(DigestAlgorithm.allCases)
    multi.update(message.span.bytes.extracting(0..<cut))
    multi.update(message.span.bytes.extracting(cut..<message.count))
    multi.updateZeros(count: UInt64(first))

    let whole = message + [UInt8](repeating: 0, count: Int(first))
    for value in multi.finish() {
        precondition(value.bytes == Digest.hash(value.algorithm, whole.span.bytes))
    }
    return 0
}
