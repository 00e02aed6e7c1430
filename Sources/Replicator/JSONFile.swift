import BlockIO
import DiskModel
import FoundationEssentials

/// A state file: JSON with sorted keys, replaced as a whole.
enum JSONFile {
    /// A state file larger than this is none of ours.
    static let byteLimit: UInt64 = 64 << 20

    /// - Returns: nil when there is no such file.
    static func load<Document: Decodable>(_ type: Document.Type, _ path: String) throws(DiskError) -> Document? {
        let bytes: [UInt8]
        do {
            let file = try PosixFile(path)
            let count = try file.byteCount()
            guard count <= byteLimit else { throw damaged(path, "it has \(count) bytes") }
            bytes = try file.bytes(at: 0, count: Int(count))
        } catch let error as IOError {
            if error.isMissing { return nil }
            throw DiskError(error, doing: "reading the state")
        } catch let error as DiskError {
            throw error
        } catch { throw DiskError(.io, path: path, "\(error)") }
        do { return try JSONDecoder().decode(type, from: Data(bytes)) } catch {
            throw damaged(path, explanation(error))
        }
    }

    static func save(_ document: some Encodable, _ path: String) throws(DiskError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let data: Data
        do { data = try encoder.encode(document) } catch { throw DiskError(.io, path: path, "\(error)") }
        do { try replaceFile(path, with: [UInt8](data) + [UInt8(ascii: "\n")]) } catch {
            throw DiskError(error, doing: "writing the state")
        }
    }

    static func damaged(_ path: String, _ why: String) -> DiskError {
        DiskError(
            .refused, path: path, "this state file is damaged or not ours: \(why)",
            hint: "bring it back from a backup, or remove the relationship and protect again")
    }

    private static func explanation(_ error: any Error) -> String {
        func place(_ context: DecodingError.Context) -> String {
            let path = context.codingPath.map { $0.intValue.map(String.init) ?? $0.stringValue }.joined(separator: ".")
            return path.isEmpty ? "at the top" : "at \(path)"
        }
        switch error as? DecodingError {
        case .typeMismatch(_, let context): return "wrong type \(place(context))"
        case .valueNotFound(_, let context): return "no value \(place(context))"
        case .keyNotFound(let key, let context): return "no \(key.stringValue) \(place(context))"
        case .dataCorrupted(let context): return "\(context.debugDescription) \(place(context))"
        default: return "\(error)"
        }
    }
}

extension IOError {
    /// Whether there is no such file or folder.
    var isMissing: Bool { reason == .errno(2) || reason == .errno(20) }
}
