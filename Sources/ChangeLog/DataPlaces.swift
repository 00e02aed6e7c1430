import BlockIO
import DiskModel

/// Where a log's file has data, asked for only where that is not known yet: a file system goes through all of a run to find
/// its end, and pieces of a log come in the order of the disk. The log must not change meanwhile.
///
/// Memory: 24 bytes an answer, of which the logs that are open together hold 2^14, or 16 each; of those beyond only the last
/// one counts.
struct DataPlaces {
    private static let answerCount = 1 << 14
    private static let leastAnswerCount = 16

    /// An answer of the file system: from `start` on there is a hole up to `data`.
    private struct Answer {
        var start: UInt64
        var data: Range<UInt64>
    }

    private let file: any BlockFile
    private let capacity: Int
    /// From the file's start on, without gaps.
    private var answers: [Answer] = []
    /// One behind those, when there are too many.
    private var last: Answer?

    /// - Parameter logCount: how many logs are open together.
    init(_ file: any BlockFile, among logCount: Int = 1) {
        self.init(file, capacity: max(Self.leastAnswerCount, Self.answerCount / max(1, logCount)))
    }

    init(_ file: any BlockFile, capacity: Int) { (self.file, self.capacity) = (file, capacity) }

    /// The first data at or after a position; at the end of all numbers when there is none.
    mutating func data(from position: UInt64) throws(DiskError) -> Range<UInt64> {
        let answer = try answer(for: position)
        return max(position, answer.data.lowerBound)..<answer.data.upperBound
    }

    /// The answer that reaches over a position.
    private mutating func answer(for position: UInt64) throws(DiskError) -> Answer {
        var end = answers.last?.data.upperBound ?? 0
        while end <= position, end < .max, answers.count < capacity {
            answers.append(try ask(end))
            end = answers[answers.count - 1].data.upperBound
        }
        if position < end { return known(position) }
        if let last, last.start <= position, position < last.data.upperBound { return last }
        let answer = try ask(position)
        last = answer
        return answer
    }

    private func ask(_ position: UInt64) throws(DiskError) -> Answer {
        do { return Answer(start: position, data: try file.data(from: position) ?? .max ..< .max) } catch {
            throw DiskError(error, doing: "reading data")
        }
    }

    /// Of the answers that follow one another the first that ends behind a position, which is there.
    private func known(_ position: UInt64) -> Answer {
        var (low, high) = (0, answers.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if answers[middle].data.upperBound > position { high = middle } else { low = middle + 1 }
        }
        return answers[low]
    }
}
