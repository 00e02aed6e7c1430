import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing
import VHD

/// What ties an image to others, all of it.
struct Tie: Equatable {
    var uniqueID: GUID
    var parentID: GUID?
    var timestamp: UInt32?
    var name: [UInt8]?
    var locators: [ParentLocator]?

    init(_ layer: VHDLayer) {
        uniqueID = layer.footer.uniqueID
        parentID = layer.header?.parentUniqueID
        timestamp = layer.header?.parentTimestamp
        name = layer.header?.parentUnicodeName
        locators = layer.parentLink?.locators
    }
}

/// Parents to name.
enum Parents {
    static let otherID = GUID("a1a2a3a4-b1b2-c1c2-d1d2-e1e2e3e4e5e6")!
    static let thirdID = GUID("00000000-0000-4000-8000-000000000003")!

    static func reference(
        _ id: GUID = otherID, _ relative: String = "../images/other.vhd", _ absolute: String? = "D:\\images\\other.vhd",
        modified: Int64 = DiskTimestamp(rawValue: 0x2000_0000).unixSeconds
    ) -> ParentReference {
        ParentReference(
            identity: DiskIdentity(format: .vhd, id: id), modified: modified, relativePath: relative,
            absolutePath: absolute)
    }

    /// As `Good.differencing` names its parent, but for the identity.
    static let samePaths = reference(otherID, "parent.vhd", "C:\\d\\parent.vhd")
    /// Paths of several sectors.
    static let longPaths = reference(
        otherID, String(repeating: "folder/", count: 60) + "other.vhd", "E:\\" + String(repeating: "x", count: 700))
    static let third = reference(thirdID, "third.vhd", nil, modified: 0)
}

/// Differencing images whose headers and paths stand in all kinds of places.
enum Children {
    static func good(_ change: (inout TinyImage) -> Void = { _ in }) -> MemoryFile.Contents {
        MemoryFile.Contents(Good.differencing(change).bytes)
    }

    /// As blktap lays them, with a Mac URL, and a stray old path.
    static func xen() -> MemoryFile.Contents {
        var image = TinyImage(DiskTypeCode.differencing)
        image.addLocator(0, "MacX", Array("file://./parent.vhd".utf8))
        image.addLocator(1, "W2ku", utf16Bytes(".\\parent.vhd", .little))
        image.addLocator(2, "W2ru", utf16Bytes(".\\parent.vhd", .little))
        image.addLocator(5, "Wi2r", Array(".\\parent.vhd".utf8))
        image.addBlock(3, bits: 0xf0, fill: 0x30)
        image.addBlock(1, bits: 0x81, fill: 0x60)
        return MemoryFile.Contents(image.bytes)
    }

    /// Both footers lead to a header behind the blocks, as a relink leaves it that was cut off; the one at 512 is torn.
    static func headerBehind() -> MemoryFile.Contents {
        var image = Good.differencing()
        let header = image.header!.sealed()
        image.footer.dataOffset = image.footerOffset
        image.body += header
        return MemoryFile.Contents(image.bytes.with([UInt8](repeating: 0x11, count: 512), at: 1024))
    }

    /// A block stands where the header belongs.
    static func homeTaken() -> MemoryFile.Contents {
        var image = TinyImage(DiskTypeCode.differencing)
        image.header?.blockSize = 512
        (image.footer.originalSize, image.footer.currentSize) = (2048, 2048)
        image.footer.geometry = geometryCHS(virtualByteCount: 2048)
        image.table[2] = 1
        image.addLocator(1, "W2ru", utf16Bytes(".\\parent.vhd", .little))
        image.footer.dataOffset = image.footerOffset
        image.body += image.header!.sealed()
        let block = [0x80] + [UInt8].zeros(511) + [UInt8](repeating: 0x77, count: 512)
        return MemoryFile.Contents(image.bytes.with(block, at: 512))
    }

    static func linked(_ initial: MemoryFile.Contents, to parent: ParentReference) throws -> MemoryFile.Contents {
        let file = MemoryFile(initial)
        try VHDLinkEditor.relink(file, to: parent)
        return file.contents
    }
}

/// A change of what ties an image to others, and everything a power cut can leave of it.
struct LinkCuts {
    struct Counts: CustomStringConvertible {
        var images = 0
        /// Images that do not open, or not with all blocks in their places.
        var unreadable = 0
        /// Images with other bytes in the disk, or a tie that is neither the old one nor the new one.
        var wrong = 0
        /// Images with the old tie after the call has returned.
        var lost = 0
        /// Images where doing it again is refused, or leaves something else than without the cut.
        var stuck = 0
        var isClean: Bool { unreadable + wrong + lost + stuck == 0 && images > 0 }
        var description: String {
            "\(images) images, unreadable \(unreadable), wrong \(wrong), lost \(lost), not completed \(stuck)"
        }
        static func += (a: inout Counts, b: Counts) {
            (a.images, a.unreadable, a.wrong) = (a.images + b.images, a.unreadable + b.unreadable, a.wrong + b.wrong)
            (a.lost, a.stuck) = (a.lost + b.lost, a.stuck + b.stuck)
        }
    }

    let initial: MemoryFile.Contents
    let change: (any BlockFile) throws -> Void
    private let disk: [UInt8]
    private let old: Tie
    let new: Tie
    private let headerOffset: UInt64
    private let finalByteCount: UInt64

    init(_ initial: MemoryFile.Contents, _ change: @escaping (any BlockFile) throws -> Void) throws {
        (self.initial, self.change) = (initial, change)
        let before = try VHDLayer(reading: MemoryFile(initial))
        (old, disk) = (Tie(before), try contents(before))
        let file = MemoryFile(initial)
        try change(file)
        let after = try VHDLayer(reading: file)
        (new, headerOffset, finalByteCount) = (Tie(after), after.footer.dataOffset, file.byteCount())
    }

    static func relink(_ initial: MemoryFile.Contents, to parent: ParentReference) throws -> LinkCuts {
        try LinkCuts(initial) { try VHDLinkEditor.relink($0, to: parent) }
    }

    func recording(ignoresSync: Bool = false) throws -> RecordingFile.Recording {
        let file = RecordingFile(initial, ignoresSync: ignoresSync)
        try change(file)
        file.mark(1)
        return file.recording
    }

    /// The change after the program was killed at its n-th call, and run again without a power cut; nil where it has
    /// fewer calls. A mark of 0 stands between the two runs.
    func recording(killedAfter calls: Int) throws -> RecordingFile.Recording? {
        let file = RecordingFile(initial)
        let failing = FailingFile(file, after: calls)
        do { try change(failing) } catch is DiskError {}
        guard failing.hasFailed else { return nil }
        file.mark(0)
        try change(file)
        file.mark(1)
        return file.recording
    }

    /// - Parameter mark: only cuts after it.
    func count(
        _ recording: RecordingFile.Recording, imageLimit: Int, seed: UInt64 = 1, after mark: Int? = nil,
        again: ((any BlockFile) throws -> Void)? = nil, tie: Tie? = nil
    ) -> (counts: Counts, tally: PowerCuts.Tally) {
        var counts = Counts()
        let tally = PowerCuts(recording, imageLimit: imageLimit, seed: seed).forEachImage { image in
            if let mark, !image.marks.contains(mark) { return }
            counts.images += 1
            do {
                let layer = try VHDLayer(reading: MemoryFile(image.contents))
                _ = try layer.census()
                let found = Tie(layer)
                if try ![old, new].contains(found) || contents(layer) != disk { counts.wrong += 1 }
                if image.marks.contains(1), found != new { counts.lost += 1 }
            } catch { return counts.unreadable += 1 }
            do {
                let file = MemoryFile(image.contents)
                try (again ?? change)(file)
                if try !isComplete(file, tie ?? new) { counts.stuck += 1 }
            } catch { counts.stuck += 1 }
        }
        return (counts, tally)
    }

    private func isComplete(_ file: MemoryFile, _ tie: Tie) throws -> Bool {
        let layer = try VHDLayer(reading: file)
        let complaints = layer.findings.filter { $0.detail.code != .vhdUnusualBlockSize && $0.severity > .information }
        let end = file.byteCount()
        let hasBothFooters =
            try layer.type == .fixed || file.bytes(at: 0, count: 512) == file.bytes(at: end - 512, count: 512)
        // Where nothing can stand at 512, the header stays where the cut has left it.
        let isInPlace = layer.footer.dataOffset == headerOffset || headerOffset != 512
        return try Tie(layer) == tie && contents(layer) == disk && complaints.isEmpty && hasBothFooters && isInPlace
            && end <= finalByteCount + 2048
            && VHDChecker.check(file, CheckOptions(), progress: quiet).count(.error) == 0
    }
}
