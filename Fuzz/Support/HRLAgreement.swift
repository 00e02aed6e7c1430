public import BlockIO
import ByteCodec
import DiskModel
import HRL

/// Where the reader, the checker or the search for lost ends says something else of a log than the model does.
public struct HRLAgreement {
    private let sectors: SectorFile
    private let model: HRLModel
    private let contents: MemoryFile.Contents
    private let diskByteCount: UInt64?
    private let options: HRLReadOptions

    /// - Parameter contents: what the readers get, where that is to be another file than the model's.
    public init(
        _ sectors: SectorFile, diskByteCount: UInt64? = nil, accepted: Set<String> = [],
        contents: MemoryFile.Contents? = nil
    ) {
        self.sectors = sectors
        self.diskByteCount = diskByteCount
        model = HRLModel(sectors, diskByteCount: diskByteCount, accepted: accepted)
        verdict = model.read()
        self.contents = contents ?? sectors.memoryContents
        options = HRLReadOptions(accepting: Set(accepted.map { FormatError.Code($0) }))
    }

    /// What the model says.
    public let verdict: HRLModel.Verdict

    /// Nil when all agree; else who differs, and how.
    public func disagreement() -> String? {
        readerDisagreement() ?? applicationDisagreement() ?? checkerDisagreement() ?? recoveryDisagreement()
    }

    private func readerDisagreement() -> String? {
        let (read, expected) = (verdict(ofOpening: { try LogReader(MemoryFile(contents), options: options) }), verdict)
        guard read == expected else { return difference("reader", read, expected) }
        // Streaming without a disk, as hrl-dump does.
        let free = diskByteCount == nil ? verdict : HRLModel(sectors, accepted: model.accepted).read()
        let streamed = verdict(isStreaming: true) { try LogReader(MemoryFile(contents), options: options) }
        return streamed == free ? nil : difference("streaming reader", streamed, free)
    }

    /// What a reader says, in the words of the model.
    private func verdict(isStreaming: Bool = false, ofOpening open: () throws -> LogReader) -> HRLModel.Verdict {
        var reading = HRLModel.Reading()
        do {
            let reader = try open()
            let summary =
                isStreaming
                ? try reader.forEachWrite(verifyingData: true) { reading.writes.append(.init($0)) }
                : try reader.validate(virtualByteCount: diskByteCount) { reading.writes.append(.init($0)) }
            precondition(
                summary.writeCount == UInt64(reading.writes.count) && summary.byteCount == reading.byteCount,
                "the reader's totals are not those of its writes")
            reading.blockCount = Int(summary.blockCount)
            reading.checksummedCount = Int(summary.checksummedWriteCount)
            reading.notes = Set(summary.findings.map { "\($0.detail.code) \($0.severity.rawValue)" })
        } catch { return .refused(code(of: error)) }
        return .accepted(reading)
    }

    private func applicationDisagreement() -> String? {
        guard let reader = try? LogReader(MemoryFile(contents), options: options) else { return nil }
        var found: String?
        do { try reader.checkApplicable() } catch { found = code(of: error) }
        let expected = model.reasonNotToApply()
        return found == expected ? nil : "applying: \(found ?? "yes"), the model says \(expected ?? "yes")"
    }

    private func checkerDisagreement() -> String? {
        let check: LogCheck
        do { check = try checkLog(MemoryFile(contents), virtualByteCount: diskByteCount) } catch {
            return "the checker throws \(error)"
        }
        let found = Set(check.findings.map { "\($0.detail.code) \($0.severity.rawValue)" })
        switch model.accepted.isEmpty ? verdict : HRLModel(sectors, diskByteCount: diskByteCount).read() {
        case .refused(let code):
            return found.contains("\(code) error") ? nil : "checker: \(found.sorted()), the model refuses with \(code)"
        case .accepted(let reading):
            var expected = reading.notes
            if !reading.writes.isEmpty, reading.checksummedCount == 0 { expected.insert("HRL016 info") }
            return found == expected ? nil : "checker: \(found.sorted()), the model says \(expected.sorted())"
        }
    }

    private func recoveryDisagreement() -> String? {
        // The size of a disk is not asked there.
        let expected = HRLModel(sectors, accepted: model.accepted).recover()
        let file = MemoryFile(contents)
        let recovered: RecoveredLog
        do { recovered = try recover(unclosed: file) } catch {
            let found = HRLModel.Recovery.refused(code(of: error))
            return found == expected ? nil : "recovery: \(found), the model says \(expected)"
        }
        let kept = recovered.candidates.map {
            HRLModel.Leaf(blockOffset: $0.blockOffset, endOfLog: $0.endOfLog, writeCount: $0.writeCount)
        }
        guard case .leaves(let leaves, let furthest) = expected,
            Array(leaves.suffix(RecoveredLog.keptCandidateCount)) == kept, leaves.count == recovered.candidateCount
        else { return "recovery: ends at \(kept), the model says \(expected)" }
        guard let last = recovered.candidates.last, let furthest else {
            return furthest == nil ? nil : "recovery finds no end"
        }
        let picked = try? recovered.candidate()
        guard picked == (leaves.count == 1 ? last : nil) else { return "recovery picks \(String(describing: picked))" }
        let read = verdict(isStreaming: true) { recovered.reader(of: last, options: options) }
        guard same(read, furthest) else { return difference("recovery", read, furthest) }
        return copyDisagreement(recovered, last, furthest)
    }

    /// The closed copy must hold just the writes that were found.
    private func copyDisagreement(
        _ recovered: RecoveredLog, _ candidate: RecoveredLog.Candidate, _ verdict: HRLModel.Verdict
    ) -> String? {
        guard case .accepted(let reading) = verdict, sectors.byteCount <= 1 << 20, model.accepted.isEmpty else {
            return nil
        }
        let copy = MemoryFile()
        do { try recovered.writeClosedCopy(of: candidate, to: copy, time: DiskTimestamp(rawValue: 5000)) } catch {
            return "the closed copy fails: \(error)"
        }
        let read = HRLModel(SectorFile(copy.allBytes), accepted: ["HRL024"]).read()
        guard case .accepted(let copied) = read, copied.writes == reading.writes else {
            return difference("the closed copy", read, verdict)
        }
        return nil
    }

    /// Findings aside: recovery tells of the header in its own way.
    private func same(_ a: HRLModel.Verdict, _ b: HRLModel.Verdict) -> Bool {
        switch (a, b) {
        case (.refused(let a), .refused(let b)): a == b
        case (.accepted(let a), .accepted(let b)): a.writes == b.writes && a.blockCount == b.blockCount
        default: false
        }
    }

    private func code(of error: any Error) -> String {
        (error as? DiskError)?.formatError?.code.rawValue ?? "\(error)"
    }

    private func difference(_ who: String, _ found: HRLModel.Verdict, _ expected: HRLModel.Verdict) -> String {
        "\(who): \(text(found)); the model: \(text(expected))"
    }

    private func text(_ verdict: HRLModel.Verdict) -> String {
        switch verdict {
        case .refused(let code): "refused with \(code)"
        case .accepted(let reading):
            "accepted \(reading.writes.count) writes of \(reading.byteCount) bytes in \(reading.blockCount) blocks, "
                + "\(reading.notes.sorted()), last \(String(describing: reading.writes.last))"
        }
    }
}

extension HRLModel.Write {
    init(_ write: LogWrite) {
        self.init(
            number: write.number, diskOffset: write.diskOffset, byteCount: write.byteCount,
            dataOffset: write.dataOffset, time: write.timestamp.rawValue)
    }
}

extension SectorFile {
    /// The same file for the readers, holes kept.
    public var memoryContents: MemoryFile.Contents {
        var contents = MemoryFile.Contents()
        for (index, sector) in sectors {
            contents.write(sector.rawBytes, at: index * 512)
        }
        contents.resize(to: byteCount)
        return contents
    }
}
