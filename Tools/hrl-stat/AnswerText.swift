import ByteCodec
import ChangeLog
import Toolbox

/// The answer for people: one screen.
struct AnswerText {
    /// Rows of churn, when the unit was left to us, and when it was asked for.
    static let rowLimit = 16
    static let askedRowLimit = 60
    private static let barLength = 32

    let answer: Answer
    let plain: Bool
    let rowLimit: Int
    private var statistics: LogStatistics { answer.statistics }

    init(_ answer: Answer, plain: Bool, rowLimit: Int) {
        (self.answer, self.plain, self.rowLimit) = (answer, plain, rowLimit)
    }

    func write(to out: OutputStream) throws(OutputFailure) {
        for line in summary + forecast + sizes + churn + hot { try out.line(line) }
    }

    // Numbers

    private func bytes(_ count: UInt64) -> String { plain ? "\(count)" : Quantity.short(count) }
    private func long(_ count: UInt64) -> String { Quantity.bytes(count, plain: plain) }
    private func rate(_ bytesPerSecond: Double) -> String { bytes(UInt64(min(max(0, bytesPerSecond), 1e18))) + "/s" }
    private func percent(_ part: UInt64, _ whole: UInt64) -> String { AnswerText.percent(ratio(part, whole)) }

    /// `12.5 %`, cut off, never rounded up.
    static func percent(_ ratio: Double) -> String {
        let tenths = UInt64(max(0, ratio) * 1000)
        return "\(tenths / 10).\(tenths % 10) %"
    }

    /// `3 d 4 h`, `2 h 5 min`, `5 min 3 s`, `7 s`.
    static func duration(_ seconds: UInt64) -> String {
        switch seconds {
        case 86_400...: "\(seconds / 86_400) d \(seconds / 3600 % 24) h"
        case 3600...: "\(seconds / 3600) h \(seconds / 60 % 60) min"
        case 60...: "\(seconds / 60) min \(seconds % 60) s"
        default: "\(seconds) s"
        }
    }

    /// `minute`, `5 minutes`, `day`.
    static func length(_ seconds: UInt32) -> String {
        for (unit, name) in [(UInt32(86_400), "day"), (3600, "hour"), (60, "minute")] where seconds % unit == 0 {
            return seconds == unit ? name : "\(seconds / unit) \(name)s"
        }
        return seconds == 1 ? "second" : "\(seconds) seconds"
    }

    private func left(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }
    private func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }

    // Parts

    private var summary: [String] {
        let logs = answer.counted.logs
        let unclosed = logs.filter { $0.recovered != nil }.count
        let first =
            counted(logs.count, "log", "logs") + (unclosed == 0 ? "" : ", of which \(unclosed) not closed")
            + ": \(counted(statistics.writeCount, "write", "writes")), \(long(statistics.byteCount))"
        guard let firstTime = statistics.firstTime, let lastTime = statistics.lastTime else { return [first] }
        let aligned = percent(statistics.alignedWriteCount, statistics.writeCount)
        let sequential = percent(statistics.sequentialWriteCount, statistics.writeCount)
        return [
            first,
            "  period      \(firstTime) to \(lastTime), \(Self.duration(statistics.secondCount))",
            "  unique      \(long(statistics.uniqueByteCount)) of the disk; "
                + "\(Self.percent(answer.overwriteRatio)) of what was written was overwritten",
            "  allocated   \(long(answer.counted.allocatedByteCount)) by the logs' files; \(holes)",
            "  rate        \(rate(answer.bytesPerSecond)) on average\(peak)",
            "  growth      \(bytes(UInt64(answer.uniqueBytesPerHour))) of the disk an hour",
            "  pattern     \(aligned) of the writes are aligned to 4096, \(sequential) go on where the last one ended",
        ]
    }

    private var holes: String {
        guard statistics.holeByteCount > 0 else { return "no holes" }
        let writes = counted(statistics.zeroWriteCount, "write", "writes")
        return "\(bytes(statistics.holeByteCount)) are holes, \(writes) of zeros"
    }

    private var peak: String {
        guard let peak = answer.peak else { return "" }
        let seconds = answer.bucketSeconds
        let each = seconds == 1 ? "" : " (\(rate(Double(peak.byteCount) / Double(seconds))))"
        return "; peak \(bytes(peak.byteCount))\(each) in the \(Self.length(seconds)) of \(peak.start)"
    }

    private var forecast: [String] {
        guard statistics.writeCount > 0 else { return [] }
        guard let forecast = answer.forecast else {
            let how =
                answer.diskByteCount == nil
                ? "--base IMAGE or --disk-size SIZE tells when the logs reach half of the disk"
                : "not told with --disk or --until, which leave writes out"
            return ["  resync at   \(how)"]
        }
        let limit = forecast.limitByteCount
        let start =
            "  resync at   \(bytes(limit)), half of the disk; the logs hold "
            + "\(percent(forecast.usedByteCount, limit)) of that"
        if forecast.isReached { return [start + ": reached already"] }
        guard let average = forecast.average, let peak = forecast.peak else {
            return [start + "; no forecast from less than \(ResyncForecast.leastSecondCount) s"]
        }
        let hour = answer.busiestHour.map { "of the hour from \($0.start)" } ?? "of the busiest hour"
        return [
            start, "              at the average rate, \(moment(average))",
            "              at that \(hour), \(moment(peak))",
        ]
    }

    private func moment(_ outlook: ResyncForecast.Outlook) -> String {
        let start = rate(outlook.bytesPerSecond) + ": "
        guard let seconds = outlook.secondCount, let time = outlook.unixSeconds else {
            return start + "not within 100 years"
        }
        return start + "\(rfc3339(unixSeconds: time)), in \(Self.duration(seconds))"
    }

    private var sizes: [String] {
        let classes = statistics.sizes.classes
        guard !classes.isEmpty else { return [] }
        return [row("sizes of writes, from", "writes", "share", "bytes", "share")]
            + classes.map {
                row(
                    "  " + right(bytes($0.lowerBound), 9), "\($0.writeCount)",
                    percent($0.writeCount, statistics.writeCount), bytes($0.byteCount),
                    percent($0.byteCount, statistics.byteCount))
            }
    }

    private var churn: [String] {
        let table = ChurnRows(statistics.churn, atMost: rowLimit, of: answer.unit.seconds)
        guard let peak = table.peak, peak.byteCount > 0 else { return [] }
        var title = "churn by the \(Self.length(table.seconds))"
        if table.seconds > answer.bucketSeconds {
            title += " (the \(Self.length(answer.bucketSeconds))s joined, to fit)"
        } else if answer.bucketSeconds > answer.unit.seconds {
            title += " (too many different times for \(answer.unit.rawValue)s)"
        }
        return [left(title, 24 + Self.barLength) + right("bytes", 11) + right("writes", 11)]
            + table.rows.map { row in
                let part = Double(row.byteCount) / Double(peak.byteCount)
                // At least one mark for the least write.
                let marks = row.byteCount == 0 ? 0 : max(1, Int(part * Double(Self.barLength)))
                return "  \(row.start)  \(left(String(repeating: "#", count: marks), Self.barLength))"
                    + right(bytes(row.byteCount), 11) + right("\(row.writeCount)", 11)
            }
    }

    private var hot: [String] {
        guard !answer.hotRanges.isEmpty else { return [] }
        let region = Quantity.short(statistics.hotRanges.regionByteCount)
        return [row("hot ranges of the disk, by \(region)", "writes", "share", "bytes", "share")]
            + answer.hotRanges.map {
                row(
                    "  \(right("\($0.range.lowerBound)", 15))+\($0.range.upperBound - $0.range.lowerBound)",
                    "\($0.writeCount)", percent($0.writeCount, statistics.writeCount), bytes($0.byteCount),
                    percent($0.byteCount, statistics.byteCount))
            }
    }

    private func row(_ title: String, _ cells: String...) -> String {
        left(title, 32) + cells.map { right($0, 11) }.joined()
    }
}
