import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing

@testable import VHDX

/// What power cuts left: images with the old or with the new state.
struct LinkVerdict {
    var tally = PowerCuts.Tally()
    var (old, new, reruns, failures) = (0, 0, 0, 0)
    var example = ""
    mutating func fail(_ what: String, _ image: PowerCuts.Image) {
        failures += 1
        if example.isEmpty { example = "\(what); \(image.fates)" }
    }
    func report(_ name: String) {
        print(
            "VHDX power cuts, \(name): \(tally.imageCount) images of \(tally.momentCount) moments "
                + "(\(tally.exhaustiveMomentCount) exhaustive), \(old) old, \(new) new, \(reruns) edited again, "
                + "\(failures) bad")
    }
}

/// Power cuts and failing media while children are made.
@Suite struct ChildCutTests {
    private typealias Operations = [RecordingFile.Operation]

    /// A parent with an item that is copied.
    private static func parent() throws -> MemoryFile {
        var image = try TinyImage()
        image.addItem(GUID(7, 7, 7, 7), flags: 3, [UInt8](repeating: 0x77, count: 700))
        return image.file
    }

    /// Whenever a header is valid, the child is whole.
    private static func judgeCreation(
        imageLimit: Int = 4000, ignoresSync: Bool = false, breaking: ((inout Operations) -> Void)? = nil
    ) throws -> LinkVerdict {
        let parent = try VHDXLayer(reading: try parent())
        let file = RecordingFile(MemoryFile.Contents(), ignoresSync: ignoresSync)
        try VHDXCreator.createChild(
            on: file, of: parent, named: ParentReference(to: parent, absolutePath: "C:\\p.vhdx"),
            blockByteCount: 1 << 20)
        file.mark(1)
        let whole = try locatorLines(file)
        var recording = file.recording
        breaking?(&recording.operations)
        var verdict = LinkVerdict()
        verdict.tally = try PowerCuts(recording, imageLimit: imageLimit).forEachImage { image in
            let cut = MemoryFile(image.contents)
            let hasHeader = try [0, 1].contains { slot in
                try image.contents.byteCount >= mebibyte && HeaderPair.copy(slot, of: cut).isValid
            }
            guard hasHeader else {
                verdict.old += 1
                if (try? VHDXLayer(reading: cut)) != nil { verdict.fail("opened without a header", image) }
                if !image.marks.isEmpty { verdict.fail("not there after its making ended", image) }
                return
            }
            verdict.new += 1
            do {
                let layer = try VHDXLayer(reading: cut)
                let item = layer.metadata.table.last?.entry
                let bytes = try item.map { try cut.bytes(at: (2 << 20) + UInt64($0.offset), count: Int($0.length)) }
                let report = try check(image.contents)
                if try locatorLines(cut) != whole || bytes != [UInt8](repeating: 0x77, count: 700)
                    || report.count(.error) > 0
                {
                    verdict.fail("opened, and is not whole", image)
                }
            } catch { verdict.fail("\(error)", image) }
        }
        return verdict
    }

    @Test func creationCutAnywhere() throws {
        let verdict = try Self.judgeCreation()
        verdict.report("making a child")
        #expect(verdict.failures == 0, "\(verdict.failures): \(verdict.example)")
        #expect(verdict.old > 1000 && verdict.new > 100)
    }

    @Test func brokenCreationsAreCaught() throws {
        let noFlush = try Self.judgeCreation(ignoresSync: true)
        noFlush.report("broken control, a child without flushes")
        #expect(noFlush.failures > 0)
        let headersFirst = try Self.judgeCreation { operations in
            let first = operations.firstIndex(where: EditCuts.isSync)!
            operations.remove(at: first)
        }
        headersFirst.report("broken control, a child's headers not after the flush")
        #expect(headersFirst.failures > 0)
    }

    @Test func mediumFailsWhileMaking() throws {
        let parent = try VHDXLayer(reading: try Self.parent())
        for code: CInt in [5, 28] {
            var count = 0
            while true {
                let file = MemoryFile()
                let failing = FailingFile(file, after: count, code: code)
                do throws(DiskError) {
                    try VHDXCreator.createChild(on: failing, of: parent, named: ParentReference(to: parent))
                    #expect(!failing.hasFailed, "a failure was swallowed")
                    #expect(try check(file.contents).count(.error) == 0)
                    break
                } catch {
                    #expect(error.kind == .io && error.doing == "creating the image", "\(error)")
                    if let layer = try? VHDXLayer(reading: file) { #expect(layer.parentLocatorPairs.count == 3) }
                }
                count += 1
            }
            #expect(count == 11)
        }
    }

    @Test func parentCannotBeRead() throws {
        let contents = try Self.parent().contents
        // Opening takes some reads; the item is one more.
        var (count, wasMade) = (0, false)
        while !wasMade {
            let failing = FailingFile(MemoryFile(contents), after: count, failsReads: true)
            let file = MemoryFile()
            if let parent = try? VHDXLayer(reading: failing) {
                do throws(DiskError) {
                    try VHDXCreator.createChild(on: file, of: parent, named: ParentReference(to: parent))
                    wasMade = true
                } catch {
                    #expect(error.kind == .io, "\(error)")
                    #expect(throws: DiskError.self) { try VHDXLayer(reading: file) }
                }
            }
            count += 1
        }
        #expect(count > 5)
    }
}
