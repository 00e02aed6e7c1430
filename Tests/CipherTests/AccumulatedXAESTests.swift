import COpenSSL
import ByteCodec
import Foundation
import Testing

@testable import Cipher

/// The accumulated tests of C2SP's XAES-256-GCM.md: inputs of all lengths from one SHAKE-128 stream, and a hash over the
/// results of as many iterations.
@Suite struct AccumulatedXAESTests {
    /// SHAKE-128 of a message.
    private static func shake128(_ message: [UInt8], _ byteCount: Int) -> [UInt8] {
        var result = [UInt8].zeros(byteCount)
        let context = unsafe EVP_MD_CTX_new()
        defer { unsafe EVP_MD_CTX_free(context) }
        let isDone =
            unsafe EVP_DigestInit_ex(context, EVP_shake128(), nil) == 1
            && EVP_DigestUpdate(context, message, message.count) == 1
            && EVP_DigestFinalXOF(context, &result, byteCount) == 1
        precondition(isDone)
        return result
    }

    /// - Returns: the hash over all results, 32 bytes in hexadecimal.
    private static func accumulated(_ iterations: Int) -> String {
        // A key, a nonce, and two runs that begin with their length: 313 bytes on the average; far more at the end.
        let stream = shake128([], iterations * 313 + 1 << 20)
        #expect(Hexadecimal(Array(stream[..<16])).description == "7f9c2ba4e88f827d616045507605853e")
        let hash = unsafe EVP_MD_CTX_new()
        defer { unsafe EVP_MD_CTX_free(hash) }
        var isDone = unsafe EVP_DigestInit_ex(hash, EVP_shake128(), nil) == 1
        var place = 0
        func next(_ byteCount: Int) -> [UInt8] {
            place += byteCount
            return Array(stream[place - byteCount..<place])
        }
        for _ in 0..<iterations {
            let (key, nonce) = (next(32), next(24))
            let text = next(Int(next(1)[0]))
            let additional = next(Int(next(1)[0]))
            let sealed = SealingTests.sealXAES(text, key: key, nonce: nonce, additional: additional)
            isDone = unsafe isDone && EVP_DigestUpdate(hash, sealed, sealed.count) == 1
        }
        var result = [UInt8].zeros(32)
        isDone = unsafe isDone && EVP_DigestFinalXOF(hash, &result, 32) == 1
        #expect(isDone)
        return Hexadecimal(result).description
    }

    @Test func tenThousand() {
        #expect(Self.accumulated(10_000) == "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939")
    }

    @Test(.enabled(if: LongTests.areWanted))
    func aMillion() {
        #expect(Self.accumulated(1_000_000) == "2163ae1445985a30b60585ee67daa55674df06901b890593e824b8a7c885ab15")
    }
}

/// Tests that take half a minute or a GiB of memory run where `VHDTOOLS_LONG_TESTS` is set.
enum LongTests {
    static let areWanted = ProcessInfo.processInfo.environment["VHDTOOLS_LONG_TESTS"] != nil
}
