import ArgumentParser
import ImageChain
import Toolbox

/// `64G`, or a difference such as `+10G` and `-512M`.
struct SizeArgument: ExpressibleByArgument, Sendable, Equatable {
    var target: ResizeTarget

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
