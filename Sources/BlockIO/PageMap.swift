import ByteCodec
import Glibc

/// Sparse bytes in 4 KiB pages; a page that is absent reads as zeros. A value: copies share pages until written.
public struct PageMap: Sendable {
    public static let pageByteCount: UInt64 = 4096
    private var pages: [UInt64: [UInt8]] = [:]

    public init() {}

    public var pageCount: Int { pages.count }
    public var pageIndices: [UInt64] { pages.keys.sorted() }
    public func holdsPage(_ index: UInt64) -> Bool { pages[index] != nil }

    /// The pieces of a byte range, page by page: page index, range inside the page, start relative to the range.
    private static func pieces(_ offset: UInt64, _ count: Int, _ body: (UInt64, Range<Int>, Int) -> Void) {
        var done = 0
        while done < count {
            let position = offset + UInt64(done)
            let start = Int(position % pageByteCount)
            let piece = min(count - done, Int(pageByteCount) - start)
            body(position / pageByteCount, start..<start + piece, done)
            done += piece
        }
    }

    public func read(into buffer: inout MutableRawSpan, at offset: UInt64) {
        unsafe buffer.withUnsafeMutableBytes { raw in
            Self.pieces(offset, raw.count) { index, inside, start in
                let target = unsafe UnsafeMutableRawBufferPointer(rebasing: raw[start..<start + inside.count])
                if let page = pages[index] {
                    unsafe page.withUnsafeBytes { unsafe target.copyMemory(from: .init(rebasing: $0[inside])) }
                } else {
                    _ = unsafe memset(target.baseAddress!, 0, target.count)
                }
            }
        }
    }

    public mutating func write(_ bytes: RawSpan, at offset: UInt64) {
        unsafe bytes.withUnsafeBytes { raw in
            Self.pieces(offset, raw.count) { index, inside, start in
                unsafe pages[index, default: .zeros(Int(Self.pageByteCount))].withUnsafeMutableBytes { page in
                    unsafe UnsafeMutableRawBufferPointer(rebasing: page[inside])
                        .copyMemory(from: .init(rebasing: raw[start..<start + inside.count]))
                }
            }
        }
    }

    /// Makes a range read as zeros, by dropping whole pages.
    public mutating func zero(_ range: Range<UInt64>) {
        let zeros = [UInt8].zeros(Int(Self.pageByteCount))
        let firstWhole = range.lowerBound.dividedRoundingUp(by: Self.pageByteCount)
        let endWhole = range.upperBound / Self.pageByteCount
        guard firstWhole < endWhole else { return zeroInPages(range, zeros) }
        zeroInPages(range.lowerBound..<firstWhole * Self.pageByteCount, zeros)
        zeroInPages(endWhole * Self.pageByteCount..<range.upperBound, zeros)
        if endWhole - firstWhole > UInt64(pages.count) {
            for index in pages.keys where index >= firstWhole && index < endWhole { pages[index] = nil }
        } else {
            for index in firstWhole..<endWhole { pages[index] = nil }
        }
    }

    private mutating func zeroInPages(_ range: Range<UInt64>, _ zeros: [UInt8]) {
        var position = range.lowerBound
        while position < range.upperBound {
            let end = position + min(range.upperBound - position, Self.pageByteCount - position % Self.pageByteCount)
            if holdsPage(position / Self.pageByteCount) {
                write(zeros.rawBytes.extracting(0..<Int(end - position)), at: position)
            }
            position = end
        }
    }

    /// The first held page at or after a byte offset, as a byte range of adjoining held pages.
    public func held(from offset: UInt64) -> Range<UInt64>? {
        guard let first = pages.keys.lazy.filter({ $0 >= offset / Self.pageByteCount }).min() else { return nil }
        var end = first + 1
        while pages[end] != nil { end += 1 }
        return first * Self.pageByteCount..<end * Self.pageByteCount
    }
}
