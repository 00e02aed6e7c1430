import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Synchronization

@testable import ImageChain

/// A layer whose every sector has a source of its own, chosen at random, with a model of what it shows. For chains in all
/// shapes, which no image writer would make.
final class RandomLayer: WritableDiskLayer {
    struct State {
        /// By sector.
        var sources: [Extent.Source]
        var end: UInt64
    }

    let file: any BlockFile
    let format = ImageFormat.raw
    var type: ImageType { parentLink == nil ? .fixed : .differencing }
    let geometry: DiskGeometry
    let identity = DiskIdentity(format: .raw, id: .zero)
    let parentLink: ParentLink?
    let findings: [Finding] = []
    let hasReplayedLog = false
    let state: Mutex<State>
    var sector: UInt64 { UInt64(geometry.logicalSectorByteCount) }

    init(
        sectors count: Int, sectorByteCount: Int = 512, blockByteCount: UInt64? = nil, hasParent: Bool,
        using random: inout SplitMix
    ) throws {
        geometry = DiskGeometry(
            virtualByteCount: UInt64(count * sectorByteCount), logicalSectorByteCount: sectorByteCount,
            blockByteCount: blockByteCount)
        parentLink = hasParent ? ParentLink(identities: [], locators: []) : nil
        let memory = MemoryFile()
        file = memory
        var sources: [Extent.Source] = []
        var end: UInt64 = 0
        while sources.count < count {
            // Runs of one kind, so that there is something to join; file runs go on or jump.
            let kind = Int.random(in: 0..<4, using: &random)
            if kind == 0 { end += UInt64(sectorByteCount) * UInt64.random(in: 0...2, using: &random) }
            for _ in 0..<Int.random(in: 1...6, using: &random) where sources.count < count {
                switch kind {
                case 0, 1:
                    sources.append(.file(offset: end))
                    try memory.write(random.bytes(sectorByteCount), at: end)
                    end += UInt64(sectorByteCount)
                case 2: sources.append(hasParent ? .parent : .hole)
                default: sources.append(.zero)
                }
            }
        }
        state = Mutex(State(sources: sources, end: end))
    }

    func extents(in range: Range<UInt64>, limit: Int) throws(DiskError) -> [Extent] {
        try checkRange(range)
        let sources = state.withLock { $0.sources }
        var result: [Extent] = []
        var position = range.lowerBound
        while position < range.upperBound {
            let index = position / sector
            let end = min(range.upperBound, (index + 1) * sector)
            var source = sources[Int(index)]
            if case .file(let offset) = source { source = .file(offset: offset + position % sector) }
            var longer = result
            longer.appendRun(Extent(offset: position, byteCount: end - position, source: source))
            if longer.count > limit { break }
            result = longer
            position = end
        }
        return result
    }

    func write(_ bytes: RawSpan, at offset: UInt64) throws(DiskError) {
        try write(offset..<offset + UInt64(bytes.byteCount)) { (part, place) throws(DiskError) in
            let bytes = bytes.extracting(Int(part.lowerBound - offset)..<Int(part.upperBound - offset))
            do throws(IOError) { try file.write(bytes, at: place) } catch { throw DiskError(error) }
        }
    }

    func write(_ range: Range<UInt64>, by move: PayloadMove) throws(DiskError) {
        guard range.lowerBound % sector == 0, range.upperBound % sector == 0 else {
            throw DiskError(.outOfRange, path: "(random)", "a write of part of a sector reached the layer")
        }
        for index in range.lowerBound / sector..<range.upperBound / sector {
            let place = state.withLock { state in
                let place = state.end
                state.sources[Int(index)] = .file(offset: place)
                state.end += sector
                return place
            }
            try move(index * sector..<(index + 1) * sector, place)
        }
    }

    func writeZeroes(_ range: Range<UInt64>) throws(DiskError) {
        guard range.lowerBound % sector == 0, range.upperBound % sector == 0, !range.isEmpty else {
            throw DiskError(.outOfRange, path: "(random)", "zeroing part of a sector reached the layer")
        }
        state.withLock {
            for index in range.lowerBound / sector..<range.upperBound / sector { $0.sources[Int(index)] = .zero }
        }
    }

    func flush() throws(DiskError) {}
    func close() throws(DiskError) {}
}

/// What a chain of layers shows, sector by sector: the plainest way there is.
func expectedContents(_ layers: [RandomLayer]) throws -> [UInt8] {
    let sector = layers[0].sector
    var result: [UInt8] = []
    for index in 0..<layers[0].geometry.virtualByteCount / sector {
        var bytes = [UInt8].zeros(Int(sector))
        layers: for layer in layers {
            guard index < layer.geometry.virtualByteCount / sector else { break }
            switch layer.state.withLock({ $0.sources[Int(index)] }) {
            case .parent: continue
            case .file(let offset): bytes = try layer.file.bytes(at: offset, count: Int(sector))
            case .zero, .hole: break
            }
            break layers
        }
        result += bytes
    }
    return result
}
