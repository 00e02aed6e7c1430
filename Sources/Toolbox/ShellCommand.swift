/// A program and its arguments as one line for a shell, to be pasted: bash, zsh, ksh.
public func shellCommand(_ arguments: [String]) -> String { arguments.map(shellWord).joined(separator: " ") }

/// One argument as a shell takes it. What a terminal would act on, or not show, is written in escapes.
private func shellWord(_ text: String) -> String {
    let isPlain = text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "/._-+:,=@%".utf8.contains(byte)
        }
    }
    if isPlain, !text.isEmpty { return text }
    guard printable(text) != text else {
        return "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
    var word = "$'"
    for scalar in text.unicodeScalars {
        if scalar == "'" || scalar == "\\" {
            word += "\\\(scalar)"
        } else if printable(String(scalar)) == String(scalar) {
            word.unicodeScalars.append(scalar)
        } else {
            // Three octal digits always: what follows is never taken for a part.
            for byte in String(scalar).utf8 {
                let digits = String(byte, radix: 8)
                word += "\\" + String(repeating: "0", count: 3 - digits.utf8.count) + digits
            }
        }
    }
    return word + "'"
}
