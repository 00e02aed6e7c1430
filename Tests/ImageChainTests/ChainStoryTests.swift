import DiskModel
import Foundation
import Testing

/// Random operations on images made from each other, against plain bytes in memory.
///
/// 150 steps a story; `VHDTOOLS_STORY_STEPS=2000` makes them more, `VHDTOOLS_STORY_SEED` repeats one.
@Suite struct ChainStoryTests {
    private static let steps = number("VHDTOOLS_STORY_STEPS").map(Int.init) ?? 150
    private static func number(_ name: String) -> UInt64? {
        ProcessInfo.processInfo.environment[name].flatMap(UInt64.init)
    }

    @Test(arguments: [ImageFormat.vhd, .vhdx], 0..<3 as Range<UInt64>)
    func story(_ format: ImageFormat, _ number: UInt64) throws {
        let seed = Self.number("VHDTOOLS_STORY_SEED") ?? UInt64.random(in: 0 ... .max) / 3 * 3 + number
        let story = try ChainStory(format, seed: seed)
        for step in 0..<Self.steps {
            do {
                try story.step()
                if step % 10 == 9 { try story.checkAll() }
            } catch {
                Issue.record("\(format), seed \(seed), step \(step): \(error)")
                return
            }
        }
        let tally = story.tally.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
        print("chain story, \(format), seed \(seed), \(Self.steps) steps: \(tally)")
        #expect(story.tally["merges", default: 0] > 0 && story.tally["snapshots", default: 0] > 0)
    }
}
