import ByteCodec
import DiskModel

/// What would mend a breach that was found while opening.
extension CheckedImage {
    func repairs(of finding: Finding) -> [RepairKind] {
        switch finding.detail.code {
        case .vhdxIdentifier: canMendIdentifier ? [.identifier] : []
        case .vhdxHeaders, .vhdxEqualSequenceNumbers:
            finding.severity == .warning && canMendHeaders ? [.headers] : []
        case .vhdxLogVersion: finding.severity == .warning && canClearLogVersion ? [.headers] : []
        case .vhdxDirtyLog: canReplay ? [.log] : []
        case .vhdxReplayTooLarge: canReplay ? [.log] : []
        case .vhdxNoLogSequence, .vhdxNewerLogEntries: canUpdateHeaders ? [.dropLog] : []
        case .vhdxStructurePastEnd: structureEnd == nil || !canUpdateHeaders ? [] : [.tails]
        case .vhdxRegionTableCopies, .vhdxRegionNotRequired: canMendRegions ? [.regions] : []
        case .vhdxItemFlags, .vhdxReservedFlags, .vhdxMetadataReserved: canLog ? [.metadata] : []
        default: []
        }
    }

    /// Two valid headers are the only other sign that the file is a VHDX image at all.
    var canMendIdentifier: Bool { validHeaders.count == 2 && headers?.current.version == 1 }

    /// Whether the file may be changed at all: files of another version, and without numbers left, may not.
    var canUpdateHeaders: Bool {
        guard !validHeaders.isEmpty, let header = headers?.current else { return false }
        return header.version == 1 && header.canGrow
    }

    var canReplay: Bool { canUpdateHeaders && ring != nil }

    /// One header is bad; or both are good, contradict each other under one number, and mean the same log.
    var canMendHeaders: Bool {
        guard canUpdateHeaders, let headers else { return false }
        return validHeaders.count == 1 || (headers.isAmbiguous && haveHeadersOneLog)
    }

    /// A LogVersion that no log goes with; headers that contradict each other are mended first, or not at all.
    var canClearLogVersion: Bool {
        guard canUpdateHeaders, let headers, !headers.isAmbiguous || canMendHeaders else { return false }
        return headers.current.logGUID == .zero && headers.current.logVersion != 0
    }

    /// A table that is valid, with its entries in order.
    var canMendRegions: Bool { canUpdateHeaders && hasValidRegionTable }

    /// Whether changes can go through the log, perhaps after others that come first.
    var canLog: Bool {
        canUpdateHeaders && map != nil && logRange != nil && (!has(.vhdxStructurePastEnd) || structureEnd != nil)
    }
}
