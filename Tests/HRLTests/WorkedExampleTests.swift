import BlockIO
import ByteCodec
import Digest
import DiskModel
import HRL
import Testing

@Suite struct WorkedExampleTests {
    private func hexBytes(_ text: String) -> [UInt8] {
        let digits = Array(text)
        return stride(from: 0, to: digits.count, by: 2).map { UInt8(String(digits[$0..<$0 + 2]), radix: 16)! }
    }
    private func sha256(_ bytes: [UInt8]) -> [UInt8] { Digest.hash(.sha256, bytes.rawBytes) }

    @Test func wholeFileWithSpaces() throws {
        let file = try WorkedExample.log()
        #expect(file.byteCount() == WorkedExample.byteCount)
        #expect(
            sha256(file.allBytes)
                == hexBytes("39e956b354bcfe00b76bdd51259b98b74b51e1128389e9bd0855ef98d7dbf488"))
        let header =
            "6d7363746c6f6720000002004c572d206374202000000a0000000000000000000012050000000000c7dfffff"
            + "00120500000000000000000000100000ffc72f57031fab49b3c530a665b8e20c464baea8adf7024487aa5b33e9f89c77"
            + "50572d203a00000000000000000000000000575cbeb9bef8035598bb6c44faf9ac87"
        #expect(try file.bytes(at: 0, count: 126) == hexBytes(header))
        #expect(try LogHeader(from: file).checksum == 0xFFFF_DFC7)
    }

    @Test func wholeFileWithNULs() throws {
        let file = try WorkedExample.log(nulPads: true)
        #expect(
            sha256(file.allBytes)
                == hexBytes("7f46d783c15bee093aae24437fcc99995e8953bc4ee490a88548d459208d0fc3"))
        #expect(try LogHeader(from: file).checksum == 0xFFFF_E027)
        #expect(try LogReader(file).findings.isEmpty)
    }

    @Test func blocks() throws {
        let file = try WorkedExample.log()
        let empty = try file.bytes(at: 4096, count: 4096)
        #expect(empty == hexBytes("000000000000000000000000ffffffff") + .zeros(4080))
        let block = try file.bytes(at: WorkedExample.block2Offset, count: 4096)
        #expect(Array(block[..<32]) == hexBytes("00f20400000000003a000000cffeffff") + .zeros(16))
        #expect(
            Array(block[32..<64])
                == hexBytes("00b025d80000000050fdffff001000004d572d20010000000000000000000000"))
        #expect(
            Array(block[32 + 57 * 32..<32 + 58 * 32])
                == hexBytes("009025d8000000006ffdffff001000004e572d20010000000000000000000000"))
        #expect(
            sha256(block) == hexBytes("0e21e36de07654876bca2a1aa4c60382a02c0d038ae54b4e5ab5a6f0a51b69b9"))
        for write in WorkedExample.writes {
            let start = 32 + 32 * (Int(write.id) - 1)
            let entry = try MetadataEntry(parsing: block.rawBytes.extracting(start..<start + 32))
            #expect(entry.checksum == write.checksum, "write \(write.id)")
        }
    }

    @Test func header() throws {
        let reader = try LogReader(try WorkedExample.log())
        let header = reader.header
        #expect(header.created.description == "2017-02-08T04:13:00Z")
        #expect(header.lastModified.description == "2017-02-08T04:13:04Z")
        #expect(header.originalSize == 0 && header.currentSize == WorkedExample.byteCount)
        #expect(header.eolLocation == WorkedExample.byteCount)
        #expect(header.metadataSize == 4096 && header.totalMetadataEntries == 58 && header.slotCount == 127)
        #expect(header.uniqueID == WorkedExample.uniqueID)
        #expect(header.previousUniqueID == WorkedExample.previousUniqueID)
        #expect(header.vhd2DataWriteGUID == WorkedExample.dataWriteGUID)
    }

    @Test func writes() throws {
        let reader = try LogReader(try WorkedExample.log())
        var seen: [LogWrite] = []
        let summary = try reader.forEachWrite(verifyingData: true) { seen.append($0) }
        #expect(seen.count == 58)
        for (found, expected) in zip(seen, WorkedExample.writes) {
            #expect(found.number == expected.id && found.slot == Int(expected.id) - 1)
            #expect(found.blockOffset == WorkedExample.block2Offset)
            #expect(found.dataOffset == expected.dataOffset && found.diskOffset == expected.offset)
            #expect(found.byteCount == UInt64(expected.count) && found.timestamp.rawValue == expected.time)
            #expect(found.checksumOK && found.dataChecksum == .none)
        }
        #expect(summary.writeCount == 58 && summary.byteCount == 320_000 && summary.blockCount == 2)
        #expect(summary.minimumOffset == 135_266_304 && summary.maximumEnd == 10_188_189_696)
        #expect(summary.firstTime?.rawValue == 539_842_381 && summary.lastTime?.rawValue == 539_842_382)
        #expect(summary.findings.isEmpty, "\(summary.findings)")
    }

    /// Overlapping writes count once.
    @Test func distinctSectors() throws {
        var sectors: Set<UInt64> = []
        try LogReader(try WorkedExample.log()).forEachWrite(verifyingData: false) { write in
            sectors.formUnion(write.diskOffset / 512..<(write.diskOffset + write.byteCount) / 512)
        }
        #expect(sectors.count == 551)
        #expect(sectors.filter { !sectors.contains($0 + 1) }.count == 42)
    }

    @Test func structuresHaveTheirSize() throws {
        #expect(LogHeader().serialized().count == LogHeader.byteCount)
        #expect(MetadataHeader().serialized().count == MetadataHeader.byteCount)
        #expect(MetadataEntry().serialized().count == MetadataEntry.byteCount)
        func offset(_ fields: [FieldDump], _ name: String) -> Int? { fields.first { $0.name == name }?.offset }
        #expect(offset(LogHeader().dumped(), "Checksum") == 40)
        #expect(offset(LogHeader().dumped(), "EOLLocation") == 44)
        #expect(offset(LogHeader().dumped(), "Vhd2DataWriteGuid") == 110)
        #expect(offset(LogHeader().dumped(), "Reserved") == 126)
        #expect(offset(MetadataHeader().dumped(), "Checksum") == 12)
        #expect(offset(MetadataEntry().dumped(), "Checksum") == 8)
        #expect(offset(MetadataEntry().dumped(), "DataChecksum") == 21)
    }
}
