import BlockIO
import ByteCodec
import DiskModel
import HRL

// A log: reading works or throws; recovery finds candidates inside the file, and the closed copy it makes reads back with
// just the writes promised. Flags (first byte): 1 corrects the header's checksum, 2 those of the blocks on the chain
// from the end, 4 makes the log unclosed.

private func store(_ value: UInt32, _ bytes: inout [UInt8], _ offset: Int) {
    bytes.replaceSubrange(offset..<offset + 4, with: (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) })
}

private func correct(_ bytes: inout [UInt8], _ start: Int, _ count: Int, _ field: Int) {
    guard start >= 0, start + count <= bytes.count else { return }
    let sum = complementedByteSum(Array(bytes[start..<start + count]).rawBytes, skippingField: field)
    store(sum, &bytes, start + field)
}

private func log(_ input: [UInt8]) -> [UInt8] {
    let flags = input[0]
    var bytes = Array(input.dropFirst())
    guard bytes.count >= 4096 else { return bytes }
    if flags & 4 != 0 { bytes.replaceSubrange(44..<52, with: [UInt8](repeating: 0, count: 8)) }
    if flags & 2 != 0 {
        let size = Int(bytes.rawBytes.integer(at: 56, as: UInt32.self, .little))
        let end = bytes.rawBytes.integer(at: 44, as: UInt64.self, .little)
        var block = end > UInt64(bytes.count) ? 0 : Int(end) - size
        for _ in 0..<16 where size >= 512 && size <= 65536 && block >= 4096 && block + size <= bytes.count {
            correct(&bytes, block, 32, 12)
            let valid = Int(bytes.rawBytes.integer(at: block + 8, as: UInt32.self, .little))
            for slot in 0..<min(valid, size / 32 - 1) { correct(&bytes, block + 32 + 32 * slot, 32, 8) }
            let distance = bytes.rawBytes.integer(at: block, as: UInt64.self, .little)
            guard distance > 0, distance < UInt64(block) else { break }
            block -= Int(distance)
        }
    }
    if flags & 1 != 0 { correct(&bytes, 0, 4096, 40) }
    return bytes
}

@_cdecl("LLVMFuzzerTestOneInput")
public func test(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = [UInt8](UnsafeBufferPointer(start: start, count: count))
    guard input.count > 1 else { return 0 }
    let bytes = log(input)
    read(bytes)
    recoverAndRead(bytes)
    _ = try? checkLog(MemoryFile(bytes))
    return 0
}

private func read(_ bytes: [UInt8]) {
    guard let reader = try? LogReader(MemoryFile(bytes)), let summary = try? reader.validate() else { return }
    var (writes, total) = (UInt64(0), UInt64(0))
    do {
        try reader.forEachWrite(verifyingData: true) { write in
            precondition(write.dataOffset + UInt64(write.byteCount) <= UInt64(bytes.count), "data outside the file")
            writes += 1
            total += UInt64(write.byteCount)
        }
    } catch { preconditionFailure("a validated log does not read: \(error)") }
    precondition(writes == summary.writeCount && total == summary.byteCount)
}

private func recoverAndRead(_ bytes: [UInt8]) {
    guard let recovered = try? recover(unclosed: MemoryFile(bytes)) else { return }
    for candidate in recovered.candidates.prefix(4) {
        precondition(candidate.endOfLog <= UInt64(bytes.count), "a candidate past the end of the file")
        let copy = MemoryFile([UInt8]())
        let time = DiskTimestamp(rawValue: 0)
        guard let summary = try? recovered.writeClosedCopy(of: candidate, to: copy, time: time) else { continue }
        precondition(summary.writeCount == candidate.writeCount, "the copy has other writes than promised")
    }
}
