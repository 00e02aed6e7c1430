import ByteCodec
import COpenSSL
import Glibc

/// A secret: in pages of its own, locked into memory and kept out of core dumps where the system allows, overwritten at
/// the end. It is never copied but into what needs it, and has no description.
///
/// With the first one the process stops leaving core dumps, as what ciphers make of keys is in memory of other kinds.
///
/// `@unchecked`: written before `init` returns, or before whoever makes it hands it on; only read from then on.
@safe public final class SecretBytes: @unchecked Sendable {
    private let memory: UnsafeMutableRawBufferPointer
    private let mappedByteCount: Int
    public var byteCount: Int { unsafe memory.count }

    /// Zeros, to be filled at once by `fill`.
    ///
    /// Memory that cannot be had stops the process.
    private init(byteCount: Int) {
        Self.refuseCoreDumps
        let page = Int(getpagesize())
        mappedByteCount = max(1, (byteCount + page - 1) / page) * page
        let pages = unsafe mmap(
            nil, mappedByteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let pages = unsafe pages, unsafe pages != MAP_FAILED else { preconditionFailure("out of memory") }
        // A child process must not inherit it, and a core dump not hold it.
        _ = unsafe madvise(pages, mappedByteCount, MADV_DONTDUMP)
        _ = unsafe madvise(pages, mappedByteCount, MADV_DONTFORK)
        _ = unsafe mlock(pages, mappedByteCount)
        unsafe memory = UnsafeMutableRawBufferPointer(start: pages, count: byteCount)
    }

    /// Once. A limit of 1 ends the making of a core also where the system pipes it to a program.
    private static let refuseCoreDumps: Void = {
        var limit = rlimit(rlim_cur: 1, rlim_max: 1)
        _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
    }()

    deinit {
        guard let base = unsafe memory.baseAddress else { return }
        unsafe OPENSSL_cleanse(base, mappedByteCount)
        unsafe munmap(base, mappedByteCount)
    }

    /// Filled by `body`, which gets zeros.
    public convenience init<Failure: Error>(
        byteCount: Int, _ body: (inout MutableRawSpan) throws(Failure) -> Void
    ) throws(Failure) {
        self.init(byteCount: byteCount)
        var bytes = unsafe MutableRawSpan(_unsafeBytes: memory)
        try body(&bytes)
    }

    /// A copy; the original is the caller's to cleanse.
    public convenience init(copying bytes: RawSpan) {
        self.init(byteCount: bytes.byteCount)
        var copy = unsafe MutableRawSpan(_unsafeBytes: memory)
        copy.copy(bytes, at: 0)
    }

    /// - Parameter random: where the bytes come from.
    public convenience init(byteCount: Int, from random: RandomSource) {
        self.init(byteCount: byteCount) { bytes in random.fill(&bytes) }
    }

    /// The bytes.
    public var bytes: RawSpan {
        @_lifetime(borrow self)
        get {
            let all = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(memory))
            return unsafe _overrideLifetime(all, borrowing: self)
        }
    }

    /// For the library to write into, before anybody else sees it.
    func withMutableOctets<Result>(_ body: (UnsafeMutablePointer<UInt8>) -> Result) -> Result {
        unsafe body(memory.baseAddress!.assumingMemoryBound(to: UInt8.self))
    }

    /// Whether both are equal, in a time that does not depend on the bytes.
    public static func == (left: SecretBytes, right: SecretBytes) -> Bool {
        equalInConstantTime(left.bytes, right.bytes)
    }
}

/// Overwrites an array that held a secret. Copies that were made of it are not found.
public func cleanse(_ bytes: inout [UInt8]) {
    unsafe bytes.withUnsafeMutableBytes { buffer in
        guard let base = buffer.baseAddress else { return }
        unsafe OPENSSL_cleanse(base, buffer.count)
    }
    bytes.removeAll()
}

/// Whether two runs of bytes are equal, in a time that depends on their lengths only.
public func equalInConstantTime(_ left: RawSpan, _ right: RawSpan) -> Bool {
    guard left.byteCount == right.byteCount else { return false }
    return unsafe left.withUnsafeBytes { first in
        unsafe right.withUnsafeBytes { second in
            guard let first = first.baseAddress, let second = second.baseAddress else { return true }
            return unsafe CRYPTO_memcmp(first, second, left.byteCount) == 0
        }
    }
}
