import ByteCodec
import ChangeLog
import HRL
import Toolbox

extension Answer {
    /// The `result` of the JSON document.
    func document(linked: Bool, _ filter: WriteFilterOptions, svg: String?) -> JSONValue {
        let members: [JSONValue.Member] =
            [
                .init("logs", .array(counted.logs.map(document))), .init("linked", .bool(linked)),
                .init("complete", .bool(counted.isComplete)), .init("filter", document(filter)),
            ] + totals + pattern + [
                .init("churn", churn), .init("busiest_hour", .optional(busiestHour, document)),
                .init(
                    "hot",
                    [
                        "region_size": .unsigned(statistics.hotRanges.regionByteCount),
                        "ranges": .array(hotRanges.map(document)),
                    ]),
                .init("disk_size", .optional(diskByteCount)), .init("resync", .optional(forecast, document)),
                .init("svg", .optional(svg)),
            ]
        return .object(members)
    }

    private func time(_ time: DiskTimestamp?) -> JSONValue { .optional(time?.description) }
    private func raw(_ time: DiskTimestamp?) -> JSONValue { .optional(time.map { UInt64($0.rawValue) }) }

    private var totals: [JSONValue.Member] {
        [
            .init("first_time", time(statistics.firstTime)), .init("first_time_raw", raw(statistics.firstTime)),
            .init("last_time", time(statistics.lastTime)), .init("last_time_raw", raw(statistics.lastTime)),
            .init("seconds", .unsigned(statistics.secondCount)), .init("writes", .unsigned(statistics.writeCount)),
            .init("bytes", .unsigned(statistics.byteCount)),
            .init("unique_bytes", .unsigned(statistics.uniqueByteCount)),
            .init("overwritten_bytes", .unsigned(statistics.overwrittenByteCount)),
            .init("overwrite_ratio", .number(overwriteRatio)),
            .init("zero_writes", .unsigned(statistics.zeroWriteCount)),
            .init("hole_bytes", .unsigned(statistics.holeByteCount)),
            .init("allocated_bytes", .unsigned(counted.allocatedByteCount)),
            .init("bytes_per_second", .number(bytesPerSecond)),
            .init("unique_bytes_per_hour", .number(uniqueBytesPerHour)),
        ]
    }

    private var pattern: [JSONValue.Member] {
        [
            .init("aligned_writes", .unsigned(statistics.alignedWriteCount)),
            .init("aligned_bytes", .unsigned(statistics.alignedByteCount)),
            .init("sequential_writes", .unsigned(statistics.sequentialWriteCount)),
            .init("sequential_bytes", .unsigned(statistics.sequentialByteCount)),
            .init(
                "sizes",
                .array(
                    statistics.sizes.classes.map {
                        [
                            "at_least": .unsigned($0.lowerBound), "below": .unsigned($0.lowerBound * 2),
                            "writes": .unsigned($0.writeCount), "bytes": .unsigned($0.byteCount),
                        ]
                    })),
        ]
    }

    private var churn: JSONValue {
        [
            "by": .string(unit.rawValue), "bucket_seconds": .unsigned(UInt64(bucketSeconds)),
            "coarsened": .bool(bucketSeconds > unit.seconds), "peak": .optional(peak, document),
            "buckets": .array(buckets.map(document)),
        ]
    }

    private func document(_ log: CountedLogs.Log) -> JSONValue {
        let (header, summary) = (log.header, log.found?.summary)
        return [
            "path": .string(log.path), "size": .unsigned(log.byteCount), "closed": .bool(log.recovered == nil),
            "unique_id": .string(header.uniqueID.description),
            "previous_unique_id": header.previousUniqueID == .zero
                ? nil : .string(header.previousUniqueID.description),
            "end_of_log": .unsigned(log.endOfLog), "allocated_bytes": .unsigned(log.found?.allocatedByteCount ?? 0),
            "writes": .unsigned(summary?.writeCount ?? 0), "bytes": .unsigned(summary?.byteCount ?? 0),
            "first_time": time(summary?.firstTime), "last_time": time(summary?.lastTime),
        ]
    }

    private func document(_ filter: WriteFilterOptions) -> JSONValue {
        [
            "since": time(filter.since?.diskTimestamp), "until": time(filter.until?.diskTimestamp),
            "disk_offset": .optional(filter.disk?.range.lowerBound),
            "disk_length": .optional(filter.disk.map { $0.range.upperBound - $0.range.lowerBound }),
        ]
    }

    private func document(_ bucket: Churn.Bucket) -> JSONValue {
        [
            "time": time(bucket.start), "time_raw": raw(bucket.start), "writes": .unsigned(bucket.writeCount),
            "bytes": .unsigned(bucket.byteCount), "stored_bytes": .unsigned(bucket.storedByteCount),
        ]
    }

    private func document(_ hot: HotRanges.HotRange) -> JSONValue {
        [
            "offset": .unsigned(hot.range.lowerBound),
            "length": .unsigned(hot.range.upperBound - hot.range.lowerBound), "writes": .unsigned(hot.writeCount),
            "bytes": .unsigned(hot.byteCount), "share": .number(ratio(hot.byteCount, statistics.byteCount)),
        ]
    }

    private func document(_ forecast: ResyncForecast) -> JSONValue {
        [
            "limit_bytes": .unsigned(forecast.limitByteCount), "used_bytes": .unsigned(forecast.usedByteCount),
            "reached": .bool(forecast.isReached), "average": .optional(forecast.average, document),
            "peak": .optional(forecast.peak, document),
        ]
    }

    private func document(_ outlook: ResyncForecast.Outlook) -> JSONValue {
        [
            "bytes_per_second": .number(outlook.bytesPerSecond), "seconds": .optional(outlook.secondCount),
            "time": .optional(outlook.unixSeconds.map(rfc3339)),
        ]
    }
}
