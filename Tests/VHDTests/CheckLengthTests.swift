import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Testing
@testable import VHD

/// A batmap that ends past the file is ignored, and blocks may stand where it says it is. In a longer file it would
/// count, and they would be refused: nothing makes such a file longer.
@Suite struct CheckLengthTests {
    /// XenServer's image with a batmap from 2560 on, of so many sectors that it ends where `end` says at the soonest.
    private static func image(
        endingBy end: Int, _ change: (inout TinyImage) -> Void = { _ in }
    ) -> TinyImage {
        Good.xen { image, batmap in
            batmap.mapSize = UInt32((end - Int(batmap.mapOffset) + 511) / 512)
            change(&image)
        }
    }

    /// The kinds that change an image, each by itself; after none does it show anything else.
    private static func kinds(changing damaged: [UInt8]) throws -> Set<RepairKind> {
        let before = try #require(CheckPowerCutTests.disk(MemoryFile.Contents(damaged)))
        var changing: Set<RepairKind> = []
        for kind in RepairKind.allCases {
            let (after, actions) = try CheckPlantedTests.repaired(damaged, [kind])
            let shown = try #require(CheckPowerCutTests.disk(MemoryFile.Contents(after)), "\(kind)")
            #expect(shown.bytes == before.bytes, "\(kind)")
            if !actions.isEmpty { changing.insert(kind) }
            let offered = try CheckPlantedTests.check(damaged).findings.contains { $0.repairs.contains(kind) }
            #expect(offered == !actions.isEmpty, "\(kind)")
        }
        return changing
    }

    /// The footer that a file cut inside its last sector lost would lengthen it to the sector's end and by itself.
    @Test func missingFooters() throws {
        let whole = Good.xen().bytes
        // Nobody took the map for one before, and nobody does when a footer is there.
        for (end, isMended) in [(whole.count, false), (whole.count + 512, false), (whole.count + 513, true)] {
            let damaged = Array(Self.image(endingBy: end).bytes.dropLast(375))
            #expect(try Self.kinds(changing: damaged).contains(.footer) == isMended, "map to \(end)")
        }
    }

    @Test func shortFooters() throws {
        let whole = Good.xen().bytes
        for (end, isMended) in [(whole.count, false), (whole.count + 1, true)] {
            let damaged = Array(Self.image(endingBy: end).bytes.dropLast())
            #expect(try Self.kinds(changing: damaged).contains(.footer) == isMended, "map to \(end)")
        }
    }

    /// The last block lacks two sectors that it does not show.
    @Test func tails() throws {
        let whole = Good.xen().bytes
        for (end, isMended) in [(whole.count, false), (whole.count + 1, true)] {
            let damaged = Self.image(endingBy: end) { $0.body.removeLast(1024) }.bytes
            #expect(damaged.count == whole.count - 1024)
            #expect(try Self.kinds(changing: damaged).contains(.tails) == isMended, "map to \(end)")
            let noFooter = Array(damaged.dropLast(512))
            #expect(try Self.kinds(changing: noFooter).contains(.tails) == isMended, "map to \(end), no footer")
        }
    }

    /// While both sectors of a header are replaced, three more sectors stand behind the file's end.
    @Test func replacedHeaders() throws {
        let whole = Good.xen().bytes
        for (end, isMended) in [(whole.count + 1, false), (whole.count + 1536, false), (whole.count + 1537, true)] {
            let damaged = Self.image(endingBy: end).bytes.withHeader { $0.with([1], at: 768) }
            #expect(try Self.kinds(changing: damaged).contains(.fields) == isMended, "map to \(end)")
        }
        // One sector is written in its place.
        let damaged = Self.image(endingBy: whole.count + 1).bytes.withHeader { $0.with([1], at: 60) }
        #expect(try Self.kinds(changing: damaged).contains(.fields))
    }

    /// The table stands last, and the file ends within the sector behind it, where a batmap would say that the data is
    /// encrypted.
    @Test func encryption() throws {
        var image = TinyImage()
        image.footer.creatorApplication = Array("tap\0".utf8)
        image.footer.creatorVersion = 0x0001_0003
        image.addBlock(1, bits: 0xff, fill: 0x30)
        let tableOffset = image.footerOffset
        image.header?.tableOffset = tableOffset
        image.body += Array(image.bytes[1536..<2048])
        for keyhash in [UInt8(0), 1] {
            var batmap = BatmapHeader()
            (batmap.keyhashPresent, batmap.mapOffset, batmap.mapSize) = (keyhash, 2048, 1)
            let damaged = Array(image.bytes.dropLast(512)) + Array(batmap.serialized().prefix(400))
            #expect(try Self.kinds(changing: damaged).contains(.footer) == false)
            let noBatmap = Array(image.bytes.dropLast(512)) + [UInt8](repeating: 5, count: 400)
            #expect(try Self.kinds(changing: noBatmap).contains(.footer))
        }
    }

    /// Edits in place make a file longer too, or take blocks away that the map may call full.
    @Test func edits() throws {
        let good = Good.xen().bytes
        for end in [good.count + 1, good.count + (1 << 20)] {
            let bytes = Self.image(endingBy: end).bytes
            let edits: [(MemoryFile) throws -> Void] = [
                { _ = try VHDResizer.resize($0, to: 64 << 20) { _, _ in } },
                { _ = try VHDCompactor.compact($0) { _, _ in } },
                { try VHDLayer(writing: $0).close() },
            ]
            for (index, edit) in edits.enumerated() {
                let file = MemoryFile(bytes)
                do {
                    try edit(file)
                    Issue.record("edit \(index) was not refused")
                } catch let error as DiskError {
                    #expect(error.kind == .refused && error.formatError?.code == .vhdBatmap, "\(index): \(error)")
                }
                #expect(file.allBytes == bytes)
            }
        }
    }
}
