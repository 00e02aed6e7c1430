import Synchronization

/// Counts from any thread.
final class SyncCounter: Sendable {
    private let value = Atomic<Int>(0)
    var count: Int { value.load(ordering: .relaxed) }
    func add() { _ = value.add(1, ordering: .relaxed) }
}
