public import BlockIO
public import DiskModel

/// Zeroes the first sector of a disk and writes its last: where the image opens for writing, both read back after closing,
/// also over a parent's bytes, and nothing else on the disk changes.
public func tryWriting(
    _ contents: MemoryFile.Contents, open: (any BlockFile) throws -> any DiskLayer,
    openForWriting: (any BlockFile) throws -> any WritableDiskLayer
) {
    let file = MemoryFile(contents)
    guard let layer = try? openForWriting(file) else { return }
    // Big blocks would make each run slow, and teach nothing new.
    guard layer.geometry.blockByteCount ?? 512 <= 2 << 20 else { return }
    let size = layer.geometry.virtualByteCount
    let count = UInt64(layer.geometry.logicalSectorByteCount)
    let (first, last) = (0..<count, size - count..<size)
    let bytes = [UInt8](repeating: 0xa7, count: Int(count))
    let before = fingerprint(try? open(MemoryFile(contents)))?.leavingOut([first, last])
    do {
        try layer.writeZeroes(first)
        try layer.write(bytes.span.bytes, at: last.lowerBound)
        try layer.flush()
        try layer.close()
    } catch { return }
    do {
        let reader = try open(MemoryFile(file.contents))
        let written = try sector(reader, at: last.lowerBound)
        precondition(written == bytes, "what was written and closed does not read back")
        if first != last {
            let zeroed = try sector(reader, at: 0)
            precondition(zeroed?.allSatisfy { $0 == 0 } ?? false, "what was zeroed and closed does not read as zeros")
        }
        guard let before else { return }
        let after = fingerprint(reader)?.leavingOut([first, last])
        precondition(after == before, "written, and the rest of the disk shows other bytes")
    } catch { preconditionFailure("what was written and closed does not open: \(error)") }
}

/// Nil also for a disk of more blocks than there is time to go through in every run.
private func fingerprint(_ layer: (any DiskLayer)?) -> Fingerprint? {
    guard let layer, layer.geometry.virtualByteCount / (layer.geometry.blockByteCount ?? 4096) <= 65536 else {
        return nil
    }
    return Fingerprint(layer)
}
