import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing

@testable import VHDX

/// What a disk shows: sectors of 512 bytes that are not zero, by a sum, and the ranges that show the parent.
struct DiskView: Equatable {
    var size: UInt64
    var sectors: [UInt64: UInt32] = [:]
    var parent: [Range<UInt64>] = []

    init(_ layer: VHDXLayer) throws {
        size = layer.geometry.virtualByteCount
        try layer.forEachExtent(in: 0..<size) { extent throws(DiskError) in
            switch extent.source {
            case .parent:
                if let last = parent.last, last.upperBound == extent.offset {
                    parent[parent.count - 1] = last.lowerBound..<extent.end
                } else {
                    parent.append(extent.range)
                }
            case .file(let start): try diskErrors("") { try add(extent, start, layer.file) }
            case .hole, .zero: break
            }
        }
    }

    private mutating func add(_ extent: Extent, _ start: UInt64, _ file: any BlockFile) throws {
        var position = start
        let end = start + extent.byteCount
        while position < end, let data = try file.data(from: position), data.lowerBound < end {
            position = max(position, data.lowerBound.roundedDown(to: 512))
            let piece = min(end, data.upperBound.roundedUp(to: 512), position + 65536) - position
            let bytes = try file.bytes(at: position, count: Int(piece))
            if !isZero(bytes.rawBytes) {
                for at in stride(from: 0, to: bytes.count, by: 512) {
                    let sector = bytes.rawBytes.extracting(at..<at + 512)
                    if !isZero(sector) {
                        sectors[(extent.offset + (position - start) + UInt64(at)) / 512] = crc32c(sector)
                    }
                }
            }
            position += piece
        }
    }

    /// Without saying whether a range shows the parent.
    func hidingParent(in range: Range<UInt64>) -> DiskView {
        var view = self
        view.parent = parent.flatMap { piece in
            [
                piece.lowerBound..<max(piece.lowerBound, min(piece.upperBound, range.lowerBound)),
                min(piece.upperBound, max(piece.lowerBound, range.upperBound))..<piece.upperBound,
            ].filter { !$0.isEmpty }
        }
        return view
    }

    /// The view of the disk with another size: what lies behind the end goes, what is new shows zeros or the parent.
    func resized(to newSize: UInt64, isDifferencing: Bool = false, blockByteCount: UInt64 = 1 << 20) -> DiskView {
        var view = self
        view.size = newSize
        view.sectors = sectors.filter { $0.key * 512 < newSize }
        view.parent = parent.filter { $0.lowerBound < newSize }.map { $0.clamped(to: 0..<newSize) }
        let firstNewBlock = size.roundedUp(to: blockByteCount)
        if isDifferencing, newSize > firstNewBlock {
            if let last = view.parent.last, last.upperBound == firstNewBlock {
                view.parent[view.parent.count - 1] = last.lowerBound..<newSize
            } else {
                view.parent.append(firstNewBlock..<newSize)
            }
        }
        return view
    }
}

@Sendable func quiet(_ done: UInt64, _ total: UInt64) throws(DiskError) { #expect(done <= total) }

/// An edit, and what the disk has to show after it.
struct Edit: Sendable {
    var name: String
    var plan: @Sendable (any BlockFile) throws -> String
    var run: @Sendable (any BlockFile) throws -> String
    var isDone: @Sendable (any BlockFile) throws -> Bool

    static func resize(to size: UInt64) -> Edit {
        Edit(
            name: "resize to \(size)",
            plan: { "\(try VHDXResizer.plan($0, to: size))" },
            run: { "\(try VHDXResizer.resize($0, to: size, progress: quiet))" },
            isDone: {
                let plan = try VHDXResizer.plan($0, to: size)
                return plan.oldVirtualByteCount == plan.newVirtualByteCount && !plan.movesTable
                    && plan.oldFileByteCount == plan.newFileByteCount && plan.droppedBlockCount == 0
            })
    }

    static let compact = Edit(
        name: "compact",
        plan: { "\(try VHDXCompactor.plan($0, progress: quiet))" },
        run: { "\(try VHDXCompactor.compact($0, progress: quiet))" },
        isDone: {
            let plan = try VHDXCompactor.plan($0, progress: quiet)
            return plan.oldFileByteCount == plan.newFileByteCount && plan.droppedBlockCount == 0
                && plan.movedBlockCount == 0 && plan.movedByteCount == 0
        })

    /// Plans, runs, and checks plan, contents, identities, findings and that a second run changes nothing.
    func check(
        _ image: MemoryFile.Contents, expecting view: DiskView, sourceLocation: SourceLocation = #_sourceLocation
    )
        throws -> MemoryFile
    {
        let file = MemoryFile(image)
        let before = try VHDXLayer(reading: file).currentHeader
        let planned = try plan(file)
        #expect(Self.same(file.contents, image), "\(name): planning changed the file", sourceLocation: sourceLocation)
        let wasDone = try isDone(file)
        let done = try run(file)
        #expect(planned == done, "\(name)", sourceLocation: sourceLocation)
        #expect(done.contains("newFileByteCount: \(file.byteCount())"), "\(done)", sourceLocation: sourceLocation)
        let layer = try VHDXLayer(reading: file)
        _ = try layer.census()
        let found = try DiskView(layer)
        #expect(found == view, "\(name): other contents", sourceLocation: sourceLocation)
        #expect(layer.currentHeader.logGUID == .zero, sourceLocation: sourceLocation)
        let showsChange = try DiskView(VHDXLayer(reading: MemoryFile(image))) != view
        #expect(
            (layer.dataWriteGUID != before.dataWriteGUID) == showsChange, "\(name): DataWriteGuid",
            sourceLocation: sourceLocation)
        if !wasDone {
            #expect(layer.currentHeader.fileWriteGUID != before.fileWriteGUID, sourceLocation: sourceLocation)
        }
        #expect(try isDone(file), "\(name): not done after the first run", sourceLocation: sourceLocation)
        let contents = file.contents
        _ = try run(file)
        #expect(
            Self.same(file.contents, contents), "\(name): the second run did something", sourceLocation: sourceLocation)
        return file
    }

    static func same(_ a: MemoryFile.Contents, _ b: MemoryFile.Contents) -> Bool {
        guard a.byteCount == b.byteCount else { return false }
        let pages = Set(a.pages.pageIndices).union(b.pages.pageIndices)
        return pages.allSatisfy {
            let range = $0 * 4096..<min(($0 + 1) * 4096, a.byteCount)
            return areEqual(a.bytes(range), b.bytes(range))
        }
    }
}

extension TinyImage {
    /// Puts a block of one byte at the end of the file, and its entry into the table.
    mutating func putBlock(
        _ index: UInt64, _ value: UInt8, byteCount: UInt64 = 1 << 20, used: Int = 4096, state: UInt64 = 6
    ) {
        let offset = append([UInt8](repeating: value, count: used), count: byteCount)
        setEntry(index, offset | state)
    }

    var view: DiskView { get throws { try DiskView(VHDXLayer(reading: file)) } }
}

/// What power cuts during an edit left.
struct EditCuts {
    var tally = PowerCuts.Tally()
    var reruns = 0
    var unreadable = 0
    var lost = 0
    var example = ""

    typealias Operations = [RecordingFile.Operation]

    /// Records an edit, perhaps makes its order wrong, and judges every file that a power cut could leave.
    /// - Parameters:
    ///   - allowed: what the disk may show after a cut, whether the edit took effect or not.
    ///   - rerunEvery: of so many images one is edited again, and has to be like the one without a cut.
    init(
        _ image: MemoryFile.Contents, _ edit: Edit, allowed: [DiskView], imageLimit: Int = 64, rerunEvery: Int = 4,
        breaking: ((inout Operations) -> Void)? = nil
    ) throws {
        let file = RecordingFile(image)
        _ = try edit.run(file)
        var recording = file.recording
        breaking?(&recording.operations)
        let final = try DiskView(VHDXLayer(reading: MemoryFile(file.contents)))
        let keepsIdentity = try DiskView(VHDXLayer(reading: MemoryFile(image))) == final
        let identity = try VHDXLayer(reading: MemoryFile(image)).dataWriteGUID
        var (reruns, unreadable, lost, example, count) = (0, 0, 0, "", 0)
        tally = PowerCuts(recording, imageLimit: imageLimit).forEachImage { cut in
            count += 1
            do {
                let after = MemoryFile(cut.contents)
                _ = try VHDXLayer(reading: after).census()
                // Replayed into a copy: overlays know no holes, and some of these disks are large.
                let copy = MemoryFile(cut.contents)
                _ = try EditSession(copy, plansOnly: false)
                let layer = try VHDXLayer(reading: copy)
                let view = try DiskView(layer)
                guard allowed.contains(view), !keepsIdentity || layer.dataWriteGUID == identity else {
                    lost += 1
                    example = "other contents or identity; \(cut.fates)"
                    return
                }
                guard breaking == nil, count % rerunEvery == 0 else { return }
                reruns += 1
                _ = try edit.run(after)
                let again = try VHDXLayer(reading: after)
                _ = try again.census()
                if try DiskView(again) != final || again.findings.contains(where: { $0.severity != .information })
                    || after.byteCount() != file.byteCount() || !edit.isDone(after)
                {
                    lost += 1
                    example = "\(after.byteCount()) bytes, \(again.findings) after another run; \(cut.fates)"
                }
            } catch {
                unreadable += 1
                example = "\(error); \(cut.fates)"
            }
        }
        (self.reruns, self.unreadable, self.lost, self.example) = (reruns, unreadable, lost, example)
    }

    func report(_ name: String) {
        print(
            "VHDX power cuts, \(name): \(tally.imageCount) images of \(tally.momentCount) moments "
                + "(\(tally.exhaustiveMomentCount) exhaustive), \(reruns) edited again, \(unreadable) unreadable, \(lost) lost"
        )
    }

    func expectSound(_ name: String, sourceLocation: SourceLocation = #_sourceLocation) {
        report(name)
        #expect(unreadable + lost == 0, "\(name): \(example)", sourceLocation: sourceLocation)
        #expect(tally.imageCount > 30 && reruns > 1, "\(name)", sourceLocation: sourceLocation)
    }

    func expectCaught(_ name: String, sourceLocation: SourceLocation = #_sourceLocation) {
        report("broken control, \(name)")
        #expect(unreadable + lost > 0, "\(name) was not found out", sourceLocation: sourceLocation)
    }

    static func isWrite(_ operation: RecordingFile.Operation, _ range: Range<UInt64>) -> Bool {
        if case .write(let offset, _) = operation { range.contains(offset) } else { false }
    }
    static func isSync(_ operation: RecordingFile.Operation) -> Bool {
        if case .sync = operation { true } else { false }
    }
    static let log = mebibyte..<2 * mebibyte

    /// Writes in a range go to before the flush that precedes their log entry.
    static func writeBeforeTheLog(_ operations: inout Operations, _ range: Range<UInt64>) {
        for index in operations.indices where isWrite(operations[index], range) {
            guard let entry = operations[..<index].lastIndex(where: { isWrite($0, log) }),
                let sync = operations[..<entry].lastIndex(where: isSync)
            else { continue }
            operations.insert(operations.remove(at: index), at: sync)
        }
    }

    /// Flushes right before log entries do nothing.
    static func dropFlushesBeforeTheLog(_ operations: inout Operations) {
        for index in operations.indices.reversed() where index > 0 && isWrite(operations[index], log) {
            if isSync(operations[index - 1]) { operations.remove(at: index - 1) }
        }
    }
}
