import ByteCodec

// The structures of a dirty map, packed and little-endian. Byte map: docs/formats/hrl-map.md.

/// One of the two copies of the header.
struct DirtyMapHeader: DiskStruct, Equatable {
    static let byteCount = 512
    static let byteOrder = ByteOrder.little
    static let checksumOffset = 12
    static let signature: [UInt8] = Array("vhdtdmap".utf8)
    static let version: UInt32 = 1
    /// Distance of the second copy, and of the first page from that.
    static let stride: UInt64 = 4096

    enum State: UInt32 { case open = 1, closed }
    /// Whether a resynchronisation is still owed for what an earlier opening found.
    enum Debt: UInt32 { case nothing = 0, notClosed, changedOffline, damaged }
    enum FingerprintKind: UInt32 { case absent = 0, dataWriteGUID, file }

    var signature = Self.signature
    var version = Self.version
    var checksum: UInt32 = 0
    /// Counts the writes of headers; of two good copies the one with the higher number counts.
    var sequenceNumber: UInt64 = 0
    var virtualByteCount: UInt64 = 0
    var regionByteCount: UInt64 = 0
    var pageCount: UInt32 = 0
    /// Pages of another generation count for nothing.
    var generation: UInt32 = 0
    var state: UInt32 = State.open.rawValue
    var debt: UInt32 = Debt.nothing.rawValue
    var fingerprintKind: UInt32 = FingerprintKind.absent.rawValue
    var imageDataWriteGUID = GUID.zero
    var imageByteCount: UInt64 = 0
    /// Nanoseconds of Unix time.
    var imageModificationTime: Int64 = 0
    var imageTailDigest: [UInt8] = .zeros(32)
    var reservedIsZero = true

    init() {}

    mutating func fields(_ f: inout some FieldCoder & ~Copyable & ~Escapable) throws(FormatError) {
        try f.bytes("Signature", &signature, count: 8)
        try f.field("Version", &version)
        try f.field("Checksum", &checksum)
        try f.field("SequenceNumber", &sequenceNumber)
        try f.field("VirtualSize", &virtualByteCount)
        try f.field("RegionSize", &regionByteCount)
        try f.field("PageCount", &pageCount)
        try f.field("Generation", &generation)
        try f.field("State", &state)
        try f.field("Debt", &debt)
        try f.field("FingerprintKind", &fingerprintKind)
        try f.field("ImageDataWriteGuid", &imageDataWriteGUID)
        try f.field("ImageSize", &imageByteCount)
        try f.field("ImageModificationTime", &imageModificationTime)
        try f.bytes("ImageTailDigest", &imageTailDigest, count: 32)
        try f.reserved("Reserved", count: 388, allZero: &reservedIsZero)
    }

    /// The header on disk, with its checksum put right.
    func sealed() -> [UInt8] {
        var bytes = serialized()
        let sum = crc32c(bytes.rawBytes, skippingField: Self.checksumOffset)
        var raw = bytes.mutableRawBytes
        raw.store(sum, at: Self.checksumOffset, .little)
        return bytes
    }

    /// Where the copy with this sequence number stands.
    var fileOffset: UInt64 { sequenceNumber % 2 * Self.stride }
}

extension DirtyMapHeader {
    var fingerprint: ImageFingerprint? {
        get {
            switch FingerprintKind(rawValue: fingerprintKind) {
            case .dataWriteGUID: .dataWriteGUID(imageDataWriteGUID)
            case .file:
                .file(
                    .init(
                        byteCount: imageByteCount, modificationTime: imageModificationTime,
                        tailDigest: imageTailDigest))
            case .absent, nil: nil
            }
        }
        set {
            (imageDataWriteGUID, imageByteCount, imageModificationTime) = (.zero, 0, 0)
            imageTailDigest = .zeros(32)
            switch newValue {
            case .dataWriteGUID(let id):
                (fingerprintKind, imageDataWriteGUID) = (FingerprintKind.dataWriteGUID.rawValue, id)
            case .file(let facts):
                fingerprintKind = FingerprintKind.file.rawValue
                (imageByteCount, imageModificationTime) = (facts.byteCount, facts.modificationTime)
                imageTailDigest = facts.tailDigest
            case nil: fingerprintKind = FingerprintKind.absent.rawValue
            }
        }
    }

    /// What is wrong with a copy's fields; nil when it can be used. Trusted fields are bounded by this.
    var problem: String? {
        if sequenceNumber > UInt64(Int64.max) { return "has sequence number \(sequenceNumber)" }
        if State(rawValue: state) == nil { return "has state \(state)" }
        if Debt(rawValue: debt) == nil { return "has debt \(debt)" }
        if FingerprintKind(rawValue: fingerprintKind) == nil { return "has a fingerprint of kind \(fingerprintKind)" }
        guard let geometry = DirtyMapGeometry(virtualByteCount, regionByteCount: regionByteCount) else {
            return "has regions of \(regionByteCount) bytes on a disk of \(virtualByteCount)"
        }
        return geometry.pageCount == Int(pageCount) ? nil : "has \(pageCount) pages, not \(geometry.pageCount)"
    }
}

/// A disk in regions, and where their bits stand in the file.
struct DirtyMapGeometry: Equatable, Sendable {
    static let maximumRegionCount = 1 << 20
    /// The least region that is made unless one asks otherwise.
    static let usualRegionByteCount: UInt64 = 64 << 10
    static let regionByteCounts: ClosedRange<UInt64> = 512...1 << 44
    static let maximumWordCount = pageCount(maximumRegionCount) * DirtyMapPage.wordCount
    static let maximumFileByteCount = 2 * DirtyMapHeader.stride + UInt64(pageCount(maximumRegionCount)) * 4096

    let virtualByteCount: UInt64
    let regionByteCount: UInt64
    var shift: Int { regionByteCount.trailingZeroBitCount }

    /// Nil for sizes that are no power of two, too small, or too small for the disk.
    init?(_ virtualByteCount: UInt64, regionByteCount: UInt64) {
        guard regionByteCount.isPowerOfTwo, Self.regionByteCounts.contains(regionByteCount),
            virtualByteCount <= UInt64(Int64.max),
            virtualByteCount.dividedRoundingUp(by: regionByteCount) <= UInt64(Self.maximumRegionCount)
        else { return nil }
        (self.virtualByteCount, self.regionByteCount) = (virtualByteCount, regionByteCount)
    }

    /// With the least regions, not below `least`, that are few enough; nil for a disk beyond what a file can be.
    init?(_ virtualByteCount: UInt64, least: UInt64 = usualRegionByteCount) {
        var size = least
        while virtualByteCount.dividedRoundingUp(by: size) > UInt64(Self.maximumRegionCount) { size *= 2 }
        self.init(virtualByteCount, regionByteCount: size)
    }

    var regionCount: Int { Int(virtualByteCount.dividedRoundingUp(by: regionByteCount)) }
    var pageCount: Int { Self.pageCount(regionCount) }
    /// Words of a set of regions: whole pages.
    var wordCount: Int { pageCount * DirtyMapPage.wordCount }

    static func pageCount(_ regionCount: Int) -> Int {
        (regionCount + DirtyMapPage.regionCount - 1) / DirtyMapPage.regionCount
    }

    /// The regions of a range of the disk, which is not empty.
    func regions(of range: Range<UInt64>) -> Range<Int> {
        Int(range.lowerBound >> UInt64(shift))..<Int((range.upperBound - 1) >> UInt64(shift)) + 1
    }

    func range(of regions: Range<Int>) -> Range<UInt64> {
        let end = min(UInt64(regions.upperBound) << UInt64(shift), virtualByteCount)
        return UInt64(regions.lowerBound) << UInt64(shift)..<end
    }
}

/// A page of bits: 16 bytes of head, then one bit a region, the least significant of each byte first.
enum DirtyMapPage {
    static let byteCount = 4096
    private static let headByteCount = 16
    static let wordCount = (byteCount - headByteCount) / 8
    static let regionCount = wordCount * 64

    static func fileOffset(_ page: Int) -> UInt64 { 2 * DirtyMapHeader.stride + UInt64(page * byteCount) }

    /// The words of the page among those of the whole map.
    static func words(_ page: Int) -> Range<Int> { page * wordCount..<(page + 1) * wordCount }

    /// - Parameter words: of the page, `wordCount` of them.
    static func serialized(_ page: Int, generation: UInt32, _ words: ArraySlice<UInt64>) -> [UInt8] {
        var bytes = [UInt8].zeros(byteCount)
        var raw = bytes.mutableRawBytes
        raw.store(UInt32(page), at: 4, .little)
        raw.store(generation, at: 8, .little)
        for (index, word) in words.enumerated() { raw.store(word, at: headByteCount + 8 * index, .little) }
        let sum = crc32c(bytes.rawBytes, skippingField: 0)
        var field = bytes.mutableRawBytes
        field.store(sum, at: 0, .little)
        return bytes
    }

    /// Puts a page's bits among all. What `serialized` did not make is refused.
    /// - Returns: what is wrong with it, and nothing was put in; nil when nothing is.
    static func parse(
        _ bytes: RawSpan, _ page: Int, generation: UInt32, into bits: inout RegionBits
    ) -> String? {
        guard bytes.integer(at: 0, .little) == crc32c(bytes, skippingField: 0) else { return "has a wrong checksum" }
        let (number, made): (UInt32, UInt32) = (bytes.integer(at: 4, .little), bytes.integer(at: 8, .little))
        guard number == UInt32(page) else { return "is page \(number)" }
        guard made == generation else { return "is of generation \(made), not \(generation)" }
        for (index, word) in words(page).enumerated() {
            bits[word: word] = bytes.integer(at: headByteCount + 8 * index, .little)
        }
        return nil
    }
}
