public import ArgumentParser
public import DiskModel
public import ImageChain

/// How a child names its parent to other machines.
public struct ParentNamingOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The parent's path as Windows will see it, such as 'C:\\images\\base.vhdx'; by default this machine's.",
            valueName: "path"))
    public var windowsPath: String?
    @Option(
        help: ArgumentHelp(
            "The parent's path from a volume's GUID on, '\\\\?\\Volume{…}\\base.vhdx'; VHDX only.", valueName: "path"))
    public var volumePath: String?
    public init() {}

    public var naming: ParentNaming { ParentNaming(windowsPath: windowsPath, volumePath: volumePath) }
}

extension ParentReference {
    /// As scripts are told.
    /// - Parameter path: the parent's path as the user gave it.
    public func document(path: String) -> JSONValue {
        [
            "path": .string(path), "id": .string(identity.description), "relative_path": .string(windowsRelativePath),
            "absolute_path": .optional(absolutePath), "volume_path": .optional(volumePath),
        ]
    }
}
