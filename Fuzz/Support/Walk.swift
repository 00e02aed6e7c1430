import BlockIO
public import DiskModel

/// Reads through the beginning of a disk by its extents, and checks what every layer promises: extents adjoin, and those
/// in the file lie inside it. Errors are the layer's right.
public func walk(_ layer: any DiskLayer) throws {
    let size = layer.geometry.virtualByteCount
    let fileByteCount = try layer.file.byteCount()
    for start in [0, size / 2, size > 4096 ? size - 4096 : 0] {
        let end = min(size, start + (64 << 20))
        var position = start
        var steps = 0
        while position < end, steps < 64 {
            let extents = try layer.extents(in: position..<end, limit: 64)
            precondition(!extents.isEmpty && extents.count <= 64)
            for extent in extents {
                precondition(extent.offset == position && extent.byteCount > 0 && extent.end <= end)
                position = extent.end
                if case .file(let offset) = extent.source {
                    precondition(offset + extent.byteCount <= fileByteCount, "an extent lies outside the file")
                    _ = try layer.file.bytes(at: offset, count: Int(min(512, extent.byteCount)))
                }
            }
            steps += 1
        }
    }
    do {
        _ = try layer.extents(in: size..<size + 512, limit: 1)
        preconditionFailure("extents past the end")
    } catch { precondition(error.kind == .outOfRange) }
}

/// The bytes of a sector of a layer; nil where they are the parent's.
public func sector(_ layer: any DiskLayer, at offset: UInt64) throws -> [UInt8]? {
    let count = layer.geometry.logicalSectorByteCount
    let extents = try layer.extents(in: offset..<offset + UInt64(count), limit: 1)
    switch extents[0].source {
    case .file(let place): return try layer.file.bytes(at: place, count: count)
    case .zero, .hole: return [UInt8](repeating: 0, count: count)
    case .parent: return nil
    }
}
