public import BlockIO
public import DiskModel
import RawDisk
import VHD
import VHDX

/// Opens one image file, without its parents.
public enum ImageOpener {
    /// The format by contents; nil when no signature is there.
    public static func recognise(_ file: any BlockFile) throws(DiskError) -> ImageFormat? {
        do {
            if try VHDXLayer.recognises(file) { return .vhdx }
            if try VHDLayer.recognises(file) { return .vhd }
            return nil
        } catch { throw DiskError(error, doing: "recognising the format") }
    }

    /// The format to open a file as.
    /// - Throws: `.unrecognised` when there is no signature and raw was not asked for, or another format was insisted on.
    static func format(of file: any BlockFile, _ options: OpenOptions) throws(DiskError) -> ImageFormat {
        let found = try recognise(file)
        switch (options.format, found) {
        case (nil, let found?): return found
        case (.raw, let found): return found ?? .raw
        case (let wanted?, let found) where wanted == found: return wanted
        case (let wanted?, let found):
            throw DiskError(
                .unrecognised, path: file.path,
                "not a \(wanted.title) image" + (found.map { ": the contents are \($0.title)" } ?? ": no signature"))
        case (nil, nil):
            throw DiskError(
                .unrecognised, path: file.path, "neither a VHD nor a VHDX image: no signature",
                hint: "if it is a raw disk image, say --format raw")
        }
    }

    /// Opens for reading; a dirty log is replayed in memory.
    public static func layer(reading file: any BlockFile, _ options: OpenOptions = .init()) throws(DiskError)
        -> any DiskLayer
    {
        switch try format(of: file, options) {
        case .raw: return try RawLayer(file)
        case .vhd: return try VHDLayer(reading: file, options: vhdOptions(options))
        case .vhdx: return try VHDXLayer(reading: file, options: vhdxOptions(options))
        }
    }

    /// Opens for writing; a dirty log is replayed into the file.
    public static func layer(writing file: any BlockFile, _ options: OpenOptions = .init()) throws(DiskError)
        -> any WritableDiskLayer
    {
        switch try format(of: file, options) {
        case .raw: return try RawLayer(file)
        case .vhd: return try VHDLayer(writing: file, options: vhdOptions(options))
        case .vhdx: return try VHDXLayer(writing: file, options: vhdxOptions(options))
        }
    }

    static func vhdOptions(_ options: OpenOptions) -> VHDReadOptions {
        var result = VHDReadOptions()
        result.accepted = options.accepted
        result.ignoresBitmaps = options.ignoresBitmaps
        return result
    }

    static func vhdxOptions(_ options: OpenOptions) -> VHDXReadOptions {
        var result = VHDXReadOptions()
        result.accepted = options.accepted
        return result
    }
}
