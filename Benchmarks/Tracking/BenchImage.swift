import BlockIO
import DiskModel
import ImageChain
import RawDisk
import VHDX

/// The image that is written.
struct BenchImage {
    let path: String
    let format: ImageFormat
    let byteCount: UInt64

    func create() throws {
        let file = try PosixFile(path, .create)
        if format == .raw {
            try file.resize(to: byteCount)
        } else {
            try NewImage(format: format, type: .dynamic, virtualByteCount: byteCount, created: 0).create(on: file)
        }
        try file.sync()
    }

    func fill() throws {
        let disk = try open()
        let piece = [UInt8](repeating: 0x5a, count: 1 << 20)
        for offset in stride(from: 0, to: byteCount, by: 1 << 20) {
            try Interruption.check()
            try disk.write(piece, at: offset)
        }
        try disk.close()
    }

    func open() throws -> ImageChain {
        let file = try PosixFile(path, .write)
        let layer: any WritableDiskLayer = format == .raw ? try RawLayer(file) : try VHDXLayer(writing: file)
        return try ImageChain(leafFirst: [layer], writableLeaf: layer)
    }
}
