import ByteCodec
import DiskModel
import ImageChain
import Toolbox

/// What Azure takes as a disk: a fixed VHD of a whole number of MiB and a footer behind.
enum Azure {
    static let unit: UInt64 = 1 << 20
    /// The sizes that can be uploaded.
    static let sizes: ClosedRange<UInt64> = 20 << 20...32767 << 30

    static func check(_ plan: NewImage, _ path: String, _ run: ToolRun) throws(DiskError) {
        if !path.lowercased().hasSuffix(".vhd") { run.warn(path, "Azure wants the name to end in .vhd") }
        guard let size = plan.virtualByteCount else { return }
        try check(size, path)
    }

    private static func check(_ size: UInt64, _ path: String) throws(DiskError) {
        guard !sizes.contains(size) else { return }
        throw DiskError(
            .refused, path: path, "a disk of \(size) bytes: Azure takes from 20 MiB to 32767 GiB",
            hint: size < sizes.lowerBound ? "make the source larger: vhdresize" : nil)
    }

    /// Whether the finished file is what Azure takes.
    static func checkFile(_ byteCount: UInt64, _ path: String) throws(DiskError) {
        let size = byteCount - min(byteCount, 512)
        guard size % unit == 0, byteCount % unit == 512 else {
            throw DiskError(
                .refused, path: path, "the file has \(byteCount) bytes, no whole number of MiB and a footer")
        }
        try check(size, path)
    }
}
