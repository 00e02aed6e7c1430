import ByteCodec
import ChangeLog
import Toolbox

/// Churn over time as an SVG picture: one bar a stretch of time. The same answer gives the same bytes.
struct ChurnPlot {
    static let barLimit = 240
    private static let (ink, paper, grid, bar) = ("#222222", "#ffffff", "#dddddd", "#1f6fb4")
    private static let width = 960
    private static let height = 420
    /// The plot inside the picture.
    private static let (left, right, top, bottom) = (90, 930, 80, 350)

    private let answer: Answer
    private let rows: ChurnRows
    private let title: String
    private let scale: ByteScale

    init(_ answer: Answer) {
        self.answer = answer
        rows = ChurnRows(answer.statistics.churn, atMost: Self.barLimit, of: answer.unit.seconds)
        let names = answer.counted.logs.map {
            Self.short($0.path.split(separator: "/").last.map(String.init) ?? $0.path)
        }
        title =
            "Churn of "
            + (names.count == 1 ? names[0] : "\(names.count) logs, \(names[0]) to \(names[names.count - 1])")
        scale = ByteScale(rows.peak?.byteCount ?? 0)
    }

    /// A name that fits.
    private static func short(_ name: String) -> String { name.count <= 40 ? name : name.prefix(39) + "…" }

    var svg: String {
        var lines = [
            #"<?xml version="1.0" encoding="UTF-8"?>"#,
            #"<svg xmlns="http://www.w3.org/2000/svg" width="\#(Self.width)" height="\#(Self.height)" "#
                + #"viewBox="0 0 \#(Self.width) \#(Self.height)" font-family="sans-serif" font-size="12" fill="\#(Self.ink)">"#,
            "<title>\(escaped(title))</title>",
            #"<rect width="\#(Self.width)" height="\#(Self.height)" fill="\#(Self.paper)"/>"#,
            text(title, Self.left, 28, size: 18), text(subtitle, Self.left, 48, colour: "#555555"),
        ]
        if rows.rows.isEmpty {
            lines.append(text("No writes.", (Self.left + Self.right) / 2, (Self.top + Self.bottom) / 2, "middle"))
        } else {
            lines += byteAxis + bars + timeAxis + peakLabel
        }
        return lines.joined(separator: "\n") + "\n</svg>\n"
    }

    private var subtitle: String {
        let statistics = answer.statistics
        let volume = "\(counted(statistics.writeCount, "write", "writes")), \(Quantity.short(statistics.byteCount))"
        guard let first = statistics.firstTime, let last = statistics.lastTime else { return volume }
        return "\(volume), \(first) to \(last), on average "
            + "\(Quantity.short(UInt64(max(0, answer.bytesPerSecond))))/s"
    }

    // Coordinates in hundredths of a pixel

    private func x(ofRow index: Int) -> Int {
        Self.left * 100 + (Self.right - Self.left) * 100 * index / max(1, rows.rows.count)
    }

    private func y(of byteCount: UInt64) -> Int {
        let part = Double(byteCount) / Double(scale.top)
        return Self.bottom * 100 - Int(part * Double((Self.bottom - Self.top) * 100))
    }

    private func number(_ hundredths: Int) -> String {
        let rest = hundredths % 100
        return rest == 0 ? "\(hundredths / 100)" : "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
    }

    // Parts

    private var byteAxis: [String] {
        var lines: [String] = []
        for value in scale.ticks {
            let y = number(y(of: value))
            lines.append(
                #"<line x1="\#(Self.left)" y1="\#(y)" x2="\#(Self.right)" y2="\#(y)" stroke="\#(Self.grid)"/>"#)
            lines.append(
                #"<text x="\#(Self.left - 8)" y="\#(y)" dy="4" text-anchor="end">\#(Quantity.short(value))</text>"#)
        }
        let middle = (Self.top + Self.bottom) / 2
        lines.append(
            #"<text x="20" y="\#(middle)" text-anchor="middle" transform="rotate(-90 20 \#(middle))">"#
                + "bytes written in each \(AnswerText.length(rows.seconds))</text>")
        return lines
    }

    private var bars: [String] {
        var lines = [#"<g fill="\#(Self.bar)">"#]
        for (index, row) in rows.rows.enumerated() where row.byteCount > 0 {
            // At least a tenth of a pixel wide and half a pixel high: the least write shows.
            let (start, end) = (x(ofRow: index), x(ofRow: index + 1))
            let gap = min(100, (end - start) / 5)
            let top = min(y(of: row.byteCount), Self.bottom * 100 - 50)
            lines.append(
                #"<rect x="\#(number(start))" y="\#(number(top))" width="\#(number(max(10, end - start - gap)))" "#
                    + #"height="\#(number(Self.bottom * 100 - top))"/>"#)
        }
        return lines + ["</g>"]
    }

    private var timeAxis: [String] {
        let y = Self.bottom
        var lines = [#"<line x1="\#(Self.left)" y1="\#(y)" x2="\#(Self.right)" y2="\#(y)" stroke="\#(Self.ink)"/>"#]
        var day = ""
        for (index, start) in TimeTicks(rows).places {
            let at = number(x(ofRow: index))
            let label = Array(start.description)
            let (date, clock) = (String(label.prefix(10)), String(label[11..<(rows.seconds % 60 == 0 ? 16 : 19)]))
            lines.append(#"<line x1="\#(at)" y1="\#(y)" x2="\#(at)" y2="\#(y + 5)" stroke="\#(Self.ink)"/>"#)
            lines.append(#"<text x="\#(at)" y="\#(y + 19)" text-anchor="middle">\#(clock)</text>"#)
            if date != day {
                lines.append(#"<text x="\#(at)" y="\#(y + 35)" text-anchor="middle">\#(date)</text>"#)
                day = date
            }
        }
        lines.append(text("time, UTC", (Self.left + Self.right) / 2, Self.bottom + 56, "middle"))
        return lines
    }

    private var peakLabel: [String] {
        guard let peak = rows.peak, let index = rows.rows.firstIndex(of: peak) else { return [] }
        let middle = (x(ofRow: index) + x(ofRow: index + 1)) / 200
        let anchor = middle < Self.left + 160 ? "start" : middle > Self.right - 160 ? "end" : "middle"
        let label = "peak: \(Quantity.short(peak.byteCount)), \(peak.start)"
        return [text(label, middle, y(of: peak.byteCount) / 100 - 6, anchor, colour: "#8a1c1c")]
    }

    private func text(
        _ text: String, _ x: Int, _ y: Int, _ anchor: String = "start", size: Int = 12, colour: String = Self.ink
    ) -> String {
        #"<text x="\#(x)" y="\#(y)" font-size="\#(size)" fill="\#(colour)" text-anchor="\#(anchor)">"#
            + "\(escaped(text))</text>"
    }

    /// As XML takes it: control characters cannot stand in it at all.
    private func escaped(_ text: String) -> String {
        var result = ""
        for character in printable(text).unicodeScalars {
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            default: result.unicodeScalars.append(character)
            }
        }
        return result
    }
}

/// Round numbers of bytes along an axis.
private struct ByteScale {
    let step: UInt64
    /// The end of the axis, a multiple of the step.
    let top: UInt64

    /// - Parameter peak: what must fit below the top, with room for a label.
    init(_ peak: UInt64) {
        var step: UInt64 = 1
        while peak / step >= 6, step < 1 << 62 { step *= 2 }
        self.step = step
        top = step * (peak / step + 1)
    }

    var ticks: [UInt64] { (0...top / step).map { $0 * step } }
}

/// Where an axis of time has marks: at round times, no more than nine.
private struct TimeTicks {
    private static let steps: [UInt32] = [
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 432_000,
        864_000, 2_592_000, 8_640_000, 31_536_000, 157_680_000, 630_720_000,
    ]
    /// Index of the row, and its time.
    let places: [(Int, DiskTimestamp)]

    init(_ rows: ChurnRows) {
        guard let first = rows.rows.first, let last = rows.rows.last else {
            places = []
            return
        }
        let span = last.start.rawValue - first.start.rawValue
        let step = Self.steps.first { $0 >= rows.seconds && $0 % rows.seconds == 0 && span / $0 < 9 } ?? rows.seconds
        let all = rows.rows.enumerated().filter { $0.element.start.rawValue % step == 0 }
        places = all.isEmpty ? [(0, first.start)] : all.map { ($0.offset, $0.element.start) }
    }
}
