public import ByteCodec

/// The UniqueId of a log. Never zero: on disk zero means "no log", here `nil` does.
public struct LogID: Hashable, Codable, Sendable, CustomStringConvertible {
    public let guid: GUID

    /// nil for the zero GUID, so that a header's PreviousUniqueId turns into the predecessor or none.
    public init?(_ guid: GUID) {
        guard guid != .zero else { return nil }
        self.guid = guid
    }

    public var description: String { guid.description }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let guid = GUID(text), let id = LogID(guid) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a log's UniqueId: \(text)")
        }
        self = id
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(guid.description)
    }
}
