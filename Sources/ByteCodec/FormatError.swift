/// What is wrong with the bytes of a file, and where: one code a rule of the format's document.
public struct FormatError: Error, Hashable, Sendable {
    /// A stable code such as `VHDX012`; each format declares its own as static members in an extension.
    public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible, Comparable {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        public init(_ rawValue: String) { self.rawValue = rawValue }
        public var description: String { rawValue }
        public static func < (a: Code, b: Code) -> Bool { a.rawValue < b.rawValue }
    }

    public var code: Code
    /// The specification's name of the field or structure.
    public var field: String
    /// Byte offset in the file.
    public var offset: UInt64
    /// What was found and what was expected, in words.
    public var problem: String
    /// Section of the specification, or of our format document.
    public var section: String

    public init(_ code: Code, field: String, offset: UInt64, _ problem: String, section: String) {
        (self.code, self.field, self.offset) = (code, field, offset)
        (self.problem, self.section) = (problem, section)
    }
}

extension FormatError: CustomStringConvertible {
    public var description: String { "\(code): \(field) \(problem) (offset 0x\(String(offset, radix: 16)))" }
}

extension FormatError.Code {
    /// A structure needs more bytes than there are. Formats catch it and put their own code.
    public static let truncated = Self("TRUNCATED")
}
