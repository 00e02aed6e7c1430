import BlockIO
import ByteCodec
import DiskModel
import FaultInjection
import Synchronization
import Testing

@testable import ImageChain

/// Another program, without the lock, cuts the target of a merge while it is written.
@Suite struct MergeTargetCutTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var format: ImageFormat
        var baseType: ImageType
        /// Whether what is cut off comes back as zeros, but for the last bytes.
        var growsAgain: Bool
        var testDescription: String { "\(format), \(baseType), \(growsAgain ? "grows again" : "stays short")" }
    }
    static let cases = [ImageFormat.vhd, .vhdx].flatMap { format in
        [ImageType.dynamic, .fixed].flatMap { type in
            [false, true].map { Case(format: format, baseType: type, growsAgain: $0) }
        }
    }

    /// The merge ends with an error, all images are there, and nothing that can be read from then on is wrong.
    @Test(arguments: cases) func everyMoment(_ one: Case) throws {
        let start = try MergeFolder(one.format, seed: 11, baseType: one.baseType)
        var (moment, refused, read) = (0, 0, 0)
        while moment < 40, let after = try merge(start, one, cutAt: moment) {
            moment += 1
            #expect(after.files.count == 3)
            for name in after.files.keys {
                guard let found = try? after.contents(of: name) else {
                    refused += 1
                    continue
                }
                read += 1
                #expect(found == start.expected, "\(name), cut after piece \(moment)")
            }
            #expect(throws: (any Error).self) { try after.run(in: RecordedFolder(), into: MergeFolder.base) }
        }
        print(
            "merge into a target that is cut, \(one.testDescription): \(moment) moments, \(refused) images refused, \(read) read right"
        )
        #expect(moment > 3 && refused > moment)
    }

    /// - Returns: what is there after a cut that follows a piece of the merge; nil where it has fewer pieces.
    private func merge(_ start: MergeFolder, _ one: Case, cutAt moment: Int) throws -> MergeFolder? {
        let folder = RecordedFolder()
        let run = try start.run(in: folder, into: MergeFolder.base)
        let target = run.files.target
        let calls = Mutex(0)
        var failure: DiskError?
        do throws(DiskError) {
            try run.perform(keepsFiles: false) { (_, _) throws(DiskError) in
                let call = calls.withLock { count in
                    count += 1
                    return count - 1
                }
                if call == moment { try Self.cut(target, growsAgain: one.growsAgain) }
            }
        } catch { failure = error }
        guard calls.withLock({ $0 > moment }) else { return nil }
        #expect(failure?.kind == .refused, "\(failure.debugDescription)")
        var after = start
        after.files = folder.files
        return after
    }

    private static func cut(_ file: any BlockFile, growsAgain: Bool) throws(DiskError) {
        do throws(IOError) {
            let byteCount = try file.byteCount()
            try file.resize(to: byteCount / 2)
            if growsAgain { try file.resize(to: byteCount - 512) }
        } catch { throw DiskError(error) }
    }
}
