public import BlockIO
import ByteCodec
public import DiskModel

/// What is done to an image in place.
public struct Editor {
    /// Opens for reading, accepting nothing, and walks the whole table.
    public var open: (any BlockFile) throws -> any DiskLayer
    public var openForWriting: (any BlockFile) throws -> any WritableDiskLayer
    public var check: (any BlockFile) throws -> CheckReport
    public var repair: (any BlockFile, Set<RepairKind>) throws -> [RepairAction]
    public var resize: (any BlockFile, UInt64) throws -> ResizePlan
    public var compact: (any BlockFile) throws -> CompactionPlan

    public init(
        open: @escaping (any BlockFile) throws -> any DiskLayer,
        openForWriting: @escaping (any BlockFile) throws -> any WritableDiskLayer,
        check: @escaping (any BlockFile) throws -> CheckReport,
        repair: @escaping (any BlockFile, Set<RepairKind>) throws -> [RepairAction],
        resize: @escaping (any BlockFile, UInt64) throws -> ResizePlan,
        compact: @escaping (any BlockFile) throws -> CompactionPlan
    ) {
        (self.open, self.openForWriting) = (open, openForWriting)
        (self.check, self.repair, self.resize, self.compact) = (check, repair, resize, compact)
    }
}

/// No edit makes an image worse: a check changes nothing; repairs that cost nothing, growing, shrinking and compacting leave
/// a readable image readable with the same bytes, whether they succeed or refuse; and what a check calls clean opens for
/// writing.
public func tryEdits(_ contents: MemoryFile.Contents, _ editor: Editor) {
    let original = MemoryFile(contents)
    guard let report = try? editor.check(original) else { return }
    precondition(same(original.contents, contents), "a check changed the file")
    let layer = try? editor.open(original)
    let before = layer.flatMap { Fingerprint($0) }
    precondition(before == nil || report.isReadable, "it can be read, and the check calls it unreadable")
    if let layer, report.worst ?? .information == .information, layer.type != .differencing || layer.format == .vhdx {
        do { _ = try editor.openForWriting(MemoryFile(contents)) } catch {
            preconditionFailure("called clean, and does not open for writing: \(error)")
        }
    }
    // Big blocks would make each run slow, and teach nothing new.
    guard layer?.geometry.blockByteCount ?? 512 <= 2 << 20 else { return }
    expect(contents, editor, layer, before, "repaired") { _ = try editor.repair($0, RepairKind.lossless) }
    guard let layer, let before else { return }
    expect(contents, editor, layer, before, "compacted") { _ = try editor.compact($0) }
    resize(contents, editor, layer, before)
}

private func same(_ a: MemoryFile.Contents, _ b: MemoryFile.Contents) -> Bool {
    guard a.byteCount == b.byteCount else { return false }
    let (left, right) = (MemoryFile(a), MemoryFile(b))
    var position: UInt64 = 0
    while let data = [left.data(from: position), right.data(from: position)].compactMap({ $0 })
        .min(by: { $0.lowerBound < $1.lowerBound })
    {
        guard a.bytes(data) == b.bytes(data) else { return false }
        position = data.upperBound
    }
    return true
}

private func expect(
    _ contents: MemoryFile.Contents, _ editor: Editor, _ layer: (any DiskLayer)?, _ before: Fingerprint?,
    _ what: String,
    _ edit: (any BlockFile) throws -> Void
) {
    let file = MemoryFile(contents)
    try? edit(file)
    guard layer != nil, let before else { return }
    do {
        let after = Fingerprint(try editor.open(MemoryFile(file.contents)))
        precondition(after == before, "\(what), and the disk shows other bytes")
    } catch { preconditionFailure("\(what), and it does not open: \(error)") }
}

/// A block more, and back.
private func resize(
    _ contents: MemoryFile.Contents, _ editor: Editor, _ layer: any DiskLayer, _ before: Fingerprint
) {
    let old = layer.geometry.virtualByteCount
    let new = old + (layer.geometry.blockByteCount ?? 4096) + UInt64(layer.geometry.logicalSectorByteCount)
    let file = MemoryFile(contents)
    let isDone = (try? editor.resize(file, new)) != nil
    do {
        let grown = try editor.open(MemoryFile(file.contents))
        precondition(grown.geometry.virtualByteCount == (isDone ? new : old))
        precondition(Fingerprint(grown, limit: old) == before, "grown, and the disk shows other bytes")
        if let all = Fingerprint(grown), grown.type != .differencing {
            precondition(all.isZero(from: old), "grown, and the new end is not zero")
        }
    } catch { preconditionFailure("grown (\(isDone)), and it does not open: \(error)") }
    guard isDone else { return }
    do {
        _ = try editor.resize(file, old)
        let back = Fingerprint(try editor.open(MemoryFile(file.contents)))
        precondition(back == before, "grown and shrunk, and the disk shows other bytes")
    } catch { preconditionFailure("grown, and does not shrink: \(error)") }
}
