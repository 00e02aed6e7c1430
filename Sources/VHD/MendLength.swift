import BlockIO
import ByteCodec
import DiskModel

/// What a repair has to look at before it makes a file longer.
enum LengthMending {
    /// Whether an image shows in a longer file what it shows now. XenServer's batmap and a parent's path count only when
    /// they lie in the file. One that ends past it would begin to count, and blocks that stand where it says it is, and
    /// were readable, would be refused.
    /// - Parameter offset: of the footer that is to end the file.
    static func isHarmless(_ image: ImageParser, footerAt offset: UInt64) throws -> Bool {
        guard let layout = image.layout, mayAwaken(image),
            let footer = checkedRange(offset, sectorByteCount), footer.upperBound > (try image.file.byteCount())
        else { return true }
        let longer = try OverlayFile(over: image.file)
        try longer.write(image.footers.active.bytes, at: offset)
        do {
            let after = try ImageParser(surveying: longer)
            return after.layout?.structures == layout.structures && (isEncrypted(image) || !isEncrypted(after))
        } catch is FormatError {
            return false
        }
    }

    /// Whether the image may name something that is ignored because it ends past the file. Cheap.
    static func mayAwaken(_ image: ImageParser) -> Bool {
        (image.mayHaveBatmap && image.batmap == nil)
            || image.findings.all.contains { $0.detail.code == .vhdParentLocator }
    }

    private static func isEncrypted(_ image: ImageParser) -> Bool {
        image.findings.all.contains { $0.detail.code == .vhdEncrypted }
    }
}
