public import ByteCodec

/// Says which logs ended together in a switch: the disks' states at one instant. It is there only when all of them are
/// closed and have their names.
public struct CycleRecord: Codable, Equatable, Sendable {
    public struct Disk: Codable, Equatable, Sendable {
        /// The image's file name.
        public var name: String
        /// UniqueId of the log that ended, and of the one that follows it.
        public var ended: String
        public var next: String

        public init(name: String, ended: String, next: String) {
            (self.name, self.ended, self.next) = (name, ended, next)
        }
    }

    /// Of this form of record.
    public var version = 1
    public var cycle: UInt64
    /// Seconds since 1970 of the instant.
    public var time: Int64
    public var disks: [Disk]

    public init(cycle: UInt64, time: DiskTimestamp, disks: [Disk]) {
        (self.cycle, self.time, self.disks) = (cycle, time.unixSeconds, disks)
    }

    /// Name of a record's file.
    public static func fileName(_ group: String, cycle: UInt64) -> String { "\(group).cycle-\(cycle).json" }

    /// JSON, one disk a line.
    public var json: String {
        let lines = disks.map { disk in
            "    {\"name\": \(quoted(disk.name)), \"ended\": \(quoted(disk.ended)), \"next\": \(quoted(disk.next))}"
        }
        return """
            {
              "version": \(version),
              "cycle": \(cycle),
              "time": \(time),
              "disks": [
            \(lines.joined(separator: ",\n"))
              ]
            }

            """
    }

    private func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\" + String(scalar)
            case "\u{0}"..."\u{1f}":
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
