import ByteCodec
import Digest
import DiskModel
import ImageChain
import Toolbox

extension ImageDescription {
    /// The document's `result`.
    var json: JSONValue { .object(ResultKey.allCases.map { .init($0.rawValue, value(of: $0)) }) }

    func value(of key: ResultKey) -> JSONValue {
        switch key {
        case .format: .string(leaf.format.rawValue)
        case .type: .string(leaf.type.rawValue)
        case .virtualSize: .unsigned(leaf.geometry.virtualByteCount)
        case .fileSize: .unsigned(fileByteCount)
        case .allocatedBytes: .optional(allocatedByteCount)
        case .blockSize: .optional(leaf.geometry.blockByteCount)
        case .logicalSectorSize: .integer(Int64(leaf.geometry.logicalSectorByteCount))
        case .physicalSectorSize: .integer(Int64(leaf.geometry.physicalSectorByteCount))
        case .creator: .optional(report?.creator)
        case .created: .optional(report?.created?.description)
        case .createdRaw: .optional(report?.created) { .integer(Int64($0.rawValue)) }
        case .diskID: .optional(report?.diskID.description)
        case .writeIDs: .object((report?.writeIDs ?? []).map { .init($0.name, .string($0.id.description)) })
        case .log: logValue
        case .blocks: .object((census?.counts ?? []).map { .init($0.state, .unsigned($0.count)) })
        case .parent: .optional(parent, \.json)
        case .chain: .array(links.indices.map { chainLink($0) })
        case .chainVerdict: .optional(diagnosis, \.verdictJSON)
        case .structures: .array((report?.structures ?? []).map(\.json))
        case .gaps: .array(gaps.map(\.json))
        case .gapCount: .optional(census) { .integer(Int64($0.gapCount)) }
        case .findings: .array(findings.map(\.json))
        case .partitions: .optional(partitions, \.json)
        case .sealed: .bool(isSealed)
        }
    }

    /// In a raw image every byte is the disk's.
    var allocatedByteCount: UInt64? {
        leaf.format == .raw ? leaf.geometry.virtualByteCount : census?.allocatedByteCount
    }

    private var logValue: JSONValue {
        let log = report?.log ?? MetadataLogReport(state: .none)
        return [
            "state": .string(log.state.rawValue), "guid": .optional(log.guid?.description),
            "entries": .integer(Int64(log.entryCount)), "sequence": .optional(log.sequenceNumber),
        ]
    }
}

extension ParentSearchResult {
    var json: JSONValue {
        [
            "locators": .array(locators.map { $0.json }), "path": .optional(path),
            "identity": .string(outcome.rawValue),
            "expected": .array(link.identities.map { .string($0.description) }),
            "found": .optional(found?.description),
        ]
    }

    struct Locator {
        var locator: ParentLocator
        /// The places looked at because of it; a place that two locators lead to stands under the first.
        var tried: [ParentCandidate]
        var json: JSONValue {
            [
                "key": .string(locator.key), "kind": .string(locator.kind.rawValue), "path": .string(locator.path),
                "tried": .array(tried.map(\.json)),
            ]
        }
    }

    var locators: [Locator] {
        var seen: Set<String> = []
        return link.locators.map { locator in
            let isFirst = seen.insert(locator.key).inserted
            return Locator(locator: locator, tried: isFirst ? candidates.filter { $0.key == locator.key } : [])
        }
    }
}

extension ParentCandidate {
    var words: (outcome: String, detail: String?) {
        switch outcome {
        case .match: ("match", nil)
        case .mismatch(let id): ("mismatch", id.description)
        case .missing: ("missing", nil)
        case .unusable(let why): ("unusable", why)
        case .outside: ("outside", nil)
        }
    }
    var json: JSONValue {
        ["path": .string(path), "outcome": .string(words.outcome), "detail": .optional(words.detail)]
    }
}

extension StructureReport {
    var json: JSONValue {
        [
            "name": .string(name), "offset": .unsigned(offset), "size": .unsigned(byteCount), "valid": .bool(isValid),
            "active": .bool(isActive), "reason": .string(reason), "fields": .array(fields.map(\.json)),
        ]
    }
}

extension FieldDump {
    var json: JSONValue {
        let (kind, value): (String, JSONValue) =
            switch self.value {
            case .integer(let number):
                ("integer", byteCount == 8 ? .hexadecimal(number) : .unsigned(number))
            case .guid(let id): ("guid", .string(id.description))
            case .bytes(let bytes): ("bytes", .string(bytes.hexadecimal))
            case .reserved(let allZero): ("reserved", .string(allZero ? "zero" : "nonzero"))
            }
        return [
            "name": .string(name), "offset": .integer(Int64(offset)), "size": .integer(Int64(byteCount)),
            "kind": .string(kind), "value": value,
        ]
    }
}

extension Gap {
    var json: JSONValue {
        [
            "offset": .unsigned(range.lowerBound), "length": .unsigned(range.upperBound - range.lowerBound),
            "zero": .optional(isZero, JSONValue.bool),
        ]
    }
}

extension Finding {
    var json: JSONValue {
        [
            "code": .string(detail.code.rawValue), "severity": .string(severity.rawValue),
            "offset": .unsigned(detail.offset), "section": .string(detail.section),
            "message": .string("\(detail.field) \(detail.problem)"),
        ]
    }
}

extension PartitionGlance {
    var json: JSONValue {
        [
            "table": .string(table.rawValue), "entries": .array(entries.map(\.json)),
            "remarks": .array(remarks.map(JSONValue.string)),
        ]
    }
}

extension PartitionEntry {
    var json: JSONValue {
        [
            "index": .integer(Int64(index)), "type": .optional(type), "type_name": .optional(typeName),
            "start": .unsigned(start), "length": .unsigned(byteCount), "name": .optional(name),
            "filesystem": .optional(fileSystem?.rawValue),
        ]
    }
}
