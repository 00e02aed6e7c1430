import ArgumentParser
import ImageChain
import Toolbox

/// `64G`, or a difference such as `+10G` and `-512M`.
struct SizeArgument: Sendable, Equatable {
    var target: ResizeTarget

    /// - Throws: `ValidationError` that says what is valid.
    static func parse(_ text: String) throws -> Self {
        guard let value = Self(argument: text) else {
            throw ValidationError("it takes \(ByteQuantity.rule); with + or - before it: so much more or less")
        }
        return value
    }

    init?(argument: String) {
        let sign = argument.first
        let isRelative = sign == "+" || sign == "-"
        guard let quantity = ByteQuantity(argument: isRelative ? String(argument.dropFirst()) : argument) else {
            return nil
        }
        target =
            switch sign {
            case "+": .larger(by: quantity.byteCount)
            case "-": .smaller(by: quantity.byteCount)
            default: .exactly(quantity.byteCount)
            }
    }
}
