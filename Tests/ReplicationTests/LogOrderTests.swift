@testable import Replication
import Testing

@Suite struct LogOrderTests {
    private func pickup(_ logs: [LogDescriptor], after: Int = 0, known: [Int] = []) -> LogOrder.Pickup {
        LogOrder.pickup(logs, after: logID(after), known: Set(known.map { id($0) }), diskSize: 100)
    }

    @Test func orderIsTheChainsWhateverTheNames() {
        let found = pickup([log(3, after: 2, name: "a"), log(1, after: 0, name: "c"), log(2, after: 1, name: "b")])
        #expect(found.take.map(\.name) == ["c", "b", "a"])
        #expect(found.fault == nil)
    }

    @Test func nothingIsFine() {
        #expect(pickup([]) == LogOrder.Pickup())
        #expect(pickup([], after: 5) == LogOrder.Pickup())
    }

    @Test func knownLogsAreSkippedWhateverTheirCondition() {
        let found = pickup(
            [
                log(1, after: 0, problem: "bad"), log(2, after: 1), log(3, after: 2),
                log(8, after: 77, ending: .unclosed), log(4, after: 3),
            ], after: 3, known: [8])
        #expect(found.known.map(\.name) == ["log1", "log2", "log3", "log8"])
        #expect(found.take.map(\.name) == ["log4"])
        #expect(found.fault == nil)
    }

    @Test func liveLogsAreLeftAlone() {
        let found = pickup([log(1, after: 0), log(2, after: 1, ending: .live)])
        #expect(found.take.map(\.name) == ["log1"])
        #expect(found.fault == nil)
    }

    @Test func gap() {
        let found = pickup([log(1, after: 0), log(3, after: 2), log(4, after: 3)])
        #expect(found.take.map(\.name) == ["log1"])
        #expect(found.fault == .gap(name: "log3", missing: id(2)))
        #expect(pickup([log(2, after: 1)]).fault == .gap(name: "log2", missing: id(1)))
    }

    @Test func restart() {
        #expect(pickup([log(2, after: 0)], after: 1).fault == .restart(name: "log2", expected: id(1)))
    }

    @Test func fork() {
        let found = pickup([log(1, after: 0), log(3, after: 1), log(2, after: 1)])
        #expect(found.fault == .fork(names: ["log2", "log3"], after: id(1)))
        #expect(pickup([log(1, after: 0), log(2, after: 0)]).fault == .fork(names: ["log1", "log2"], after: nil))
    }

    @Test func overtaken() {
        let logs = [log(1, after: 0), log(2, after: 1), log(3, after: 1)]
        #expect(pickup(logs, after: 2).fault == .overtaken(name: "log3", after: id(1)))
    }

    @Test func duplicate() {
        let logs = [log(1, after: 0, name: "b"), log(1, after: 0, name: "a"), log(2, after: 1)]
        #expect(pickup(logs).fault == .duplicate(names: ["a", "b"], id: id(1)))
    }

    @Test func cycles() {
        #expect(pickup([log(1, after: 2), log(2, after: 1)]).fault == .cycle(names: ["log1", "log2"]))
        #expect(pickup([log(1, after: 1)]).fault == .cycle(names: ["log1"]))
        // One that hangs from a circle, or leads through what is known.
        let tail = [log(7, after: 9, name: "a"), log(8, after: 9), log(9, after: 8)]
        #expect(pickup(tail).fault == .cycle(names: ["log8", "log9"]))
        // A circle through the received log ends.
        #expect(pickup([log(1, after: 2), log(2, after: 1)], after: 1).known.count == 2)
    }

    @Test func unclosedDamagedAndBeyond() {
        #expect(
            pickup([log(1, after: 0), log(2, after: 1, ending: .unclosed), log(3, after: 2)]).fault
                == .unclosed(name: "log2"))
        #expect(
            pickup([log(1, after: 0, problem: "HRL012 at 4096")]).fault
                == .damaged(name: "log1", problem: "HRL012 at 4096"))
        #expect(pickup([log(1, after: 0, end: 100)]).fault == nil)
        #expect(pickup([log(1, after: 0, end: 101)]).fault == .beyondDisk(name: "log1", end: 101, size: 100))
        let unreadable = LogDescriptor(name: "x", uniqueID: nil, previousID: nil, problem: "HRL001 at 0")
        // The damage, not the gap that follows from it.
        #expect(pickup([unreadable, log(2, after: 1)]).fault == .damaged(name: "x", problem: "HRL001 at 0"))
    }

    @Test func tooMany() {
        let logs = (1...LogOrder.limit + 1).map { log($0, after: $0 - 1) }
        #expect(pickup(logs).fault == .tooMany(count: LogOrder.limit + 1))
        #expect(pickup(Array(logs.dropLast())).take.count == LogOrder.limit)
    }

    @Test func everyShuffleGivesTheSameOrder() {
        for seed in 0..<200 as Range<UInt64> {
            var random = SplitMix(seed)
            let count = 1 + random.below(30)
            let received = random.below(count)
            let logs = (1...count).map { log($0, after: $0 - 1) }.shuffled(using: &random)
            let found = pickup(logs, after: received)
            #expect(found.take.map(\.name) == (received..<count).map { "log\($0 + 1)" }, "seed \(seed)")
            #expect(found.known.count == received, "seed \(seed)")
            // One that is missing is a gap, exactly there.
            let missing = 1 + random.below(count)
            let rest = pickup(logs.filter { $0.uniqueID != id(missing) }, after: received)
            let expected: LogFault? =
                missing > received && missing < count
                ? .gap(name: "log\(missing + 1)", missing: id(missing)) : nil
            #expect(rest.fault == expected || missing <= received, "seed \(seed)")
        }
    }

    @Test func baselines() {
        #expect(LogOrder.baseline([]) == LogOrder.Baseline())
        let chain = LogOrder.baseline([log(2, after: 1), log(1, after: 0)])
        #expect(chain.tip == id(2))
        #expect(chain.covered == [id(1), id(2)])
        #expect(chain.setAside == [])
        let broken = LogOrder.baseline([
            log(1, after: 0), log(2, after: 1, ending: .unclosed), log(3, after: 1, problem: "bad"),
        ])
        #expect(broken.tip == id(1))
        #expect(broken.setAside == ["log2", "log3"])
        #expect(LogOrder.baseline([log(1, after: 0), log(9, after: 4), log(10, after: 9, ending: .live)]).tip == id(9))
        let fork = LogOrder.baseline([log(1, after: 0), log(2, after: 1), log(3, after: 1)])
        #expect(fork.tip == nil)
        #expect(fork.setAside == ["log1", "log2", "log3"])
    }

    @Test func everyFaultSaysWhatToDo() {
        let faults: [LogFault] = [
            .gap(name: "n", missing: id(1)), .restart(name: "n", expected: id(1)), .fork(names: ["n"], after: nil),
            .overtaken(name: "n", after: id(1)), .duplicate(names: ["n"], id: id(1)), .cycle(names: ["n"]),
            .unclosed(name: "n"), .damaged(name: "n", problem: "p"), .beyondDisk(name: "n", end: 2, size: 1),
            .tooMany(count: 9),
        ]
        #expect(Set(faults.map(\.code)).count == faults.count)
        for fault in faults {
            #expect(!fault.description.contains("\n") && !fault.remedy.isEmpty)
        }
        #expect(faults[0].description.contains("\(id(1))"))
    }
}
