import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing
import VHD
import VHDX

@testable import ImageChain

/// Power cuts while a child moves onto another parent and keeps its contents.
@Suite struct RebaseCutTests {
    /// Two parents of one size, and a child of the first with some sectors of its own.
    struct Family: Sendable {
        var format: ImageFormat
        var old: MemoryFile.Contents
        var new: MemoryFile.Contents
        var child: MemoryFile.Contents
        var expected: [UInt8]
        var newReference: ParentReference
    }

    static let formats: [ImageFormat] = [.vhd, .vhdx]

    private static func byteCount(_ format: ImageFormat) -> Int { format == .vhd ? 48 << 10 : 3 << 20 }

    /// A base image that holds runs of bytes: sector, count, value.
    private static func base(
        _ format: ImageFormat, _ own: UInt64, _ runs: [(sector: Int, count: Int, value: UInt8)]
    ) throws -> MemoryFile {
        let file = MemoryFile()
        let size = UInt64(byteCount(format))
        switch format {
        case .vhdx:
            var numbers = own * 100
            try VHDXCreator.create(on: file, type: .dynamic, virtualByteCount: size, blockByteCount: 1 << 20) {
                numbers += 1
                return ChainImages.id(numbers)
            }
        default:
            try VHDCreator.create(
                on: file, type: .dynamic, virtualByteCount: size, blockByteCount: 8192, uniqueID: ChainImages.id(own),
                created: DiskTimestamp(rawValue: 0))
        }
        try write(file, runs)
        return file
    }

    private static func write(
        _ file: any BlockFile, _ runs: [(sector: Int, count: Int, value: UInt8)]
    ) throws {
        let layer = try ImageOpener.layer(writing: file)
        for run in runs {
            let bytes = [UInt8](repeating: run.value, count: run.count * 512)
            try layer.write(bytes.rawBytes, at: UInt64(run.sector * 512))
        }
        try layer.close()
    }

    static func family(_ format: ImageFormat) throws -> Family {
        let perBlock = format == .vhd ? 16 : 2048
        // Equal, different, only in the old one, only in the new one, a block of which is all zeros in the old one.
        let old = try base(format, 1, [(0, 4, 1), (8, 6, 2), (perBlock - 1, 2, 3)])
        let new = try base(format, 2, [(0, 4, 1), (8, 3, 9), (perBlock + 4, 2, 4), (2 * perBlock, perBlock / 2, 5)])
        let child = MemoryFile()
        let oldLayer = try ImageOpener.layer(reading: old)
        let reference = ParentReference(identity: oldLayer.identity, modified: 1000, relativePath: "old.image")
        switch oldLayer {
        case let layer as VHDXLayer:
            try VHDXCreator.createChild(on: child, of: layer, named: reference, blockByteCount: 1 << 20)
        case let layer as VHDLayer:
            try VHDCreator.createChild(
                on: child, of: layer, named: reference, blockByteCount: 8192, uniqueID: ChainImages.id(3),
                created: DiskTimestamp(rawValue: 0))
        default: break
        }
        try write(child, [(9, 1, 7), (perBlock + 5, 1, 8)])
        let chain = try ImageChain(leafFirst: [try ImageOpener.layer(reading: child), oldLayer])
        return Family(
            format: format, old: old.contents, new: new.contents, child: child.contents,
            expected: try chain.bytes(at: 0, count: byteCount(format)),
            newReference: ParentReference(
                identity: try ImageOpener.layer(reading: new).identity, modified: 2000,
                relativePath: "../elsewhere/new.image", absolutePath: "\\elsewhere\\new.image"))
    }

    private static func disk(_ contents: MemoryFile.Contents) throws -> ImageChain {
        try ImageChain(leafFirst: [try ImageOpener.layer(reading: MemoryFile(contents))])
    }

    /// What the child shows over the parent it names; whether that is the new one.
    private static func shown(_ child: MemoryFile.Contents, _ family: Family) throws -> (bytes: [UInt8], isNew: Bool) {
        let layer = try ImageOpener.layer(reading: MemoryFile(child))
        let isNew = layer.parentLink?.identities == [family.newReference.identity]
        let parent = try ImageOpener.layer(reading: MemoryFile(isNew ? family.new : family.old))
        try #require(isNew || layer.parentLink?.identities == [parent.identity])
        let chain = try ImageChain(leafFirst: [layer, parent])
        return (try chain.bytes(at: 0, count: byteCount(family.format)), isNew)
    }

    /// As `Rebasing` does it.
    @discardableResult static func rebase(_ file: any BlockFile, _ family: Family) throws -> HeldByteCount {
        let isNew = try ImageOpener.layer(reading: file).parentLink?.identities == [family.newReference.identity]
        let parents = isNew ? nil : (old: try disk(family.old) as any VirtualDisk, new: try disk(family.new))
        return try RebaseEdit(reference: family.newReference, changesData: false, parents: parents)
            .perform(on: file, progress: { _, _ in })
    }

    struct Tally: CustomStringConvertible {
        var cuts = PowerCuts.Tally()
        var unreadable = 0
        var wrong = 0
        var onNewParent = 0
        /// Where the same again did not bring it to its end.
        var unfinished = 0
        var description: String {
            "\(cuts.imageCount) images, \(unreadable) unreadable, \(wrong) wrong, \(onNewParent) on the new parent, "
                + "\(unfinished) not brought to their end"
        }
    }

    /// Judges every image, then does the same again.
    private static func judge(_ recording: RecordingFile.Recording, _ family: Family, limit: Int) -> Tally {
        var tally = Tally()
        tally.cuts = PowerCuts(recording, imageLimit: limit).forEachImage { image in
            guard let (bytes, isNew) = try? shown(image.contents, family) else { return tally.unreadable += 1 }
            if bytes != family.expected { tally.wrong += 1 }
            if isNew { tally.onNewParent += 1 }
            let again = MemoryFile(image.contents)
            do {
                try rebase(again, family)
                let (bytes, isNew) = try shown(again.contents, family)
                if !isNew || bytes != family.expected { tally.unfinished += 1 }
            } catch { tally.unfinished += 1 }
        }
        return tally
    }

    @Test(arguments: formats) func everyCut(_ format: ImageFormat) throws {
        let family = try Self.family(format)
        let file = RecordingFile(family.child)
        let held = try Self.rebase(file, family)
        #expect(held.copied > 0 && held.zeroed > 0)
        let end = try Self.shown(file.contents, family)
        #expect(end.isNew && end.bytes == family.expected)
        let tally = Self.judge(file.recording, family, limit: 48)
        print("rebase, \(format): \(tally)")
        #expect(tally.unreadable == 0 && tally.wrong == 0 && tally.unfinished == 0, "\(tally)")
        #expect(tally.onNewParent > 0 && tally.onNewParent < tally.cuts.imageCount)
    }

    /// The child's own children know it by this: its contents stayed.
    @Test func identityStays() throws {
        for format in Self.formats {
            let family = try Self.family(format)
            let file = MemoryFile(family.child)
            let before = try ImageOpener.layer(reading: file).identity
            try Self.rebase(file, family)
            #expect(try ImageOpener.layer(reading: file).identity == before, "\(format)")
        }
    }

    /// Every call fails once: the child shows the same over the parent it names, and the same again completes it.
    @Test(arguments: formats) func failures(_ format: ImageFormat) throws {
        let family = try Self.family(format)
        var calls = 0
        while calls < 400 {
            let memory = MemoryFile(family.child)
            let failing = FailingFile(memory, after: calls)
            do {
                try Self.rebase(failing, family)
                break
            } catch {
                let (bytes, _) = try Self.shown(memory.contents, family)
                #expect(bytes == family.expected, "call \(calls): \(error)")
                try Self.rebase(memory, family)
                let end = try Self.shown(memory.contents, family)
                #expect(end.isNew && end.bytes == family.expected, "call \(calls)")
            }
            calls += 1
        }
        #expect(calls > 5 && calls < 400)
    }

    // MARK: Broken orders, which have to be found out

    /// The link before the data.
    @Test(arguments: formats) func linkFirst(_ format: ImageFormat) throws {
        let family = try Self.family(format)
        let file = RecordingFile(family.child)
        let edit = RebaseEdit(reference: family.newReference, changesData: false, parents: nil)
        try edit.relink(file)
        let parents = (old: try Self.disk(family.old) as any VirtualDisk, new: try Self.disk(family.new))
        _ = try RebaseEdit.fill(file, format, parents, progress: { _, _ in })
        let tally = Self.judge(file.recording, family, limit: 24)
        print("rebase, \(format), link first: \(tally)")
        #expect(tally.wrong > 0)
    }

    /// No flush anywhere: the link may be there before the data.
    @Test(arguments: formats) func dataNotDurable(_ format: ImageFormat) throws {
        let family = try Self.family(format)
        let file = RecordingFile(family.child, ignoresSync: true)
        try Self.rebase(file, family)
        let tally = Self.judge(file.recording, family, limit: 200)
        print("rebase, \(format), nothing flushed: \(tally)")
        #expect(tally.wrong > 0)
    }
}
