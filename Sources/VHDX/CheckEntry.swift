import BlockIO
import ByteCodec
import DiskModel

/// A breach of a rule by one entry of the block allocation table, and what would mend it.
struct TableProblem {
    enum Remedy {
        /// The entry becomes this one.
        case entry(TableEntry)
        /// The file gets this length.
        case extend(to: UInt64)
    }
    var severity: Finding.Severity
    var error: FormatError
    var remedies: [(kind: RepairKind, remedy: Remedy)] = []

    var repairs: [RepairKind] { remedies.map(\.kind) }

    /// What the entry becomes when these repairs are asked for.
    func mended(by kinds: Set<RepairKind>) -> (kind: RepairKind, entry: TableEntry)? {
        for (kind, remedy) in remedies {
            if kinds.contains(kind), case .entry(let entry) = remedy { return (kind, entry) }
        }
        return nil
    }
}

/// The rules for one entry, for checker and mender alike. [MS-VHDX] 2.5.1
struct TableRules {
    let isFixed: Bool
    let mayHaveLostItsParent: Bool

    struct Verdict {
        var problems: [TableProblem] = []
        /// What the entry claims of the file; nil when it claims nothing, or has no right to.
        var claim: Range<UInt64>?
        /// A payload block in its place.
        var isPresent = false
    }

    init(_ image: CheckedImage) {
        (isFixed, mayHaveLostItsParent) = (image.isFixed, image.mayHaveLostItsParent)
    }

    /// - Parameter isBitmapUsed: whether the chunk of a sector bitmap has blocks in state 7.
    func judge(
        _ entry: TableEntry, _ use: TableGeometry.Use, isBitmapUsed: Bool, _ map: inout BlockMap, _ file: any BlockFile
    ) throws -> Verdict {
        switch use {
        case .payload(let block): try judge(entry, ofBlock: block, &map, file)
        case .bitmap(let chunk): try judge(entry, ofBitmap: chunk, isUsed: isBitmapUsed, &map)
        }
    }

    // MARK: Payload blocks

    private func judge(
        _ entry: TableEntry, ofBlock block: UInt64, _ map: inout BlockMap, _ file: any BlockFile
    ) throws -> Verdict {
        var verdict = Verdict()
        var failure: FormatError?
        do throws(FormatError) {
            let place = try map.check(entry, ofBlock: block)
            if place.state.isPresent {
                let end = place.fileOffset + map.geometry.blockByteCount
                verdict.isPresent = true
                verdict.claim = place.fileOffset..<min(end, map.fileByteCount)
                if isFixed, end > map.fileByteCount { verdict.problems.append(cut(block, end, map)) }
            }
        } catch { failure = error }
        for note in map.takeFindings() {
            verdict.problems.append(
                TableProblem(
                    severity: note.severity, error: note.detail, remedies: remedies(note.detail, entry, block, map)))
        }
        if let failure {
            verdict.problems.append(
                TableProblem(severity: .error, error: failure, remedies: remedies(failure, entry, block, map)))
        } else if entry.stateBits == BlockState.partiallyPresent.rawValue, map.geometry.isDifferencing,
            try hasNoBitmap(block, &map, file)
        {
            verdict.problems.append(
                TableProblem(severity: .error, error: map.noBitmap(of: block, map.geometry.chunk(ofBlock: block))))
        }
        return verdict
    }

    /// A broken entry of a sector bitmap is told of at its own place.
    private func hasNoBitmap(_ block: UInt64, _ map: inout BlockMap, _ file: any BlockFile) throws(IOError) -> Bool {
        let chunk = map.geometry.chunk(ofBlock: block)
        return try map.table.entry(map.geometry.index(ofBitmapBlock: chunk), in: file).stateBits == 0
    }

    private func cut(_ block: UInt64, _ end: UInt64, _ map: BlockMap) -> TableProblem {
        TableProblem(
            severity: .warning,
            error: map.error(
                .vhdxFixedTooShort, "FileOffsetMB", map.geometry.index(ofPayloadBlock: block),
                "of block \(block) places its end at \(end), but the file of this fixed image ends at \(map.fileByteCount)"
            ), remedies: [(.tails, .extend(to: end))])
    }

    private func remedies(
        _ error: FormatError, _ entry: TableEntry, _ block: UInt64, _ map: BlockMap
    ) -> [(kind: RepairKind, remedy: TableProblem.Remedy)] {
        switch error.code {
        case .vhdxEntryReserved: return cleared(entry)
        case .vhdxBlockState where entry.state == .partiallyPresent:
            return mayHaveLostItsParent
                ? [] : [(.bat, .entry(TableEntry(.fullyPresent, fileOffset: entry.fileOffset)))]
        case .vhdxBlockState, .vhdxPresentWithoutOffset, .vhdxOffsetTooLarge: return [(.dropBlocks, .entry(.absent))]
        case .vhdxBlockPastEnd:
            let end = entry.fileOffset + map.geometry.blockByteCount
            let isCut = entry.fileOffset < map.fileByteCount
            return (isCut ? [(.tails, .extend(to: end))] : []) + [(.dropBlocks, .entry(.absent))]
        default: return []
        }
    }

    /// Where reserved bits are set, the others may be wrong as well. Those of a present block, whose place is checked, and
    /// those of an entry without offset are taken at their word; an absent block with an offset was perhaps present.
    private func cleared(_ entry: TableEntry) -> [(kind: RepairKind, remedy: TableProblem.Remedy)] {
        guard entry.reservedIsZero || entry.state?.isPresent == true || entry.fileOffset == 0 else { return [] }
        return [(.bat, .entry(entry.withoutReservedBits))]
    }

    // MARK: Sector bitmap blocks

    private func judge(
        _ entry: TableEntry, ofBitmap chunk: UInt64, isUsed: Bool, _ map: inout BlockMap
    ) throws -> Verdict {
        guard map.geometry.isDifferencing else {
            let dropped: [(RepairKind, TableProblem.Remedy)] =
                mayHaveLostItsParent ? [] : [(.bitmaps, .entry(.absent))]
            return Verdict(problems: [
                TableProblem(severity: .warning, error: map.strayBitmap(entry, chunk), remedies: dropped)
            ])
        }
        let dropped: [(kind: RepairKind, remedy: TableProblem.Remedy)] = isUsed ? [] : [(.bitmaps, .entry(.absent))]
        var verdict = Verdict()
        var failure: FormatError?
        do throws(FormatError) {
            if let offset = try map.bitmapOffset(entry, ofChunk: chunk) {
                verdict.claim = offset..<offset + Layout.bitmapBlockByteCount
            }
        } catch { failure = error }
        for note in map.takeFindings() {
            verdict.problems.append(
                TableProblem(severity: note.severity, error: note.detail, remedies: cleared(entry)))
        }
        if let failure {
            verdict.problems.append(TableProblem(severity: .error, error: failure, remedies: dropped))
        } else if verdict.claim == nil, entry.fileOffset != 0 {
            let problem = map.error(
                .vhdxEntryReserved, "FileOffsetMB", map.geometry.index(ofBitmapBlock: chunk),
                "of sector bitmap \(chunk) is not zero in state 0; ignored")
            verdict.problems.append(
                TableProblem(severity: .warning, error: problem, remedies: cleared(entry)))
        } else if verdict.claim != nil, !isUsed {
            let problem = map.error(
                .vhdxUnusedSectorBitmap, "State", map.geometry.index(ofBitmapBlock: chunk),
                "of sector bitmap \(chunk) is 6, but no block of its chunk is in state 7")
            verdict.problems.append(TableProblem(severity: .information, error: problem, remedies: dropped))
        }
        return verdict
    }
}

extension TableEntry {
    /// Neither present, nor with a sign that it was.
    var isPlainlyAbsent: Bool { stateBits < 4 && rawValue == UInt64(stateBits) }

    /// Reserved bits zero, and no offset in the states that have none.
    var withoutReservedBits: TableEntry {
        let offset = [0, BlockState.zero.rawValue].contains(stateBits) ? 0 : fileOffset
        return TableEntry(rawValue: offset | UInt64(stateBits))
    }
}
