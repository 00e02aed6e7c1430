import ByteCodec
import DiskModel
import ImageChain
import Toolbox

extension ImageDescription {
    /// One element of `chain`. What only a diagnosis tells is null without one.
    func chainLink(_ index: Int) -> JSONValue {
        let layer = links[index].layer
        let diagnosis = self.diagnosis?.links[index]
        return [
            "path": .string(links[index].path), "format": .string(layer.format.rawValue),
            "type": .string(layer.type.rawValue),
            "id": layer.format == .raw ? .null : .string(layer.identity.description),
            "virtual_size": .unsigned(layer.geometry.virtualByteCount), "log_replayed": .bool(layer.hasReplayedLog),
            "logical_sector_size": .integer(Int64(layer.geometry.logicalSectorByteCount)),
            "file_size": .optional(diagnosis?.fileByteCount),
            "log": .optional(diagnosis?.log.state.rawValue),
            "readable": .optional(diagnosis?.isReadable, JSONValue.bool),
            "findings": .optional(diagnosis?.findings) { .array($0.map(\.json)) },
            "check_error": .optional(diagnosis?.checkError?.description),
            "parent": .optional(diagnosis?.parent, \.json),
            "repairs": .optional(diagnosis?.repairs) { .array($0.map(\.json)) },
        ]
    }
}

extension ChainDiagnosis {
    var verdictJSON: JSONValue {
        [
            "whole": .bool(isWhole), "images": .integer(Int64(links.count)),
            "errors": .integer(Int64(errorCount)), "warnings": .integer(Int64(warningCount)),
            "pending_logs": .integer(Int64(pendingLogCount)), "problem": .optional(error?.description),
            "unfinished_merge": .optional(unfinishedMerge) {
                ["image": .integer(Int64($0.linkIndex)), "target": .optional($0.target)]
            },
        ]
    }
}

extension ParentDiagnosis {
    fileprivate var json: JSONValue {
        [
            "outcome": .string(outcome.rawValue),
            "expected": .array(expected.map { ["field": .string($0.field), "id": .string($0.id.description)] }),
            "found": .optional(found?.description), "path": .optional(path),
            "tried": .array(candidates.map { $0.keyedJSON }),
            "differences": .array(differences.map(\.json)),
            "found_elsewhere": .optional(scan?.path),
            "problem": .optional(error?.description),
        ]
    }
}

extension ParentCandidate {
    fileprivate var keyedJSON: JSONValue {
        [
            "key": .string(key), "path": .string(path), "outcome": .string(words.outcome),
            "detail": .optional(words.detail),
        ]
    }
}

extension LinkDifference {
    fileprivate var json: JSONValue {
        [
            "what": .string(what.rawValue), "child": .string(child), "parent": .string(parent),
            "meaning": .string(meaning),
        ]
    }
}

extension CheckFinding {
    fileprivate var json: JSONValue {
        guard case .object(let members) = finding.json else { return finding.json }
        return .object(members + [.init("repairs", .array(repairs.map { .string($0.rawValue) }))])
    }
}

extension ChainRepair {
    fileprivate var json: JSONValue {
        [
            "kind": .string(kind.rawValue), "reason": .string(reason),
            "command": .optional(command.isEmpty ? nil : shellCommand(command)),
            "arguments": .array(command.map(JSONValue.string)), "risk": .optional(risk),
        ]
    }
}
