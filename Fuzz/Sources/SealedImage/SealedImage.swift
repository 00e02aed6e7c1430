import BlockIO
import ByteCodec
import Cipher
import DiskModel
import FuzzSupport
import SealedFile

// A sealed image with changed structures: opening (with recovery) works or throws, so does reading, and without corrected codes
// nothing comes out that was never committed. What opens can be written and closed, and holds that afterwards.
//
// An input: flags, the state to start from, then edits of 8 bytes: a window, an offset in it (2), an operation, a value (4).
// Flag 1 corrects the codes of root blocks, 2 of records, 4 of pages, as only who has the key can.

@_cdecl("LLVMFuzzerTestOneInput")
public func test(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = [UInt8](UnsafeBufferPointer(start: start, count: count))
    guard input.count >= 10 else { return 0 }
    let flags = input[0]
    let state = SealedSample.states[Int(input[1]) % SealedSample.states.count]
    var contents = state.contents
    for number in 0..<min(64, (input.count - 2) / 8) {
        edit(&contents, Array(input[2 + 8 * number..<10 + 8 * number]))
    }
    if flags & 7 != 0 { SealedSample.correct(&contents, flags) }
    read(contents, committed: flags & 7 == 0 ? SealedSample.disks : nil)
    write(contents)
    return 0
}

private func edit(_ contents: inout MemoryFile.Contents, _ edit: [UInt8]) {
    let windows = SealedSample.windows
    let window = windows[Int(edit[0]) % windows.count]
    let offset = window.lowerBound + (UInt64(edit[1]) | UInt64(edit[2]) << 8) % UInt64(window.count)
    guard offset + 4 <= contents.byteCount else { return }
    let (old, value) = (contents.bytes(offset..<offset + 4), Array(edit[4..<8]))
    switch edit[3] % 5 {
    case 0: put(&contents, [edit[4]], offset)
    case 1: put(&contents, value, offset)
    case 2: put(&contents, zip(old, value).map { $0 ^ $1 }, offset)
    case 3:
        // A page from elsewhere.
        let source = windows[Int(edit[4]) % windows.count].lowerBound
        guard source < contents.byteCount else { return }
        put(&contents, contents.bytes(source..<min(contents.byteCount, source + 4096)), offset - offset % 4096)
    default: contents.resize(to: offset)
    }
}

private func put(_ contents: inout MemoryFile.Contents, _ bytes: [UInt8], _ offset: UInt64) {
    contents.write(bytes.rawBytes, at: offset)
}

private func read(_ contents: MemoryFile.Contents, committed: [[UInt8]]?) {
    let file = MemoryFile(contents)
    guard let image = try? SealedImage(reading: file, secrets: [SealedSample.key]) else { return }
    let size = image.byteCount()
    _ = try? image.data(from: 0)
    _ = try? image.data(from: size / 2)
    let count = Int(min(size, SealedSample.longestDisk))
    guard let found = try? image.bytes(at: 0, count: count) else { return }
    _ = try? image.bytes(at: size - min(size, 5000), count: Int(min(size, 5000)))
    guard let committed else { return }
    precondition(committed.contains(found), "what is read was never committed")
}

private func write(_ contents: MemoryFile.Contents) {
    let file = MemoryFile(contents)
    guard let image = try? SealedImage(writing: file, secrets: [SealedSample.key]) else { return }
    let bytes = [UInt8](repeating: 0xa7, count: 5000)
    do {
        try image.write(bytes, at: 3000)
        try image.zero(9000..<20_000)
        try image.close()
    } catch { return }
    do {
        let reader = try SealedImage(reading: MemoryFile(file.contents), secrets: [SealedSample.key])
        let found = try reader.bytes(at: 3000, count: 5000)
        precondition(found == bytes, "what was written and closed does not read back")
    } catch { preconditionFailure("what was written and closed does not open: \(error)") }
}
