import ByteCodec
import Dispatch
import Foundation
import Glibc
import Synchronization
import Testing

@testable import Cipher

/// What is made of secrets on the way is overwritten: nothing of it is found in memory afterwards.
@Suite(.serialized) struct SecretRemnantTests {
    /// The search finds what is there: else the other tests would prove nothing.
    @Test func theSearchFinds() throws {
        let secret = SecretBytes(byteCount: 32, from: .system)
        var copy = [UInt8](copying: secret.bytes)
        #expect(try Memory.holds(secret))
        cleanse(&copy)
        #expect(try !Memory.holds(secret))
    }

    @Test func identities() throws {
        let secret = SecretBytes(byteCount: X25519.keyByteCount, from: .system)
        let text = try Identity(privateKey: secret).secretText()
        let identity = Mutex<Identity?>(nil)
        let remains = try afterwards {
            let opened = try? Identity(text.bytes)
            identity.withLock { $0 = opened }
        } holds: {
            try Memory.holds(secret, but: [#require(identity.withLock { $0 }).privateKey])
        }
        #expect(!remains)
    }

    /// Does something on a thread of its own, which waits then: nothing of what it gave back is used again during the search.
    private func afterwards(_ body: @escaping @Sendable () -> Void, holds: () throws -> Bool) rethrows -> Bool {
        let (isDone, mayEnd) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        Thread.detachNewThread {
            body()
            isDone.signal()
            mayEnd.wait()
        }
        isDone.wait()
        defer { mayEnd.signal() }
        return try holds()
    }
}

/// The memory of this process.
private enum Memory {
    private static let partByteCount = 1 << 20

    /// Whether the second half of a secret stands anywhere but in memory of its own; the first may be where the allocator
    /// writes into memory that was given back.
    /// - Parameter known: others that hold the same.
    static func holds(_ secret: SecretBytes, but known: [SecretBytes] = []) throws -> Bool {
        let file = unsafe open("/proc/self/mem", O_RDONLY | O_CLOEXEC)
        try #require(file >= 0)
        defer { close(file) }
        let part = unsafe mmap(
            nil, partByteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        let buffer = unsafe UnsafeMutableRawBufferPointer(start: part, count: partByteCount)
        defer { unsafe munmap(part, partByteCount) }
        let own = unsafe ([secret] + known).map { addresses(of: $0) } + [addresses(of: UnsafeRawBufferPointer(buffer))]
        for range in try writableRanges() {
            var start = range.lowerBound
            while start < range.upperBound {
                let wanted = min(partByteCount, Int(range.upperBound - start))
                let count = unsafe pread(file, part, wanted, off_t(start))
                // What was given back meanwhile.
                guard count > 0 else { break }
                let places = unsafe places(of: secret, in: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                let isFound = places.contains { place in !own.contains { $0.contains(start + UInt64(place)) } }
                if isFound { return true }
                // One that goes from part to part is found in neither: parts overlap.
                start += UInt64(count == partByteCount ? count - 16 : count)
            }
        }
        return false
    }

    private static func places(of secret: SecretBytes, in memory: UnsafeRawBufferPointer) -> [Int] {
        unsafe secret.bytes.withUnsafeBytes { secret in
            let half = unsafe UnsafeRawBufferPointer(rebasing: secret[(secret.count / 2)...])
            let first = CInt(unsafe half[0])
            var (places, start): ([Int], Int) = ([], 0)
            while memory.count - start >= half.count,
                let found = unsafe memchr(memory.baseAddress! + start, first, memory.count - start - half.count + 1)
            {
                let place = unsafe UnsafeRawPointer(found) - memory.baseAddress!
                if unsafe memcmp(found, half.baseAddress!, half.count) == 0 { places.append(place) }
                start = place + 1
            }
            return places
        }
    }

    private static func addresses(of secret: SecretBytes) -> Range<UInt64> {
        unsafe secret.bytes.withUnsafeBytes { unsafe addresses(of: $0) }
    }

    private static func addresses(of memory: UnsafeRawBufferPointer) -> Range<UInt64> {
        let start = UInt64(UInt(bitPattern: memory.baseAddress))
        return start..<start + UInt64(memory.count)
    }

    private static func writableRanges() throws -> [Range<UInt64>] {
        let maps = try #require(try FileHandle(forReadingAtPath: "/proc/self/maps")?.readToEnd())
        return String(decoding: maps, as: UTF8.self).split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard words.count > 1, words[1].hasPrefix("rw") else { return nil }
            let ends = words[0].split(separator: "-").compactMap { UInt64($0, radix: 16) }
            return ends.count == 2 ? ends[0]..<ends[1] : nil
        }
    }
}
