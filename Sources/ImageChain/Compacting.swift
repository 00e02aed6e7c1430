public import BlockIO
public import ByteCodec
public import DiskModel
import VHD
import VHDX

/// An image whose file is to become as short as its contents allow. Making it changes nothing; `perform` changes the file,
/// in place and in the order told at `VHDCompactor` and `VHDXCompactor`. The contents stay the same, and so does what
/// children name.
public struct Compacting {
    public let format: ImageFormat
    public let type: ImageType
    public let virtualByteCount: UInt64
    public let findings: [Finding]
    /// Whether the image's own log was pending: `perform` replays it into the file first.
    public let hasPendingLog: Bool
    private let file: any BlockFile

    /// - Parameter file: the image; open for writing if `perform` is to follow. Parents are not needed.
    /// - Throws: `.refused` for raw and fixed images; what opening throws.
    public init(_ file: any BlockFile, _ options: OpenOptions = .init()) throws(DiskError) {
        let layer = try ImageOpener.layer(reading: file, options)
        guard layer.type != .fixed else {
            throw DiskError(
                .refused, path: file.path,
                layer.format == .raw ? "a raw disk has no blocks to drop" : "a fixed image keeps all its blocks",
                hint: "fallocate --dig-holes gives back the space of its zeros, the contents stay")
        }
        self.file = file
        (format, type, hasPendingLog) = (layer.format, layer.type, layer.hasReplayedLog)
        (virtualByteCount, findings) = (layer.geometry.virtualByteCount, layer.findings)
    }

    /// What `perform` would do.
    public func plan(progress: EditProgress) throws(DiskError) -> CompactionPlan {
        format == .vhd
            ? try VHDCompactor.plan(file, progress: progress) : try VHDXCompactor.plan(file, progress: progress)
    }

    public func perform(progress: EditProgress) throws(DiskError) -> CompactionPlan {
        format == .vhd
            ? try VHDCompactor.compact(file, progress: progress) : try VHDXCompactor.compact(file, progress: progress)
    }
}
