import BlockIO
import ByteCodec
import DiskModel

/// The file of a dirty map: its header and its pages, read and written, without any meaning.
struct DirtyMapFile: Sendable {
    let file: any BlockFile
    private(set) var header: DirtyMapHeader

    init(_ file: any BlockFile, _ header: DirtyMapHeader) { (self.file, self.header) = (file, header) }

    // MARK: Reading

    /// The header of the copy that counts, with its number; nil where both are damaged.
    /// - Throws: MAP001 for what is too large for a map, MAP002.
    static func readHeader(
        _ file: any BlockFile, _ findings: inout Findings
    ) throws(DiskError) -> DirtyMapHeader? {
        try diskErrors(file.path, "reading the dirty map") {
            let byteCount = try file.byteCount()
            guard byteCount <= DirtyMapGeometry.maximumFileByteCount else {
                throw FormatError(
                    .mapSignature, field: "file", offset: 0,
                    "has \(byteCount) bytes; no dirty map has more than \(DirtyMapGeometry.maximumFileByteCount)",
                    section: "hrl-map.md: Layout")
            }
            var best: DirtyMapHeader?
            var problems: [(offset: UInt64, String)] = []
            for offset in [0, DirtyMapHeader.stride] {
                switch try readCopy(file, at: offset, byteCount) {
                case .success(let copy):
                    if best.map({ $0.sequenceNumber < copy.sequenceNumber }) ?? true { best = copy }
                case .failure(let problem): problems.append((offset, problem.text))
                }
            }
            for (offset, text) in problems where best != nil || offset == 0 {
                findings.warn(
                    FormatError(
                        best == nil ? .mapHeaders : .mapHeaderCopy, field: "Header", offset: offset,
                        best == nil ? "\(text), and so is the other copy's: everything counts as dirty" : text,
                        section: "hrl-map.md: Header"))
            }
            return best
        }
    }

    private struct Problem: Error { var text: String }

    private static func readCopy(
        _ file: any BlockFile, at offset: UInt64, _ byteCount: UInt64
    ) throws -> Result<DirtyMapHeader, Problem> {
        guard offset + UInt64(DirtyMapHeader.byteCount) <= byteCount else {
            return .failure(Problem(text: "is missing"))
        }
        let bytes = try file.bytes(at: offset, count: DirtyMapHeader.byteCount)
        let copy = try DirtyMapHeader(parsing: bytes.rawBytes)
        guard copy.signature == DirtyMapHeader.signature else {
            return .failure(Problem(text: "has another signature"))
        }
        let sum = crc32c(bytes.rawBytes, skippingField: DirtyMapHeader.checksumOffset)
        guard copy.checksum == sum else { return .failure(Problem(text: "has a wrong checksum")) }
        guard copy.version == DirtyMapHeader.version else {
            throw FormatError(
                .mapVersion, field: "Version", offset: offset + 8,
                "is \(copy.version), this program knows \(DirtyMapHeader.version)", section: "hrl-map.md: Header")
        }
        if let problem = copy.problem { return .failure(Problem(text: problem)) }
        return .success(copy)
    }

    /// The bits of all pages. Those of a page that is damaged or missing are all set.
    static func readBits(
        _ file: any BlockFile, _ header: DirtyMapHeader, _ geometry: DirtyMapGeometry, _ findings: inout Findings
    ) throws(DiskError) -> RegionBits {
        var bits = RegionBits(wordCount: geometry.wordCount)
        do throws(IOError) {
            let byteCount = try file.byteCount()
            for page in 0..<geometry.pageCount {
                let offset = DirtyMapPage.fileOffset(page)
                var problem: String? = "is missing"
                if offset + UInt64(DirtyMapPage.byteCount) <= byteCount {
                    let bytes = try file.bytes(at: offset, count: DirtyMapPage.byteCount)
                    problem = DirtyMapPage.parse(bytes.rawBytes, page, generation: header.generation, into: &bits)
                }
                guard let problem else { continue }
                for word in DirtyMapPage.words(page) { bits[word: word] = .max }
                findings.warn(
                    FormatError(
                        .mapPage, field: "page \(page)", offset: offset, "\(problem): all it covers counts as dirty",
                        section: "hrl-map.md: Page"))
            }
        } catch { throw DiskError(error, doing: "reading the dirty map") }
        let all = RegionBits(wordCount: geometry.wordCount, first: geometry.regionCount)
        bits.formIntersection(all)
        return bits
    }

    // MARK: Writing

    /// Writes both copies of a changed header, one after the other: at every moment one of them is whole.
    mutating func writeHeader(_ change: (inout DirtyMapHeader) -> Void) throws(IOError) {
        change(&header)
        for _ in 0..<2 {
            header.sequenceNumber += 1
            try file.write(header.sealed(), at: header.fileOffset)
            try file.sync()
        }
    }

    /// - Parameter words: of the page.
    func writePage(_ page: Int, _ words: ArraySlice<UInt64>) throws(IOError) {
        let bytes = DirtyMapPage.serialized(page, generation: header.generation, words)
        try file.write(bytes, at: DirtyMapPage.fileOffset(page))
    }

    /// Goes over to a layout whose pages have another generation, so that those of the old one count for nothing.
    /// Order: the header, flushed; all pages, flushed. A cut between leaves pages that count as dirty.
    mutating func writeLayout(
        _ geometry: DirtyMapGeometry, _ bits: RegionBits, _ change: (inout DirtyMapHeader) -> Void
    ) throws(IOError) {
        try writeHeader { header in
            header.virtualByteCount = geometry.virtualByteCount
            header.regionByteCount = geometry.regionByteCount
            header.pageCount = UInt32(geometry.pageCount)
            header.generation &+= 1
            change(&header)
        }
        for page in 0..<geometry.pageCount { try writePage(page, bits.words[DirtyMapPage.words(page)]) }
        try file.sync()
    }
}
