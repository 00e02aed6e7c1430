import ByteCodec
import Testing

@Suite struct TimestampTests {
    static let vectors: [(Int64, String)] = [
        (0, "1970-01-01T00:00:00Z"), (-1, "1969-12-31T23:59:59Z"), (951_868_799, "2000-02-29T23:59:59Z"),
        (951_868_800, "2000-03-01T00:00:00Z"), (1_709_164_800, "2024-02-29T00:00:00Z"),
        (4_107_542_399, "2100-02-28T23:59:59Z"), (4_107_542_400, "2100-03-01T00:00:00Z"),
        (-2_203_891_200, "1900-03-01T00:00:00Z"), (-11_670_955_200, "1600-02-29T12:00:00Z"),
        (253_402_300_799, "9999-12-31T23:59:59Z"), (-62_135_596_800, "0001-01-01T00:00:00Z"),
        (-62_167_219_200, "0000-01-01T00:00:00Z"), (1_486_527_180, "2017-02-08T04:13:00Z"),
        (1_751_991_168, "2025-07-08T16:12:48Z"),
    ]

    @Test func bothWays() {
        for (seconds, text) in Self.vectors {
            #expect(rfc3339(unixSeconds: seconds) == text)
            #expect(unixSeconds(rfc3339: text) == seconds)
        }
    }

    @Test func diskTime() {
        #expect(DiskTimestamp(rawValue: 539_842_380).description == "2017-02-08T04:13:00Z")
        #expect(DiskTimestamp(rawValue: 0x3000_0000).description == "2025-07-08T16:12:48Z")
        #expect(DiskTimestamp(rawValue: 0).description == "2000-01-01T00:00:00Z")
        #expect(DiskTimestamp(rawValue: .max).description == "2136-02-07T06:28:15Z")
        #expect(DiskTimestamp(unixSeconds: 1_486_527_180).rawValue == 539_842_380)
        #expect(DiskTimestamp(rawValue: 1) < DiskTimestamp(rawValue: 2))
    }

    @Test func clamped() {
        for early: Int64 in [.min, .min + 946_684_799, .min + 946_684_800, -1, 0, 946_684_800] {
            #expect(DiskTimestamp(unixSeconds: early).rawValue == 0, "\(early)")
        }
        #expect(DiskTimestamp(unixSeconds: 946_684_801).rawValue == 1)
        #expect(DiskTimestamp(unixSeconds: 946_684_800 + Int64(UInt32.max)).rawValue == .max)
        for late: Int64 in [946_684_801 + Int64(UInt32.max), .max] {
            #expect(DiskTimestamp(unixSeconds: late).rawValue == .max, "\(late)")
        }
    }

    /// Four centuries in steps that meet every day of the month and every time of day, and all days about two leap years
    /// of different kinds.
    @Test func manyDays() {
        let about2000 = Int64(10_900)..<11_100
        let about2100 = Int64(47_400)..<47_600
        let wrong = (Array(stride(from: Int64(-141_000), to: 6_000, by: 29)) + about2000 + about2100).filter { day in
            let seconds = day * 86_400 + (day * 7919 & 0xffff)
            return unixSeconds(rfc3339: rfc3339(unixSeconds: seconds)) != seconds
        }
        #expect(wrong == [])
    }

    @Test func zonesAndFractions() {
        for text in [
            "2017-02-08T04:13:00z", "2017-02-08t04:13:00Z", "2017-02-08 04:13:00Z", "2017-02-08T04:13:00.9Z",
            "2017-02-08T04:13:00.000000000001Z", "2017-02-08T04:13:00+00:00", "2017-02-08T04:13:00-00:00",
            "2017-02-08T06:13:00+02:00", "2017-02-07T22:43:00-05:30", "2017-02-08T05:13:00.5+01:00",
        ] { #expect(unixSeconds(rfc3339: text) == 1_486_527_180, "\(text)") }
        #expect(unixSeconds(rfc3339: "2016-12-31T23:59:60Z") == unixSeconds(rfc3339: "2017-01-01T00:00:00Z"))
    }

    @Test(arguments: [
        "", "2017", "2017-02-08", "2017-02-08T04:13:00", "2017-02-08T04:13Z", "2017-02-08T04:13:00ZZ",
        "2017-02-08T04:13:00.Z", "2017-02-08T04:13:00.", "2017-02-08T04:13:00.5", "2017-02-08T04:13:00+02",
        "2017-02-08T04:13:00+0200", "2017-02-08T04:13:00+24:00", "2017-02-08T04:13:00+02:60",
        "2017-02-08T04:13:00+02:00Z", "2017-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2017-00-01T00:00:00Z",
        "2017-13-01T00:00:00Z", "2017-04-31T00:00:00Z", "2017-01-00T00:00:00Z", "2017-01-32T00:00:00Z",
        "2017-02-08T24:00:00Z", "2017-02-08T04:60:00Z", "2017-02-08T04:13:61Z", "+017-02-08T04:13:00Z",
        "-017-02-08T04:13:00Z", "2017-02-08T04:13:0 Z", "20170208T041300Z    ", "2017/02/08T04:13:00Z",
        "2017-02-08_04:13:00Z", " 2017-02-08T04:13:00Z", "2017-02-08T04:13:00é", "２017-02-08T04:13:00Z",
        "2017-02-08T04:13:00Z\0",
    ])
    func malformed(_ text: String) { #expect(unixSeconds(rfc3339: text) == nil) }
}
