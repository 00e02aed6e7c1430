import BlockIO
import ByteCodec
import FaultInjection
import Glibc
import Testing
import ToolTesting

/// A file as a plain array of bytes.
private struct Model {
    var bytes: [UInt8]
    mutating func write(_ new: [UInt8], _ offset: Int) {
        guard !new.isEmpty else { return }
        if offset + new.count > bytes.count { resize(offset + new.count) }
        bytes.replaceSubrange(offset..<offset + new.count, with: new)
    }
    mutating func resize(_ count: Int) {
        if count < bytes.count { bytes.removeLast(bytes.count - count) }
        bytes += [UInt8].zeros(count - bytes.count)
    }
    mutating func zero(_ range: Range<Int>) {
        for place in range.clamped(to: 0..<bytes.count) { bytes[place] = 0 }
    }
}

/// Every kind of file against the same model.
@Suite struct FileModelTests {
    enum Kind: CaseIterable { case posix, memory, overlayOnPosix, overlayOnMemory, overlayOnOverlay, recording }

    private static func make(_ kind: Kind, _ initial: [UInt8], _ scratch: Scratch) throws -> any BlockFile {
        switch kind {
        case .posix: try PosixFile(scratch.write("f", initial), .write)
        case .memory: MemoryFile(initial)
        case .overlayOnPosix: try OverlayFile(over: PosixFile(scratch.write("f", initial)))
        case .overlayOnMemory: try OverlayFile(over: MemoryFile(initial))
        case .overlayOnOverlay: try OverlayFile(over: OverlayFile(over: MemoryFile(initial)))
        case .recording: RecordingFile(MemoryFile.Contents(initial))
        }
    }

    @Test(arguments: Kind.allCases, [UInt64.random(in: 0 ... .max), 1, 2])
    func randomOperations(_ kind: Kind, _ seed: UInt64) throws {
        let scratch = try Scratch(inMemory: true)
        var random = SplitMix(seed: seed)
        var model = Model(bytes: random.bytes(Int.random(in: 0..<40_000, using: &random)))
        let initial = model.bytes
        let file = try Self.make(kind, initial, scratch)
        let note: Comment = "\(kind), seed \(seed)"
        func place() -> Int {
            // Page edges are where things break.
            let anywhere = Int.random(in: 0...50_000, using: &random)
            return Bool.random(using: &random)
                ? anywhere : anywhere / 4096 * 4096 + [0, 1, 4095].randomElement(using: &random)!
        }
        for step in 0..<400 {
            let start = place()
            let count =
                Bool.random(using: &random)
                ? Int.random(in: 0...600, using: &random) : Int.random(in: 0...13_000, using: &random)
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<4:
                let bytes = random.bytes(count)
                try file.write(bytes, at: UInt64(start))
                model.write(bytes, start)
            case 4..<6:
                try file.zero(UInt64(start)..<UInt64(start + count))
                model.zero(start..<start + count)
            case 6:
                try file.resize(to: UInt64(start))
                model.resize(start)
            default:
                if start + count <= model.bytes.count {
                    // Into a buffer that held something else: what is zero must be written as such.
                    var found = [UInt8](repeating: 0xcc, count: count)
                    var raw = found.mutableRawBytes
                    try file.read(into: &raw, at: UInt64(start))
                    try #require(found == Array(model.bytes[start..<start + count]), "\(note), step \(step)")
                } else if count > 0 {
                    let error = try ioError { _ = try file.bytes(at: UInt64(start), count: count) }
                    try #require(
                        error.reason == .endOfFile(byteCount: UInt64(model.bytes.count)), "\(note), step \(step)")
                }
            }
            try #require(try file.byteCount() == UInt64(model.bytes.count), "\(note), step \(step)")
            try checkData(file, model, from: place(), "\(note), step \(step)")
        }
        try #require(try file.bytes(at: 0, count: model.bytes.count) == model.bytes, note)
        if kind == .overlayOnPosix { #expect(try fileBytes(scratch.path("f")) == initial, "the file below changed") }
    }

    /// What `data(from:)` leaves out is zero; what it gives is no empty run, inside the file, not before `offset`.
    private func checkData(_ file: any BlockFile, _ model: Model, from offset: Int, _ note: String) throws {
        let data = try file.data(from: UInt64(offset))
        let end = model.bytes.count
        let zerosEnd = data.map { Int($0.lowerBound) } ?? end
        if let data {
            try #require(
                data.lowerBound >= UInt64(offset) && !data.isEmpty && data.upperBound <= UInt64(end), "\(note): \(data)"
            )
        }
        if offset < zerosEnd {
            try #require(model.bytes[offset..<zerosEnd].allSatisfy { $0 == 0 }, "\(note): data hidden")
        }
    }
}

@Suite struct MemoryFileTests {
    @Test func dataPastTheEnd() {
        let file = MemoryFile([1, 2, 3])
        #expect(file.data(from: 0) == 0..<3)
        #expect(file.data(from: 2) == 2..<3)
        for past in [3, 4, 100, 4096, UInt64.max] { #expect(file.data(from: past) == nil) }
    }

    @Test func emptyWritesChangeNothing() throws {
        let file = MemoryFile([1, 2, 3])
        try file.write([], at: 100)
        #expect(file.byteCount() == 3)
    }

    @Test func farOffsets() throws {
        let file = MemoryFile()
        let far = UInt64(Int64.max) - 10
        try file.write([1, 2], at: far)
        #expect(try file.bytes(at: far - 1, count: 3) == [0, 1, 2])
        #expect(file.data(from: 5)?.contains(far) == true)
        file.zero(far..<UInt64.max)
        #expect(try file.bytes(at: far, count: 2) == [0, 0])
        #expect(try ioError { try file.write([1], at: UInt64(Int64.max)) }.reason == .errno(EFBIG))
        #expect(try ioError { try file.write([1, 2], at: .max) }.reason == .errno(EFBIG))
        #expect(throws: IOError.self) { try file.bytes(at: .max, count: 2) }
    }

    @Test func snapshotsAreApart() throws {
        let file = MemoryFile([1, 2, 3])
        let snapshot = file.contents
        try file.write([9], at: 0)
        #expect(snapshot.allBytes == [1, 2, 3])
        #expect(file.allBytes == [9, 2, 3])
    }
}

@Suite struct PageMapTests {
    @Test func zeroDropsWholePages() {
        var map = PageMap()
        map.write([UInt8](repeating: 1, count: 5 * 4096).rawBytes, at: 0)
        #expect(map.pageCount == 5)
        map.zero(1..<4 * 4096 + 1)
        #expect(map.pageIndices == [0, 4])
        #expect(map.held(from: 0) == 0..<4096)
        #expect(map.held(from: 4096) == 16384..<20480)
        #expect(map.held(from: 5 * 4096) == nil)
        // A range of far more pages than are held.
        map.zero(0..<UInt64.max)
        #expect(map.held(from: 0) == nil)
    }

    @Test func endOfAllOffsets() {
        var map = PageMap()
        map.write([7].rawBytes, at: .max - 1)
        map.zero((UInt64.max - 5)..<UInt64.max)
        var byte = [UInt8](repeating: 1, count: 1)
        var raw = byte.mutableRawBytes
        map.read(into: &raw, at: .max - 1)
        #expect(byte == [0])
    }

    @Test func copiesAreApart() {
        var map = PageMap()
        map.write([1].rawBytes, at: 0)
        let copy = map
        map.zero(0..<4096)
        #expect(copy.holdsPage(0))
        #expect(!map.holdsPage(0))
    }
}

@Suite struct OverlayFileTests {
    @Test func memoryGrowsWithWritesOnly() throws {
        let base = MemoryFile()
        base.resize(to: 1 << 40)
        try base.write([5], at: 1 << 39)
        let overlay = try OverlayFile(over: base)
        overlay.zero(0..<1 << 40)
        try overlay.resize(to: 1 << 41)
        #expect(overlay.heldByteCount == 0)
        #expect(try overlay.bytes(at: 1 << 39, count: 1) == [0])
        try overlay.write([1], at: 4095)
        #expect(overlay.heldByteCount == 4096)
        try overlay.write([1, 2], at: 8191)
        #expect(overlay.heldByteCount == 3 * 4096)
        #expect(try base.bytes(at: 1 << 39, count: 1) == [5])
        #expect(base.byteCount() == 1 << 40)
        #expect(overlay.hostFile == nil)
    }

    @Test func tooFar() throws {
        let overlay = try OverlayFile(over: MemoryFile([1]))
        for offset in [UInt64(Int64.max), .max - 4095, .max] {
            #expect(try ioError { try overlay.write([1, 2], at: offset) }.reason == .errno(EFBIG))
        }
        #expect(try ioError { try overlay.resize(to: .max) }.reason == .errno(EFBIG))
        #expect(overlay.byteCount() == 1)
    }

    /// A page that cannot be read from below cannot be written in part either; nothing changes then.
    @Test func failingBase() throws {
        let overlay = try OverlayFile(
            over: FailingFile(MemoryFile([UInt8](repeating: 1, count: 9000)), after: 0, failsReads: true))
        #expect(try ioError { try overlay.write([1], at: 5) }.reason == .errno(EIO))
        #expect(overlay.heldByteCount == 0)
        overlay.zero(0..<9000)
        #expect(throws: IOError.self) { try overlay.bytes(at: 0, count: 1) }
    }
}
