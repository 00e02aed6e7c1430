import BlockIO
import Digest
import DiskModel
import Dispatch
import ImageChain
import Synchronization
import Toolbox

/// Reads a new image again, through its own structures: to compare its contents with the source's by their sums, and for
/// plain sums to tell.
struct Verification {
    private let file: OpenedFile
    private let target: ImageChain

    /// - Parameter file: flushed, so that what is read can come from the disk.
    init(_ file: OpenedFile, _ format: ImageFormat) throws {
        self.file = file
        file.host.forgetCached()
        var options = OpenOptions()
        options.format = format
        target = try ImageChain(leafFirst: [try ImageOpener.layer(reading: file.contents, options)])
    }

    /// Compares with a source that is still there.
    func compare(with source: ImageChain, _ progress: Progress) throws {
        progress.begin("vhdconvert: verifying", total: target.geometry.virtualByteCount)
        let sums = Mutex<[Result<[UInt8], any Error>?]>([nil, nil])
        let disks = [target, source]
        DispatchQueue.concurrentPerform(iterations: 2) { index in
            let sum = Result {
                try ContentsDigest.of(disks[index]) { if index == 0 { progress.update($0) } }
            }
            sums.withLock { $0[index] = sum }
        }
        let found = sums.withLock { $0 }
        try check(try found[0]?.get(), try found[1]?.get())
    }

    /// Compares with the sum of a stream that is gone.
    func compare(with sum: [UInt8]?, _ progress: Progress) throws {
        progress.begin("vhdconvert: verifying", total: target.geometry.virtualByteCount)
        try check(try ContentsDigest.of(target) { progress.update($0) }, sum)
    }

    private func check(_ written: [UInt8]?, _ read: [UInt8]?) throws(DiskError) {
        guard written == nil || written != read else { return }
        throw DiskError(
            .io, path: file.path,
            "verification failed: the new image does not read back as what was written; nothing is kept",
            hint: "check the target's disk and the machine's memory")
    }

    /// The plain sums of the new image's contents.
    func hashes(_ algorithms: [DigestAlgorithm], _ progress: Progress) throws -> [DigestValue] {
        progress.begin("vhdconvert: hashing", total: target.geometry.virtualByteCount)
        let hashing = HashingThread(algorithms)
        try DiskStream(target).run(target.wholeRange) { offset, bytes in
            hashing.update(bytes)
            progress.update(offset)
        } zeros: { offset, count in
            hashing.updateZeros(count: count)
            progress.update(offset + count)
        }
        return hashing.finish()
    }
}
