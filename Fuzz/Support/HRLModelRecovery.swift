// What a search through a log that was not closed must find.

extension HRLModel {
    /// A block that may be the last.
    public struct Leaf: Equatable, Sendable {
        public var blockOffset, endOfLog, writeCount: UInt64
    }

    public enum Recovery: Equatable, Sendable {
        case refused(String)
        /// Possible ends by offset, and what the log up to the last of them is.
        case leaves([Leaf], furthest: Verdict?)
    }

    public func recover() -> Recovery {
        var model = self
        do { try model.judgeIdentity() } catch { return .refused((error as? Refusal)?.code ?? "\(error)") }
        let declared = word(header, 56)
        let metadataSize: UInt64 = isUsable(metadataSize: declared) ? UInt64(declared) : 4096
        let counted = countedBlocks(metadataSize)
        let parents = counted.filter { $0.block.back != 0 }.map { $0.block.offset - $0.block.back }
        let leaves = counted.filter { !parents.contains($0.block.offset) }
            .map {
                Leaf(
                    blockOffset: $0.block.offset, endOfLog: $0.block.offset + metadataSize,
                    writeCount: $0.writeCount)
            }
        return .leaves(leaves, furthest: leaves.last.map { verdict(upTo: $0, metadataSize) })
    }

    private func verdict(upTo leaf: Leaf, _ metadataSize: UInt64) -> Verdict {
        var model = self
        do { try model.walk(to: leaf.endOfLog, metadataSize: metadataSize) } catch {
            return .refused((error as? Refusal)?.code ?? "\(error)")
        }
        return .accepted(model.reading)
    }

    /// Blocks that hold, whose data fills just the gap to the file header or to a block that counts. A sector of zeros
    /// is none: its checksum would not be zero.
    private func countedBlocks(_ metadataSize: UInt64) -> [(block: Block, writeCount: UInt64)] {
        var counted: [(block: Block, writeCount: UInt64)] = []
        for sector in file.sectors.keys.sorted() where sector * 512 >= 4096 {
            let offset = sector * 512
            guard offset + metadataSize <= file.byteCount else { break }
            let head = file.read(offset, 32)
            let (back, valid) = (long(head, 0), UInt64(word(head, 8)))
            guard checksum(offset, 32, at: 12) == word(head, 12), isZero(offset + 16..<offset + 32),
                valid <= (metadataSize - 32) / 32
            else { continue }
            let parent = counted.first { back != 0 && back <= offset && $0.block.offset == offset - back }
            if back != 0 && (back < metadataSize || parent == nil) { continue }
            let gap = back == 0 ? offset - 4096 : back - metadataSize
            guard total(offset, Int(valid)) == gap else { continue }
            counted.append((Block(offset: offset, back: back, valid: Int(valid)), (parent?.writeCount ?? 0) + valid))
        }
        return counted
    }

    /// The bytes that the entries of a block describe; nil when one does not hold.
    private func total(_ offset: UInt64, _ valid: Int) -> UInt64? {
        var total: UInt64 = 0
        for slot in 0..<valid {
            let place = offset + 32 + 32 * UInt64(slot)
            let entry = file.read(place, 32)
            let length = word(entry, 12)
            guard checksum(place, 32, at: 8) == word(entry, 8), entry[20] == 1, length > 0, length <= 2_147_483_648,
                entry[25...] == [0, 0, 0, 0, 0, 0, 0]
            else { return nil }
            total += UInt64(length)
        }
        return total
    }
}
