import BlockIO
import ByteCodec
import ChangeLog
import DiskModel

// A dirty map: opening never traps, and every bit under a right checksum is reported. Flags (first byte): 1 corrects the
// checksums of both headers, 2 those of the pages, 4 gives the fingerprint of another image, 8 the size of another disk.
// The second byte says where an operation begins. After opening, marks and a close: what was marked is dirty at the next
// opening.

private let size: UInt64 = 64 << 20
private let pageStart = 8192

private func integer(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> UInt64 {
    guard offset + count <= bytes.count else { return 0 }
    return (0..<count).reduce(0) { $0 | UInt64(bytes[offset + $1]) << (8 * UInt64($1)) }
}

private func checksum(_ bytes: [UInt8], _ start: Int, _ count: Int, _ field: Int) -> UInt32 {
    var copy = Array(bytes[start..<start + count])
    copy.replaceSubrange(field..<field + 4, with: [0, 0, 0, 0])
    return crc32c(copy.rawBytes)
}

private func correct(_ bytes: inout [UInt8], _ start: Int, _ count: Int, _ field: Int) {
    guard start + count <= bytes.count else { return }
    let sum = checksum(bytes, start, count, field)
    for index in 0..<4 { bytes[start + field + index] = UInt8(truncatingIfNeeded: sum >> (8 * UInt32(index))) }
}

private func isRight(_ bytes: [UInt8], _ start: Int, _ count: Int, _ field: Int) -> Bool {
    start + count <= bytes.count && checksum(bytes, start, count, field) == UInt32(integer(bytes, start + field, 4))
}

/// The bytes of the disk whose bits are set under a right checksum, by a model of its own: the whole disk for a map that
/// cannot be used.
private func expected(_ bytes: [UInt8]) -> [Range<UInt64>] {
    let copies = [0, 4096].filter { start in
        isRight(bytes, start, 512, 12) && Array(bytes[start..<start + 8]) == Array("vhdtdmap".utf8)
            && integer(bytes, start + 8, 4) == 1 && integer(bytes, start + 16, 8) < 1 << 63
    }
    guard let best = copies.max(by: { integer(bytes, $0 + 16, 8) < integer(bytes, $1 + 16, 8) }) else {
        return [0..<size]
    }
    let region = integer(bytes, best + 32, 8)
    // What breaks another rule makes everything dirty, or lets the other copy count: nothing to expect here.
    guard region.isPowerOfTwo, region >= 512, integer(bytes, best + 24, 8) == size, size / region <= 1 << 20 else {
        return []
    }
    var ranges: [Range<UInt64>] = []
    let count = Int((size + region - 1) / region)
    guard integer(bytes, best + 40, 4) == UInt64((count + 32_639) / 32_640) else { return [] }
    for state in [(48, 1...2), (52, 0...3), (56, 0...2)] as [(Int, ClosedRange<UInt64>)] {
        guard state.1.contains(integer(bytes, best + state.0, 4)) else { return [] }
    }
    for number in 0..<count {
        let start = pageStart + number / 32_640 * 4096
        if number % 32_640 == 0, !isRight(bytes, start, 4096, 0) { continue }
        guard isRight(bytes, start, 4096, 0), integer(bytes, start + 8, 4) == integer(bytes, best + 44, 4),
            integer(bytes, start + 4, 4) == UInt64(number / 32_640)
        else { break }
        let bit = number % 32_640
        guard bytes[start + 16 + bit / 8] & 1 << UInt8(bit % 8) != 0 else { continue }
        ranges.append(UInt64(number) * region..<min(size, UInt64(number + 1) * region))
        if ranges.count == 64 { break }
    }
    return ranges
}

private func covers(_ map: DirtyMap, _ range: Range<UInt64>) -> Bool {
    var found = false
    map.forEachDirtyRange { found = found || $0.lowerBound <= range.lowerBound && $0.upperBound >= range.upperBound }
    return found
}

@_cdecl("LLVMFuzzerTestOneInput")
public func test(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = [UInt8](UnsafeBufferPointer(start: start, count: count))
    guard input.count > 2 else { return 0 }
    let flags = input[0]
    var bytes = Array(input.dropFirst(2))
    if flags & 1 != 0 { for copy in [0, 4096] { correct(&bytes, copy, 512, 12) } }
    if flags & 2 != 0 {
        for page in stride(from: pageStart, to: bytes.count, by: 4096) { correct(&bytes, page, 4096, 0) }
    }
    let fingerprint = ImageFingerprint.dataWriteGUID(GUID(flags & 4 != 0 ? 7 : 0))
    let diskSize = flags & 8 != 0 ? size * 2 : size
    let file = MemoryFile(bytes)
    do {
        let map = try DirtyMap.open(on: file, virtualByteCount: diskSize, fingerprint: fingerprint)
        for range in expected(bytes) { precondition(covers(map, range), "a dirty region is not reported") }
        try use(map, file, diskSize, UInt64(input[1]) << 18)
    } catch let error as DiskError {
        precondition(
            error.formatError?.code == .mapSignature || error.formatError?.code == .mapVersion, "\(error)")
    } catch { preconditionFailure("\(error)") }
    return 0
}

private func use(_ map: DirtyMap, _ file: MemoryFile, _ diskSize: UInt64, _ offset: UInt64) throws {
    let id = GUID(1)
    try map.beginLog(id)
    try map.mark(offset..<offset + 100_000)
    let before = map.dirtyRanges
    try map.close(.dataWriteGUID(id))
    let again = try DirtyMap.open(on: file, virtualByteCount: diskSize, fingerprint: .dataWriteGUID(id))
    precondition(
        again.findings.isEmpty && again.continuity.needsResynchronisation == map.continuity.needsResynchronisation)
    let isWhole = again.continuity.state == .changedOffline || again.continuity.state == .damaged
    precondition(again.dirtyRanges == before || isWhole && again.dirtyByteCount == diskSize)
    precondition(covers(again, offset..<offset + 100_000))
}
