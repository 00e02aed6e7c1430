public import DiskModel

/// Names of machines and disks become names of folders and files at both ends.
public enum SafeName {
    public static let longest = 200

    /// Why a name may not be used; nil when it may: one path component that no system takes for something else.
    public static func fault(_ name: String) -> String? {
        if name.isEmpty { return "is empty" }
        if name.utf8.count > longest { return "is longer than \(longest) bytes" }
        if name.hasPrefix(".") { return "begins with a dot" }
        if name.hasPrefix("-") { return "begins with a dash, as options do" }
        if name.hasSuffix(" ") || name.hasSuffix(".") { return "ends with a space or a dot" }
        for scalar in name.unicodeScalars {
            if scalar.value < 32 || scalar.value == 127 { return "holds a control character" }
            if scalar == "/" || scalar == "\\" { return "holds a slash: it must be one path component" }
        }
        return nil
    }

    /// - Parameter what: such as "the machine's name".
    /// - Throws: `.refused`.
    public static func check(_ name: String, _ what: String) throws(DiskError) {
        guard let fault = fault(name) else { return }
        throw DiskError(.refused, path: name, "\(what) \(fault)", hint: "choose another name")
    }

    /// The name of a disk: its file's name without an image's extension.
    public static func ofDisk(fileName: String) -> String {
        guard let dot = fileName.lastIndex(of: "."), dot != fileName.startIndex else { return fileName }
        let isExtension = ["vhd", "vhdx", "avhd", "avhdx"].contains(fileName[dot...].dropFirst().lowercased())
        return isExtension ? String(fileName[..<dot]) : fileName
    }
}
