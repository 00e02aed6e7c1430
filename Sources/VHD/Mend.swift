public import BlockIO
import ByteCodec
public import DiskModel

/// Repairs, in this order, each only when its kind is asked for and something is there to mend:
///
/// 1. `checksums`: a footer's sum where nothing else in it is wrong, then the dynamic header's. One sector each, then a
///    flush. A power cut leaves the old sum or the new one.
/// 2. `footer`: the trailing footer from the copy at 0, a flush; a missing last byte of it, a flush; the copy at 0 from
///    the trailing footer, a flush; Data Offset in both, one between two flushes. One copy is touched at a time, and
///    the other one is valid then.
/// 3. `dropBlocks`: XenServer's batmap is cleared (as in 8), then entries of the table are written, each within a
///    sector, then a flush. A power cut leaves some of them dropped.
/// 4. `tails`, dynamic and differencing: the copy at 0 is made whole, a flush; the footer that stands over the block is
///    zeroed, a flush: the copy at 0 is used now; the footer is written behind the block, which lengthens the file, a
///    flush. Fixed and too short: the footer is written at its place, a flush, and the old one, now in the disk, is
///    zeroed, a flush; between the two the sector that was never there shows the old footer. Fixed and too long: the
///    footer is written at its place, a flush, and the file is cut behind it, a flush; a footer is last in either case.
/// 5. `fields`, `geometry`, `savedState`, `id` in the footers: the trailing one, a flush, then the copy at 0, a flush.
///    A power cut between leaves two valid copies that differ; the trailing one is used, and the repair can be run
///    again.
/// 6. `fields`, `bat` in the dynamic header. Where only its first sector changes, which holds the checksum too, that
///    sector is written, then a flush. Else the header, which has no second copy, could be torn, and so moves for a
///    while: the new header is written behind the file's end, a flush; a footer that leads to it behind that, a flush;
///    the same footer at 0, a flush; the new header in its old place, a flush; the old footer at 0, a flush; the file
///    is cut to its old length, whose end is the old footer, a flush. At every moment each valid footer leads to a
///    whole header, the old one or the new.
/// 7. `setBits` and `zeroSectors`: sectors of bitmaps, or of data under clear bits, then a flush. Each is whole by
///    itself.
/// 8. `batmap`: the map is zeroed, a flush, and its checksum written, a flush. A power cut leaves a map whose checksum
///    is wrong, which nobody uses.
///
/// Every step looks at the file afresh, so that a repair that was cut off can be run again, and all of them are gone
/// through until nothing is left to do. Without a valid footer, and with a header whose checksum is wrong, nothing is
/// changed that the kinds asked for do not make right first. A file does not become longer, also not for a while, where
/// that would make something in it count that is ignored now: `LengthMending`.
extension VHDChecker {
    /// Does the repairs asked for where they apply, and says what it did; the caller checks again. The caller sees to
    /// it that nobody else writes the file.
    /// - Throws: `.refused` for `setBits` and `zeroSectors` together; `.io`; what `progress` throws, between two steps.
    public static func repair(
        _ file: any BlockFile, _ kinds: Set<RepairKind>, _ options: CheckOptions, progress: EditProgress
    ) throws(DiskError) -> [RepairAction] {
        guard !kinds.isSuperset(of: [.setBits, .zeroSectors]) else {
            throw DiskError(
                .refused, path: file.path, "set-bits and zero-sectors contradict each other", hint: "choose one of them"
            )
        }
        var mender = Mender(file, kinds)
        try diskErrors(file.path, "repairing") { try mender.run(progress) }
        return mender.actions.all
    }
}

/// One run of repairs.
struct Mender {
    let file: any BlockFile
    let kinds: Set<RepairKind>
    var actions = RepairActions()
    /// What the file held when it was last looked at, until something is written.
    private var survey: ImageParser?

    init(_ file: any BlockFile, _ kinds: Set<RepairKind>) { (self.file, self.kinds) = (file, kinds) }

    /// One repair can make another possible that comes before it: then all have another turn.
    private static let turnLimit = 4

    mutating func run(_ progress: EditProgress) throws {
        for _ in 0..<Self.turnLimit {
            let count = actions.count
            try runOnce(progress)
            if actions.count == count { return }
        }
    }

    private mutating func runOnce(_ progress: EditProgress) throws {
        if kinds.contains(.checksums) {
            try step { mender, image in try mender.mendFooterChecksums(image) }
            try step { mender, image in try mender.mendHeaderChecksum(image) }
        }
        if kinds.contains(.footer) {
            try step { mender, image in try mender.mendTrailingFooter(image) }
            try step { mender, image in try mender.mendFooterCopy(image) }
            try step { mender, image in try mender.mendDataOffset(image) }
        }
        if kinds.contains(.dropBlocks) { try step { mender, image in try mender.dropBlocks(image) } }
        if kinds.contains(.tails) { try step { mender, image in try mender.mendTails(image) } }
        if !kinds.isDisjoint(with: FooterMending.editKinds) {
            try step { mender, image in try mender.mendFooterFields(image) }
        }
        if !kinds.isDisjoint(with: HeaderMending.editKinds) {
            try step { mender, image in try mender.mendHeaderFields(image) }
        }
        if !kinds.isDisjoint(with: [.setBits, .zeroSectors]) {
            try step { mender, image in try mender.mendStrayData(image, progress) }
        }
        if kinds.contains(.batmap) { try step { mender, image in try mender.mendBatmap(image) } }
    }

    /// Runs a step on what the file holds now; nothing where there is no footer to begin with.
    private mutating func step(_ body: (inout Mender, ImageParser) throws -> Void) throws {
        let image: ImageParser
        if let survey {
            image = survey
        } else {
            do { image = try ImageParser(surveying: file) } catch is FormatError { return }
        }
        let count = actions.count
        try body(&self, image)
        // Whatever is written is told as an action.
        survey = actions.count == count ? image : nil
    }

    /// Writes and waits until it is durable.
    func writeDurably(_ bytes: [UInt8], at offset: UInt64) throws(IOError) {
        try file.write(bytes, at: offset)
        try file.sync()
    }
}

/// What was done, in bounded memory.
struct RepairActions {
    private static let keptCount = 1000
    private var kept: [RepairAction] = []
    private var counts: [RepairKind: Int] = [:]
    /// How many there were.
    private(set) var count = 0

    mutating func add(
        _ kind: RepairKind, _ code: FormatError.Code, at offset: UInt64, _ what: @autoclosure () -> String
    ) {
        count += 1
        counts[kind, default: 0] += 1
        guard counts[kind, default: 0] <= Self.keptCount else { return }
        kept.append(RepairAction(kind, code, at: offset, what()))
    }

    /// All that was kept; the last one of a kind says how many there were more.
    var all: [RepairAction] {
        var result = kept
        for (kind, count) in counts where count > Self.keptCount {
            guard let last = result.lastIndex(where: { $0.kind == kind }) else { continue }
            result[last].what += ", and \(count - Self.keptCount) more like it"
        }
        return result
    }
}

/// Whether what stands in a structure is right but for a checksum.
enum Plausibility {
    /// Rules whose breach says nothing about bytes having changed.
    private static let harmless: Set<FormatError.Code> = [
        .vhdChecksum, .vhdUnusualBlockSize, .vhdGeometrySize, .vhdSavedState,
    ]

    /// Whether the image opens and has all blocks in their places when checksums are passed over, and breaks no other
    /// rule by anything in a range of the file.
    static func holds(_ file: any BlockFile, _ range: Range<UInt64>) throws(DiskError) -> Bool {
        var options = VHDReadOptions()
        options.accepted = [.vhdChecksum]
        do throws(DiskError) {
            let layer = try VHDLayer(reading: file, options: options)
            _ = try layer.census()
            return !layer.findings.contains { range.contains($0.detail.offset) && !harmless.contains($0.detail.code) }
        } catch {
            guard error.kind == .format else { throw error }
            return false
        }
    }
}

/// The bytes of a structure with some of them put in at an offset.
func patched(_ bytes: [UInt8], at offset: Int, _ new: [UInt8]) -> [UInt8] {
    var bytes = bytes
    bytes.replaceSubrange(offset..<offset + new.count, with: new)
    return bytes
}

/// A number as it stands in the file.
func bigEndianBytes(_ value: some FixedWidthInteger & BitwiseCopyable) -> [UInt8] {
    var bytes = [UInt8].zeros(value.bitWidth / 8)
    var raw = bytes.mutableRawBytes
    raw.store(value, at: 0, .big)
    return bytes
}
