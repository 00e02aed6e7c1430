import BlockIO
import ByteCodec
import DiskModel
import Testing
import VHD

/// A small sparse image made byte by byte, for planting one corruption at a time. Layout: copy of the footer at 0, header
/// at 512, table at 1536, then at 2048 parent paths or blocks.
struct TinyImage {
    static let id = GUID(
        [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff].rawBytes, .big)
    static let parentID = GUID("01020304-0506-0708-090a-0b0c0d0e0f10")!
    static let blockSize = 4096
    static let tableOffset = 1536

    var footer = Footer()
    /// Where it differs from the trailing one.
    var copy: [UInt8]?
    var header: DynamicHeader? = DynamicHeader()
    var table = [UInt32](repeating: .max, count: 4)
    /// From 2048 to the trailing footer.
    var body: [UInt8] = []
    var end: [UInt8]?

    var footerOffset: UInt64 { UInt64(2048 + body.count) }

    init(_ type: UInt32 = DiskTypeCode.dynamic) {
        footer.diskType = type
        footer.dataOffset = 512
        footer.creatorApplication = Array("win ".utf8)
        footer.creatorVersion = 0x000a_0000
        footer.creatorHostOS = Array("Wi2k".utf8)
        footer.uniqueID = Self.id
        (footer.originalSize, footer.currentSize) = (16384, 16384)
        footer.geometry = geometryCHS(virtualByteCount: 16384)
        header?.tableOffset = UInt64(Self.tableOffset)
        header?.maxTableEntries = 4
        header?.blockSize = UInt32(Self.blockSize)
        if type == DiskTypeCode.differencing { header?.parentUniqueID = Self.parentID }
    }

    /// A fixed disk: the body is the disk.
    static func fixed(_ body: [UInt8]) -> (bytes: [UInt8], footer: Footer) {
        var footer = TinyImage(DiskTypeCode.fixed).footer
        footer.dataOffset = .max
        (footer.originalSize, footer.currentSize) = (UInt64(body.count), UInt64(body.count))
        footer.geometry = geometryCHS(virtualByteCount: UInt64(body.count))
        return (body + footer.sealed(), footer)
    }

    /// Appends a block of 8 sectors; sector `i` is filled with `fill + i`.
    mutating func addBlock(_ index: Int, bits: UInt8, fill: UInt8) {
        table[index] = UInt32((2048 + body.count) / 512)
        body += [bits] + [UInt8].zeros(511)
        for sector in 0..<8 { body += [UInt8](repeating: fill + UInt8(sector), count: 512) }
    }

    /// Puts a path behind the table and names it in a slot.
    mutating func addLocator(_ slot: Int, _ code: String, _ path: [UInt8], space: UInt32 = 512) {
        var entry = ParentLocatorEntry()
        entry.platformCode = [UInt8](code.utf8).rawBytes.integer(at: 0, .big)
        entry.platformDataSpace = space
        entry.platformDataLength = UInt32(path.count)
        entry.platformDataOffset = UInt64(2048 + body.count)
        header?.parentLocators[slot] = entry
        body += path + [UInt8].zeros((512 - path.count % 512) % 512)
    }

    var bytes: [UInt8] {
        let sealed = footer.sealed()
        var bytes = (copy ?? sealed) + (header?.sealed() ?? .zeros(1024))
        bytes += table.flatMap { entry in (0..<4).map { UInt8(truncatingIfNeeded: entry >> UInt32(24 - 8 * $0)) } }
        bytes += [UInt8](repeating: 0xff, count: max(0, 2048 - bytes.count))
        return bytes + body + (end ?? sealed)
    }

    func layer(_ options: VHDReadOptions = .init()) throws(DiskError) -> VHDLayer {
        try VHDLayer(reading: MemoryFile(bytes), options: options)
    }
}

extension VHDReadOptions {
    static func accepting(_ codes: FormatError.Code...) -> Self {
        var options = Self()
        options.accepted = Set(codes)
        return options
    }
}

/// The bytes of a range by a layer's extents; `.parent` from the layer below, or zeros.
func contents(_ layer: any DiskLayer, _ range: Range<UInt64>? = nil, parent: (any DiskLayer)? = nil) throws -> [UInt8] {
    let range = range ?? 0..<layer.geometry.virtualByteCount
    var result: [UInt8] = []
    var position = range.lowerBound
    while position < range.upperBound {
        for extent in try layer.extents(in: position..<range.upperBound, limit: 16) {
            switch extent.source {
            case .file(let offset): result += try layer.file.bytes(at: offset, count: Int(extent.byteCount))
            case .zero, .hole: result += [UInt8].zeros(Int(extent.byteCount))
            case .parent:
                let end = min(extent.end, parent?.geometry.virtualByteCount ?? 0)
                if let parent, extent.offset < end { result += try contents(parent, extent.offset..<end) }
                result += [UInt8].zeros(Int(extent.end - max(end, extent.offset)))
            }
            position = extent.end
        }
    }
    return result
}

/// Expects that `body` fails with a rule at a field and an offset in the file.
func expectRule(
    _ code: FormatError.Code, _ field: String? = nil, at offset: UInt64? = nil,
    sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
) {
    do {
        try body()
        Issue.record("nothing was thrown instead of \(code)", sourceLocation: sourceLocation)
    } catch let error as DiskError {
        guard let error = error.formatError else {
            Issue.record("\(error) instead of \(code)", sourceLocation: sourceLocation)
            return
        }
        #expect(error.code == code, "\(error)", sourceLocation: sourceLocation)
        if let field { #expect(error.field == field, "\(error)", sourceLocation: sourceLocation) }
        if let offset { #expect(error.offset == offset, "\(error)", sourceLocation: sourceLocation) }
    } catch {
        Issue.record("\(error) instead of \(code)", sourceLocation: sourceLocation)
    }
}

/// Expects a finding of a rule.
func expectFinding(
    _ code: FormatError.Code, _ severity: Finding.Severity, in layer: VHDLayer,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(
        layer.findings.contains { $0.detail.code == code && $0.severity == severity },
        "no \(severity) of \(code) in \(layer.findings)", sourceLocation: sourceLocation)
}
