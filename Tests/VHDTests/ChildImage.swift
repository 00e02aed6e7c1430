import BlockIO
import ByteCodec
import DiskModel
import VHD

/// A fresh child in memory: no block, and behind the table the path of a parent called `parent.vhd`.
func newChild(_ byteCount: UInt64, block: UInt64) -> MemoryFile.Contents {
    var image = TinyImage(DiskTypeCode.differencing)
    (image.footer.originalSize, image.footer.currentSize) = (byteCount, byteCount)
    image.footer.geometry = geometryCHS(virtualByteCount: byteCount)
    let entryCount = byteCount.dividedRoundingUp(by: block)
    let pathOffset = 1536 + (4 * entryCount).roundedUp(to: 512)
    let path = utf16Bytes(".\\parent.vhd", .little)
    var locator = ParentLocatorEntry()
    locator.platformCode = 0x5732_7275
    (locator.platformDataSpace, locator.platformDataLength) = (512, UInt32(path.count))
    locator.platformDataOffset = pathOffset
    image.header?.parentLocators[0] = locator
    image.header?.maxTableEntries = UInt32(entryCount)
    image.header?.blockSize = UInt32(block)
    let footer = image.footer.sealed()
    var contents = MemoryFile.Contents(footer)
    let header = image.header?.sealed() ?? []
    contents.write(header.rawBytes, at: 512)
    let table = [UInt8](repeating: 0xff, count: Int(pathOffset - 1536))
    contents.write(table.rawBytes, at: 1536)
    contents.write(path.rawBytes, at: pathOffset)
    contents.write(footer.rawBytes, at: pathOffset + 512)
    return contents
}

/// A parent's disk: every sector holds one byte from 0xa0 to 0xef, no two neighbours the same.
func parentBytes(_ byteCount: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(byteCount)
    for sector in 0..<byteCount / 512 { bytes += repeatElement(0xa0 + UInt8(sector % 80), count: 512) }
    return bytes
}

/// A child of four blocks of eight sectors, two of them there in part, with bytes under clear bits that must not show.
func oldChild() -> TinyImage {
    var image = TinyImage(DiskTypeCode.differencing)
    image.addLocator(0, "W2ru", utf16Bytes(".\\parent.vhd", .little))
    image.addBlock(2, bits: 0b0101_0000, fill: 0x60)
    image.addBlock(0, bits: 0, fill: 0x70)
    return image
}

/// A fixed disk to be the layer below.
func parentLayer(_ bytes: [UInt8]) throws -> VHDLayer {
    try VHDLayer(reading: MemoryFile(TinyImage.fixed(bytes).bytes))
}

extension MemoryFile.Contents {
    /// Where the bitmap of a block stands, by the table at 1536; nil for a block that is not there.
    func bitmapOffset(_ block: UInt64) -> UInt64? {
        let entry: UInt32 = bytes(1536 + 4 * block..<1540 + 4 * block).rawBytes.integer(at: 0, .big)
        return entry == .max ? nil : UInt64(entry) * 512
    }
}
