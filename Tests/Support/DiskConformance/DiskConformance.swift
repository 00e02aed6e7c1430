public import BlockIO
import ByteCodec
public import DiskModel
import FaultInjection

/// A kind of disk under test: how to make a fresh one, and how to open its file again.
public struct DiskSubject: Sendable {
    public var name: String
    /// What the parent's disk holds, from its start; zeros behind. Nil: there is no parent.
    public var parent: [UInt8]?
    /// A fresh image: all zeros, or a child that has nothing of its own yet.
    public var make: @Sendable () throws -> MemoryFile.Contents
    public var openForWriting: @Sendable (any BlockFile) throws -> any WritableDiskLayer
    public var openForReading: @Sendable (any BlockFile) throws -> any DiskLayer

    public init(
        name: String, parent: [UInt8]? = nil, make: @escaping @Sendable () throws -> MemoryFile.Contents,
        openForWriting: @escaping @Sendable (any BlockFile) throws -> any WritableDiskLayer,
        openForReading: @escaping @Sendable (any BlockFile) throws -> any DiskLayer
    ) {
        (self.name, self.parent, self.make) = (name, parent, make)
        (self.openForWriting, self.openForReading) = (openForWriting, openForReading)
    }
}

public struct ConformanceFailure: Error, CustomStringConvertible {
    public var description: String
}

extension DiskSubject {
    /// What a fresh disk shows.
    func freshBytes(_ range: Range<UInt64>) -> [UInt8] { parentBytes(parent ?? [], range) }

    func bytes(_ layer: any DiskLayer, _ range: Range<UInt64>, limit: Int = 3) throws -> [UInt8] {
        try layerBytes(layer, range, parent: parent, limit: limit)
    }
}

private func parentBytes(_ parent: [UInt8], _ range: Range<UInt64>) -> [UInt8] {
    let held = Array(parent.dropFirst(Int(range.lowerBound)).prefix(Int(range.upperBound - range.lowerBound)))
    return held + [UInt8].zeros(Int(range.upperBound - range.lowerBound) - held.count)
}

/// The bytes of a range of a layer, by its extents; checks the extents' promises on the way.
/// - Parameter parent: the contents of the parent's disk; nil when there is none.
public func layerBytes(
    _ layer: any DiskLayer, _ range: Range<UInt64>, parent: [UInt8]? = nil, limit: Int = 3
) throws -> [UInt8] {
    var result = [UInt8].zeros(Int(range.upperBound - range.lowerBound))
    var position = range.lowerBound
    while position < range.upperBound {
        let extents = try layer.extents(in: position..<range.upperBound, limit: limit)
        try require(!extents.isEmpty && extents.count <= limit, "\(extents.count) extents for a limit of \(limit)")
        for extent in extents {
            try require(
                extent.offset == position && extent.byteCount > 0 && extent.end <= range.upperBound,
                "extent \(extent) does not go on at \(position)")
            switch extent.source {
            case .file(let offset):
                var raw = result.mutableRawBytes
                let start = Int(position - range.lowerBound)
                try raw.withPart(start..<start + Int(extent.byteCount)) { part in
                    try layer.file.read(into: &part, at: offset)
                }
            case .zero, .hole: break
            case .parent:
                guard let parent else {
                    throw ConformanceFailure(description: "a parent extent in a disk without a parent")
                }
                let start = Int(position - range.lowerBound)
                result.replaceSubrange(start..<start + Int(extent.byteCount), with: parentBytes(parent, extent.range))
            }
            position = extent.end
        }
    }
    return result
}

func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
    if !condition { throw ConformanceFailure(description: message()) }
}

/// What every writable disk type has to do. Throws `ConformanceFailure` that names the subject, the step and the seed.
public func checkConformance(_ subject: DiskSubject, seed: UInt64, steps: Int = 200) throws {
    do {
        try checkFresh(subject)
        try checkBounds(subject)
        try checkPersistence(subject)
        try checkRandomOperations(subject, seed: seed, steps: steps)
        try checkFailures(subject)
    } catch let failure as ConformanceFailure {
        throw ConformanceFailure(description: "\(subject.name) (seed \(seed)): \(failure.description)")
    }
}

private func checkFresh(_ subject: DiskSubject) throws {
    let contents = try subject.make()
    let before = contents.allBytes
    let file = MemoryFile(contents)
    let disk = try subject.openForWriting(file)
    let size = disk.geometry.virtualByteCount
    for start in [0, size / 2, size - UInt64(disk.geometry.logicalSectorByteCount)] {
        let range = start..<min(size, start + 65536)
        try require(try subject.bytes(disk, range) == subject.freshBytes(range), "a fresh disk is wrong at \(start)")
    }
    try require(try disk.extents(in: 0..<0, limit: 1).isEmpty, "an empty range has extents")
    try require(file.allBytes == before, "opening for writing and reading changed the file")
    try disk.close()
    let readOnly = MemoryFile(contents)
    let reader = try subject.openForReading(readOnly)
    _ = try subject.bytes(reader, 0..<min(size, 1 << 20))
    try require(readOnly.allBytes == before, "reading changed the file")
}

private func checkBounds(_ subject: DiskSubject) throws {
    let disk = try subject.openForWriting(MemoryFile(try subject.make()))
    let size = disk.geometry.virtualByteCount
    let sector = UInt64(disk.geometry.logicalSectorByteCount)
    func expectOutOfRange(_ what: String, _ body: () throws -> Void) throws {
        do { try body() } catch let error as DiskError where error.kind == .outOfRange { return }
        throw ConformanceFailure(description: "\(what) was not refused as out of range")
    }
    let bytes = [UInt8](repeating: 1, count: Int(sector))
    try expectOutOfRange("writing at the end") { try disk.write(bytes.rawBytes, at: size) }
    try expectOutOfRange("writing far past the end") { try disk.write(bytes.rawBytes, at: .max - sector + 1) }
    try expectOutOfRange("extents across the end") { _ = try disk.extents(in: size - sector..<size + sector, limit: 9) }
    try expectOutOfRange("zeroing across the end") { try disk.writeZeroes(size - sector..<size + sector) }
    try disk.write(bytes.rawBytes, at: size - sector)
    try require(try subject.bytes(disk, size - sector..<size) == bytes, "the last sector does not read back")
    try disk.close()
}

private func checkPersistence(_ subject: DiskSubject) throws {
    let file = MemoryFile(try subject.make())
    let disk = try subject.openForWriting(file)
    let size = disk.geometry.virtualByteCount
    let sector = UInt64(disk.geometry.logicalSectorByteCount)
    let block = disk.geometry.blockByteCount ?? (1 << 20)
    // Across a block boundary, and two blocks out of order.
    var expected: [(UInt64, [UInt8])] = []
    for (index, offset) in [block - sector, 3 * block + sector, 2 * block].enumerated()
    where offset + 2 * sector <= size {
        let bytes = [UInt8](repeating: UInt8(index + 1), count: Int(2 * sector))
        try disk.write(bytes.rawBytes, at: offset)
        expected.append((offset, bytes))
    }
    try disk.flush()
    // The flushed state opens as it is, without `close`: what a killed process leaves.
    let copy = try subject.openForReading(MemoryFile(file.contents))
    for (offset, bytes) in expected {
        try require(try subject.bytes(copy, offset..<offset + 2 * sector) == bytes, "lost after flush at \(offset)")
    }
    try disk.close()
    let reopened = try subject.openForReading(MemoryFile(file.contents))
    for (offset, bytes) in expected {
        try require(try subject.bytes(reopened, offset..<offset + 2 * sector) == bytes, "lost after close at \(offset)")
    }
}

private func checkRandomOperations(_ subject: DiskSubject, seed: UInt64, steps: Int) throws {
    var random = SplitMix(seed: seed)
    let file = MemoryFile(try subject.make())
    var disk = try subject.openForWriting(file)
    let sector = UInt64(disk.geometry.logicalSectorByteCount)
    let size = min(disk.geometry.virtualByteCount, 8 << 20).roundedDown(to: sector)
    var model = MemoryFile.Contents()
    model.resize(to: size)
    model.write(subject.freshBytes(0..<size).rawBytes, at: 0)
    for step in 0..<steps {
        let start = UInt64.random(in: 0..<size / sector, using: &random) * sector
        let count = min(size - start, UInt64.random(in: 1...32, using: &random) * sector)
        switch UInt64.random(in: 0..<10, using: &random) {
        case 0..<5:
            let bytes = [UInt8](repeating: UInt8.random(in: 0...255, using: &random), count: Int(count))
            try disk.write(bytes.rawBytes, at: start)
            model.write(bytes.rawBytes, at: start)
        case 5:
            let long = min(size - start, UInt64.random(in: 1...(1 << 20) / sector, using: &random) * sector)
            try disk.writeZeroes(start..<start + long)
            model.zero(start..<start + long)
        case 6: try disk.flush()
        case 7 where step % 3 == 0:
            try disk.close()
            disk = try subject.openForWriting(file)
        default:
            let bytes = try subject.bytes(disk, start..<start + count)
            try require(bytes == model.bytes(start..<start + count), "step \(step): wrong bytes at \(start)+\(count)")
        }
    }
    try disk.close()
    let final = try subject.openForReading(MemoryFile(file.contents))
    try require(
        try subject.bytes(final, 0..<size, limit: 1000) == model.allBytes, "wrong contents after the last close")
}

/// Every failing call: the writer throws, then the image still opens and holds what was flushed before.
private func checkFailures(_ subject: DiskSubject) throws {
    for after in 0..<60 {
        let file = MemoryFile(try subject.make())
        let failing = FailingFile(file, after: after)
        var flushed: [(UInt64, [UInt8])] = []
        var failed = false
        do {
            let disk = try subject.openForWriting(failing)
            let sector = UInt64(disk.geometry.logicalSectorByteCount)
            let block = disk.geometry.blockByteCount ?? (1 << 20)
            for index in 0..<3 {
                let offset = min(UInt64(index) * block, disk.geometry.virtualByteCount - sector)
                let bytes = [UInt8](repeating: UInt8(index + 7), count: Int(sector))
                try disk.write(bytes.rawBytes, at: offset)
                try disk.flush()
                flushed.append((offset, bytes))
            }
            try disk.close()
        } catch is DiskError { failed = true }
        let reader = try subject.openForReading(MemoryFile(file.contents))
        for (offset, bytes) in flushed {
            try require(
                try subject.bytes(reader, offset..<offset + UInt64(bytes.count)) == bytes,
                "call \(after) failed, and flushed bytes at \(offset) are gone")
        }
        if !failed { return }
    }
    throw ConformanceFailure(description: "60 calls were not enough for three flushed writes")
}
