import Toolbox

/// A dotted path into the result, such as `partitions.entries.0.type`.
struct FieldPath {
    enum Lookup {
        case found(JSONValue)
        /// What is wrong, with the names there are.
        case unknown(String)
    }

    let text: String
    private let components: [String]

    init(_ text: String) {
        self.text = text
        components = text.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    }

    /// The result's key in which the path begins.
    var key: ResultKey? { components.first.flatMap(ResultKey.init(rawValue:)) }

    /// Set when the path begins with no key of any result.
    var unknownKey: String? {
        key != nil ? nil : "no \"\(components.first ?? "")\" there; \(Self.list(ResultKey.allCases.map(\.rawValue)))"
    }

    /// Follows the path from the value of its key on.
    func find(in value: JSONValue) -> Lookup {
        var value = value
        var parent = components[0]
        for component in components.dropFirst() {
            guard let next = value[component] else {
                return .unknown("no \"\(component)\" in \(parent); \(Self.choices(in: value))")
            }
            value = next
            parent += "." + component
        }
        return .found(value)
    }

    private static func choices(in value: JSONValue) -> String {
        switch value {
        case .object(let members) where !members.isEmpty: list(members.map(\.key))
        case .array(let elements) where !elements.isEmpty: "there are 0 to \(elements.count - 1)"
        case .object, .array: "it is empty"
        case .null: "it is null"
        default: "it is a single value"
        }
    }

    private static func list(_ names: [String]) -> String { "there are \(names.joined(separator: ", "))" }
}
