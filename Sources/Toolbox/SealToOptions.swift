public import ArgumentParser
public import Cipher
public import DiskModel

/// Recipients for whom what is made is sealed.
public struct SealToOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Seal the new file for this age recipient, age1…, or for those in a file; repeatable.",
            valueName: "recipient"))
    public var sealTo: [String] = []
    public init() {}

    public var isGiven: Bool { !sealTo.isEmpty }

    /// - Parameter container: what they are for.
    /// - Throws: `.key` for what is no recipient; `.refused` for more than a container has slots; `.io`.
    public func recipients(for container: String) throws(DiskError) -> [Recipient] {
        var recipients: [Recipient] = []
        for text in sealTo { recipients += try RecipientOptions.recipients(text) }
        try RecipientOptions.checkCount(recipients.count, container)
        return recipients
    }
}
