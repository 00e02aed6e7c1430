import BlockIO
import ByteCodec
import DiskModel
import FaultInjection

@testable import VHDX

/// A differencing image made by hand, with what its disk has to show over a parent.
struct ChildImage {
    private(set) var image: TinyImage
    /// What the disk shows.
    private(set) var view = MemoryFile.Contents()
    let byteCount: UInt64
    let block: UInt64
    let sector: UInt64
    let parent: MemoryFile.Contents
    /// Where sector bitmap blocks stand, by chunk.
    private(set) var bitmaps: [UInt64: UInt64] = [:]

    var blocksPerChunk: UInt64 { (sector << 23) / block }

    /// A child that has nothing of its own.
    init(byteCount: UInt64, block: UInt64 = 1 << 20, sector: UInt64 = 512, parent: MemoryFile.Contents) throws {
        (self.byteCount, self.block, self.sector, self.parent) = (byteCount, block, sector, parent)
        image = try TinyImage(byteCount: byteCount, blockByteCount: block, logicalSectorByteCount: Int(sector))
        image.makeDifferencing()
        view = parent
        view.resize(to: byteCount)
    }

    private func index(_ number: UInt64) -> UInt64 { number + number / blocksPerChunk }

    /// Gives a chunk its sector bitmap block, with no bit set.
    mutating func addBitmap(_ chunk: UInt64) {
        let offset = image.append([], count: 1 << 20)
        bitmaps[chunk] = offset
        image.setEntry(chunk * (blocksPerChunk + 1) + blocksPerChunk, offset | 6)
    }

    /// Sets bits of a block, whatever its state.
    mutating func setBits(_ number: UInt64, _ sectors: Range<UInt64>) {
        let start = bitmaps[number / blocksPerChunk]! + number % blocksPerChunk * (block / sector / 8)
        var bytes = image.bytes(start, block / sector / 8)
        for bit in sectors { bytes[Int(bit / 8)] |= 1 << UInt8(bit % 8) }
        image.put(bytes, at: start)
    }

    mutating func setState(_ number: UInt64, _ state: UInt64) {
        image.setEntry(index(number), state)
        if state & 7 != 0 { view.zero(number * block..<min(byteCount, (number + 1) * block)) }
    }

    /// A block in state 6 that holds one byte in its first sectors, zeros behind.
    mutating func addFull(_ number: UInt64, _ value: UInt8, sectors: UInt64) {
        let bytes = [UInt8](repeating: value, count: Int(sectors * sector))
        let offset = image.append(bytes, count: block)
        setState(number, offset | 6)
        view.write(bytes.rawBytes, at: number * block)
    }

    /// A block in state 7 with these sectors in the file, and garbage in the others of its first MiB. The first sectors of
    /// each run are of one byte, the others zeros.
    mutating func addPartial(_ number: UInt64, _ value: UInt8, _ sectors: [Range<UInt64>]) {
        let garbage = [UInt8](repeating: 0xee, count: Int(min(block, 1 << 20)))
        let offset = image.append(garbage, count: block)
        image.setEntry(index(number), offset | 7)
        for run in sectors {
            let bytes = [UInt8](repeating: value, count: Int(min(64, run.upperBound - run.lowerBound) * sector))
            image.contents.zero(offset + run.lowerBound * sector..<offset + run.upperBound * sector)
            image.put(bytes, at: offset + run.lowerBound * sector)
            view.zero(number * block + run.lowerBound * sector..<number * block + run.upperBound * sector)
            view.write(bytes.rawBytes, at: number * block + run.lowerBound * sector)
            setBits(number, run)
        }
    }

    var contents: MemoryFile.Contents { image.contents }

    /// The bytes that a child shows over this parent.
    func bytes(of layer: VHDXLayer, _ range: Range<UInt64>, limit: Int = 100) throws -> [UInt8] {
        var result: [UInt8] = []
        var position = range.lowerBound
        while position < range.upperBound {
            for extent in try layer.extents(in: position..<range.upperBound, limit: limit) {
                precondition(extent.offset == position && extent.byteCount > 0)
                switch extent.source {
                case .file(let offset): result += try layer.file.bytes(at: offset, count: Int(extent.byteCount))
                case .parent: result += parent.bytes(extent.range)
                case .zero, .hole: result += [UInt8].zeros(Int(extent.byteCount))
                }
                position = extent.end
            }
        }
        return result
    }

    /// A child in all states: in each of two chunks blocks that are absent, with and without stale bits; partially
    /// present, with few and with nearly all sectors; undefined, zero, unmapped; and present.
    static func inAllStates(block: UInt64 = 1 << 20, sector: UInt64 = 512) throws -> ChildImage {
        let perChunk = (sector << 23) / block
        let byteCount = (perChunk + 8) * block - 3 * sector
        var parent = MemoryFile.Contents()
        parent.resize(to: byteCount)
        for number in (0..<7).map({ UInt64($0) }).flatMap({ [$0, $0 + perChunk] }) {
            let start = number * block
            let bytes = [UInt8](repeating: UInt8(number % 60) + 100, count: 1 << 20)
            for offset in [start, start + block - (1 << 20)] { parent.write(bytes.rawBytes, at: offset) }
        }
        var child = try ChildImage(byteCount: byteCount, block: block, sector: sector, parent: parent)
        let last = block / sector - 1
        for chunk in 0..<UInt64(2) {
            let first = chunk * perChunk
            child.addBitmap(chunk)
            child.setBits(first + 1, 0..<last + 1)
            child.addPartial(first + 2, 7, [3..<9, 64..<65, last - 1..<last + 1])
            child.addPartial(first + 3, 8, [0..<17, 19..<last + 1])
            child.setState(first + 4, chunk == 0 ? 1 : 3)
            child.setState(first + 5, 2)
            child.addFull(first + 6, 9, sectors: 5)
        }
        return child
    }
}
