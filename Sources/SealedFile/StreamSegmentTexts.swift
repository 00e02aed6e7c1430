/// Text of the segments that were read last, some of it only. At most 2 MiB.
struct SegmentTexts: Sendable {
    private static let limit = 32
    /// By where it begins in the text of the stream; the one used last is at the end.
    private var texts: [(start: UInt64, text: [UInt8])] = []

    mutating func text(from start: UInt64) -> [UInt8]? {
        guard let place = texts.firstIndex(where: { $0.start == start }) else { return nil }
        let found = texts.remove(at: place)
        texts.append(found)
        return found.text
    }

    mutating func insert(_ text: [UInt8], from start: UInt64) {
        texts.removeAll { $0.start == start }
        if texts.count == Self.limit { texts.removeFirst() }
        texts.append((start, text))
    }
}
