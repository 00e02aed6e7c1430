public import BlockIO
public import ByteCodec

/// A failed operation on a disk or a log: a stable kind, the file, what was being done, and the cause.
public struct DiskError: Error, Sendable {
    public enum Kind: String, Sendable {
        /// The bytes break a rule of the format.
        case format
        /// Not an image of any format we know.
        case unrecognised
        case io
        case outOfRange
        /// A parent is there but is not the one the child names.
        case identityMismatch
        case parentMissing
        /// A chain that loops or is deeper than allowed.
        case chain
        /// A feature that is not supported, or refused for safety.
        case refused
        /// Another writer has the file.
        case busy
        /// Wrong or missing key.
        case key
    }

    public enum Cause: Sendable, Equatable {
        case format(FormatError)
        case io(IOError)
        case message(String)
    }

    public var kind: Kind
    public var path: String
    /// What was being done, such as "reading the BAT"; may be empty.
    public var doing: String
    public var cause: Cause
    /// What a person can do about it.
    public var hint: String?

    public init(_ kind: Kind, path: String, doing: String = "", cause: Cause, hint: String? = nil) {
        (self.kind, self.path, self.doing, self.cause, self.hint) = (kind, path, doing, cause, hint)
    }

    public init(_ kind: Kind, path: String, _ message: String, hint: String? = nil) {
        self.init(kind, path: path, cause: .message(message), hint: hint)
    }

    public init(_ error: FormatError, path: String, doing: String = "", hint: String? = nil) {
        self.init(.format, path: path, doing: doing, cause: .format(error), hint: hint)
    }

    public init(_ error: IOError, doing: String = "") {
        let (kind, hint): (Kind, String?) =
            switch error.reason {
            case .locked: (.busy, "wait for the other program, or stop it")
            case .replaced: (.busy, nil)
            case .notAuthentic: (.key, "the file was changed or is damaged: bring it back from a copy")
            default: (.io, nil)
            }
        self.init(kind, path: error.path, doing: doing, cause: .io(error), hint: hint)
    }

    /// Whether another key may help: not where bytes are not what was sealed.
    public var isMissingKey: Bool { kind == .key && ioError?.reason != .notAuthentic }

    public var formatError: FormatError? { if case .format(let error) = cause { error } else { nil } }
    public var ioError: IOError? { if case .io(let error) = cause { error } else { nil } }
}

extension DiskError: CustomStringConvertible {
    /// One line without the path: `reading the BAT: VHDX020: … (offset 0x…); hint`.
    public var explanation: String {
        let what =
            switch cause {
            case .format(let error): error.description
            case .io(let error): error.explanation
            case .message(let text): text
            }
        return (doing.isEmpty ? "" : "\(doing): ") + what + (hint.map { "; \($0)" } ?? "")
    }
    public var description: String { "\(path): \(explanation)" }
}

/// Runs `body`, wrapping what the leaves throw with the path and what was being done.
public func diskErrors<Result>(
    _ path: @autoclosure () -> String, _ doing: @autoclosure () -> String = "", _ body: () throws -> Result
) throws(DiskError) -> Result {
    do {
        return try body()
    } catch let error as DiskError {
        throw error
    } catch let error as FormatError {
        throw DiskError(error, path: path(), doing: doing())
    } catch let error as IOError {
        throw DiskError(error, doing: doing())
    } catch {
        throw DiskError(.io, path: path(), "\(error)")
    }
}
