import Testing
import ToolTesting

@testable import SealedFile

/// The second reader finds the same keys in the same envelopes, and refuses the same ones.
@Suite struct EnvelopeSecondReaderTests {
    @Test func vectors() throws {
        let scratch = try Scratch()
        for vector in try EnvelopeVector.stored() {
            let path = try scratch.write("container", octets(vector.envelope))
            let keys = [
                "header \(vector.headerKey)", "page \(vector.pageKey)", "journal \(vector.journalKey)",
                "stream \(vector.streamKey)", "data \(vector.dataKey)",
            ]
            for secret in vector.secrets {
                guard let result = try Unsealed.run([secret], ["--keys"], on: path) else { return }
                #expect(
                    result.exit == 0 && result.output == keys.joined(separator: "\n") + "\n",
                    "\(vector.name): \(result.output)\(result.error)")
            }
        }
    }

    @Test func refusals() throws {
        let scratch = try Scratch()
        let vector = try #require(try EnvelopeVector.stored().first { $0.name == "image" })
        let good = octets(vector.envelope)
        let secrets = vector.secrets
        func exit(_ place: Int, _ mask: UInt8) throws -> Int32? {
            var bytes = good
            bytes[place] ^= mask
            return try Unsealed.run(secrets, ["--keys"], on: scratch.write("container", bytes))?.exit
        }
        guard try exit(0, 0) == 0 else {
            #expect(try exit(0, 0) == nil, "the unchanged envelope is refused")
            return
        }
        // The code, the id, the signature, the suite, the number of slots, the first slot's length.
        for (place, mask, expected) in [
            (good.count - 1, 1, 4), (40, 1, 4), (0, 1, 1), (10, 2, 1), (14, 1, 1), (66, 1, 1),
        ] as [(Int, UInt8, Int32)] {
            #expect(try exit(place, mask) == expected, "byte \(place)")
        }
        let other = EnvelopeVector.Secret(keyFile: String(repeating: "01", count: 32))
        let path = try scratch.write("container", good)
        #expect(try Unsealed.run([other], ["--keys"], on: path)?.exit == 4)
    }
}
