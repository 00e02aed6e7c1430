import BlockIO
import ByteCodec
import Dispatch
import Synchronization

/// Does some jobs on two threads, of which the caller's is one; each takes the next job when it is free.
///
/// All jobs are done, whether others fail or not.
/// - Parameter body: gets a job's number.
/// - Throws: what the first job threw, in the order of their numbers.
func onTwoThreads(_ count: Int, _ body: @Sendable (Int) throws(IOError) -> Void) throws(IOError) {
    let next = Atomic(0)
    let failure = Mutex<(number: Int, error: IOError)?>(nil)
    DispatchQueue.concurrentPerform(iterations: 2) { _ in
        while true {
            let number = next.wrappingAdd(1, ordering: .relaxed).oldValue
            guard number < count else { return }
            do throws(IOError) { try body(number) } catch {
                failure.withLock { if number < $0?.number ?? count { $0 = (number, error) } }
            }
        }
    }
    if let failure = failure.withLock({ $0 }) { throw failure.error }
}

/// A buffer that several threads fill, each in parts of its own, hence unchecked. Not to be kept beyond the call that lent the
/// bytes.
@safe struct SharedBytes: @unchecked Sendable {
    private let all: UnsafeMutableRawBufferPointer

    init(_ all: UnsafeMutableRawBufferPointer) { unsafe self.all = unsafe all }

    /// Runs `body` on a part. Traps outside the buffer.
    func withPart<Failure: Error>(
        _ range: Range<Int>, _ body: (inout MutableRawSpan) throws(Failure) -> Void
    ) throws(Failure) {
        var part = unsafe MutableRawSpan(_unsafeBytes: UnsafeMutableRawBufferPointer(rebasing: all[range]))
        try body(&part)
    }
}
