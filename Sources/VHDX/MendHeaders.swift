import BlockIO
import ByteCodec
import DiskModel

/// Repairs of identifier, headers, log and region tables: steps 1 to 4 of `VHDXChecker.repair`.
extension Mender {
    mutating func mendIdentifier() throws {
        guard kinds.contains(.identifier) else { return }
        let bytes = try file.bytes(at: 0, count: FileTypeIdentifier.byteCount)
        var identifier = try FileTypeIdentifier(parsing: bytes.rawBytes)
        identifier.signature = FileTypeIdentifier.expectedSignature
        let keepsCreator = identifier.hasPlausibleCreator
        if !keepsCreator { identifier.creator = .zeros(identifier.creator.count) }
        try file.write(identifier.serialized(), at: 0)
        try file.sync()
        note(
            .identifier, .vhdxIdentifier, at: 0,
            "identifier written again" + (keepsCreator ? "" : ", its creator, which was no text, cleared"))
        try reopen()
    }

    mutating func mendHeaders() throws {
        guard kinds.contains(.headers), var headers = image.headers else { return }
        let isAmbiguous = headers.isAmbiguous
        let (bad, good) = (1 - headers.slot, headers.slot)
        let logVersion = headers.current.logVersion
        let clearsLogVersion = image.canClearLogVersion
        try headers.update(on: file) {
            $0.fileWriteGUID = .random()
            if clearsLogVersion { $0.logVersion = 0 }
        }
        if image.canMendHeaders {
            note(
                .headers, isAmbiguous ? .vhdxEqualSequenceNumbers : .vhdxHeaders, at: Layout.headerOffsets[bad],
                "header \(bad + 1) written again from header \(good + 1), both with new sequence numbers")
        }
        if clearsLogVersion {
            note(
                .headers, .vhdxLogVersion, at: Layout.headerOffsets[good] + 64,
                "LogVersion, which was \(logVersion), set to 0 in both headers")
        }
        try reopen()
    }

    mutating func mendLog() throws {
        guard var headers = image.headers else { return }
        let offset = Layout.headerOffsets[headers.slot] + 48
        if kinds.contains(.log), let ring = image.ring {
            try ring.replayIntoFile(&headers)
            note(
                .log, image.has(.vhdxReplayTooLarge) ? .vhdxReplayTooLarge : .vhdxDirtyLog, at: offset,
                "log replayed: \(ring.active?.count ?? 0) entries")
            try reopen()
        } else if kinds.contains(.dropLog), image.hasBrokenLog {
            // Something was logged, and may be lost: the disk may show other bytes than it last did.
            let changesData = try LogRing(scanning: file, header: headers.current).holdsEntry()
            try headers.update(on: file) {
                $0.logGUID = .zero
                $0.fileWriteGUID = .random()
                if changesData { $0.dataWriteGUID = .random() }
            }
            note(
                .dropLog, image.has(.vhdxNewerLogEntries) ? .vhdxNewerLogEntries : .vhdxNoLogSequence, at: offset,
                changesData ? "log given up" : "log given up; it held no entry")
            try reopen()
        }
    }

    mutating func mendRegions() throws {
        guard kinds.contains(.regions), let regions = image.regions, var headers = image.headers else { return }
        let good = try RegionTable.bytes(ofCopy: regions.copy, in: file)
        let target = Self.withRequiredBits(good, regions)
        try touch(&headers, changesData: false)
        for copy in [1 - regions.copy, regions.copy] {
            guard try RegionTable.bytes(ofCopy: copy, in: file) != target else { continue }
            let offset = Layout.regionTableOffsets[copy]
            try file.write(target, at: offset)
            try file.sync()
            let isCopied = copy != regions.copy && regions.otherCopyDiffers
            note(
                .regions, isCopied ? .vhdxRegionTableCopies : .vhdxRegionNotRequired, at: offset,
                "region table \(copy + 1) " + (isCopied ? "written again from the other one" : "got its Required bits"))
        }
        try reopen()
    }

    /// The table with the Required bit of the regions without which there is no disk.
    private static func withRequiredBits(_ table: [UInt8], _ regions: RegionTable) -> [UInt8] {
        var table = table
        let start = Layout.regionTableOffsets[regions.copy]
        for (entry, offset) in zip(regions.entries, regions.entryOffsets)
        where KnownGUID.requiredRegions.contains(entry.guid) {
            var raw = table.mutableRawBytes
            raw.store(entry.flags | 1, at: Int(offset - start) + 28, .little)
        }
        let checksum = crc32c(table.rawBytes, skippingField: 4)
        var raw = table.mutableRawBytes
        raw.store(checksum, at: 4, .little)
        return table
    }
}

extension FileTypeIdentifier {
    /// Text up to the first NUL, and nothing behind it.
    fileprivate var hasPlausibleCreator: Bool {
        let end = stride(from: 0, to: creator.count, by: 2).first { creator[$0] == 0 && creator[$0 + 1] == 0 }
        let text = strictUTF16(creator.rawBytes.extracting(0..<(end ?? creator.count)), .little)
        return isZero(creator.rawBytes.extracting((end ?? creator.count)..<creator.count))
            && text?.unicodeScalars.allSatisfy { $0.value >= 0x20 } == true
    }
}
