import BlockIO
import ByteCodec
import DiskConformance
import DiskModel
import FaultInjection
import Testing
import VHD
import VHDX

@testable import SealedFile

/// Images of disks inside of sealed images do what they do in plain files.
@Suite struct ImageConformanceTests {
    private static func sealed(_ plain: MemoryFile.Contents, chunk: Int) throws -> MemoryFile.Contents {
        let file = MemoryFile()
        let image = try makeImage(on: file, chunk: chunk, journal: 524_288)
        let source = MemoryFile(plain)
        try image.resize(to: source.byteCount())
        var position: UInt64 = 0
        while let data = source.data(from: position) {
            try image.write(source.bytes(at: data.lowerBound, count: data.count), at: data.lowerBound)
            position = data.upperBound
        }
        try image.close()
        return file.contents
    }

    private static func writing(_ file: any BlockFile) throws -> SealedImage {
        try SealedImage(writing: file, secrets: [keyFile()])
    }
    private static func reading(_ file: any BlockFile) throws -> SealedImage {
        try SealedImage(reading: file, secrets: [keyFile()])
    }

    @Test(arguments: [4096, 16_384]) func vhdx(chunk: Int) throws {
        let subject = DiskSubject(
            name: "VHDX in a sealed image",
            make: {
                let plain = MemoryFile()
                try VHDXCreator.create(on: plain, type: .dynamic, virtualByteCount: 8 << 20, blockByteCount: 1 << 20)
                return try Self.sealed(plain.contents, chunk: chunk)
            },
            openForWriting: { try VHDXLayer(writing: Self.writing($0)) },
            openForReading: { try VHDXLayer(reading: Self.reading($0)) })
        try checkConformance(subject, seed: 7, steps: 150)
    }

    @Test(arguments: [4096, 65_536]) func vhd(chunk: Int) throws {
        let subject = DiskSubject(
            name: "VHD in a sealed image",
            make: {
                let plain = MemoryFile()
                try VHDCreator.create(
                    on: plain, type: .dynamic, virtualByteCount: 9 << 20, blockByteCount: 512 << 10,
                    uniqueID: .random(),
                    created: DiskTimestamp(rawValue: 0x3000_0000))
                return try Self.sealed(plain.contents, chunk: chunk)
            },
            openForWriting: { try VHDLayer(writing: Self.writing($0)) },
            openForReading: { try VHDLayer(reading: Self.reading($0)) })
        try checkConformance(subject, seed: 8, steps: 150)
    }
}
