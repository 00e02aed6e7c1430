public import BlockIO
import ByteCodec
public import Cipher
public import DiskModel

/// The slots of a sealed image in a file, to be changed in place (docs/formats/sealed.md, Life cycle). Contents, root blocks
/// and journal are neither read nor touched.
///
/// Changes are gathered in memory and count when `write` has returned; the file has the writer's lock until then.
///
/// Order of writes:
/// 1. The older copy of the envelope (of two that are alike, the second) is overwritten by the new envelope, whose sequence
///    is one higher, and zeros to the end of its area, so that nothing of a former slot stays behind; flush. A loss leaves
///    this copy old, new or torn. A torn one fits no code, and the other copy counts, which still has all former slots.
/// 2. The other copy is overwritten by the same; flush. A loss leaves it old, new or torn, and the first copy counts.
/// A loss between the two leaves a change that counts, and an older copy that still has the former slots. That is told by
/// `isUnfinished`, and `finish` does the second step again.
///
/// After a failed step every further one is refused: what reached the file is found by opening it again.
public struct ImageSlots {
    private let file: any BlockFile
    private let random: RandomSource
    private let keys: ContainerKeys
    /// As in the copy that counts.
    private let writtenBytes: [UInt8]
    /// Which of the copies counts: 0 or 1.
    private let place: Int
    private var hasFailed = false
    /// With all changes so far.
    public private(set) var envelope: Envelope
    /// Which slot of the file opened it, from 0.
    public let openedSlot: Int
    /// Whether an earlier change was cut off between its two steps.
    public private(set) var isUnfinished: Bool

    /// - Parameter secrets: one of them opens the image.
    /// - Throws: `.refused` for a stream; `.format` SEAL001 to SEAL006 and SEAL011; `.key` where no secret opens it; `.io`.
    public init(
        of file: any BlockFile, secrets: [SlotKey], random: RandomSource = .system
    ) throws(DiskError) {
        try Self.requireImage(try Envelope.unverified(in: file), path: file.path)
        let opened = try ImageEnvelopes(file, secrets)
        (self.file, self.random, keys, envelope) = (file, random, opened.keys, opened.envelope)
        (place, openedSlot, writtenBytes) = (opened.place, opened.slot, opened.bytes)
        isUnfinished = opened.hasOlderCopy
    }

    /// - Throws: `.refused` for a stream, whose slots cannot change.
    public static func requireImage(_ envelope: Envelope, path: String) throws(DiskError) {
        guard envelope.kind != .image else { return }
        throw DiskError(
            .refused, path: path, "is a sealed stream: its frames are bound to its slots, which never change",
            hint: "seal it anew: seal-slot rotate, or unseal FILE | seal -R RECIPIENT -o NEW")
    }

    // MARK: Changes

    /// One more way to the key.
    /// - Throws: `.refused` where there is no room for it; `.key` for a secret that no slot can be made with.
    public mutating func add(_ secret: SlotKey) throws(DiskError) {
        guard envelope.slots.count < Envelope.slotLimit else {
            throw refused("it has \(envelope.slots.count) slots, and there is no room for more", "remove one before")
        }
        let slot: KeySlot
        do throws(CipherError) {
            slot = try secret.slot(for: keys.masterKey, containerID: envelope.containerID, random: random)
        } catch { throw EnvelopeFailure.key(error, path: file.path) }
        guard envelope.byteCount + slot.bytes.count <= Envelope.longestByteCount else {
            throw refused("its slots take \(envelope.byteCount) bytes, and there is no room for more", nil)
        }
        envelope.slots.append(slot)
    }

    /// Takes slots away. Who held their secrets, or has an older copy of the file, may still know the master key.
    /// - Parameter indices: as in `envelope.slots` now, from 0.
    /// - Throws: `.outOfRange`; `.refused` where no slot would be left that can be opened.
    public mutating func remove(_ indices: Set<Int>) throws(DiskError) {
        let count = envelope.slots.count
        if let wrong = indices.filter({ !envelope.slots.indices.contains($0) }).min() {
            throw DiskError(
                .outOfRange, path: file.path,
                "there is no slot \(wrong + 1): it has \(count == 1 ? "1" : "1 to \(count)")",
                hint: "seal-status shows them")
        }
        let left = envelope.slots.indices.filter { !indices.contains($0) }.map { envelope.slots[$0] }
        guard left.contains(where: \.isKnown) else {
            throw refused(
                "no slot would be left that opens it", "add another one before, or destroy all: seal-slot erase")
        }
        envelope.slots = left
    }

    /// What the changes make of the file: see the steps above. Nothing is written where nothing was changed.
    /// - Throws: `.refused` while an earlier change is unfinished, and after a failure; `.io`.
    public mutating func write() throws(DiskError) {
        guard !isUnfinished else {
            throw refused("an earlier change of its slots was cut off", "finish that one before")
        }
        guard envelope.bytes(keys) != writtenBytes else { return }
        let (next, overflow) = envelope.headerSequence.addingReportingOverflow(1)
        guard !overflow else { throw refused("its slots were changed too often", "rotate its key: seal-slot rotate") }
        envelope.headerSequence = next
        try overwrite([1 - place, place], with: envelope.bytes(keys))
    }

    /// Does the second step of a change that was cut off.
    /// - Throws: `.io`; `.refused` after a failure.
    public mutating func finish() throws(DiskError) {
        guard isUnfinished else { return }
        try overwrite([1 - place], with: writtenBytes)
        isUnfinished = false
    }

    private mutating func overwrite(_ places: [Int], with bytes: [UInt8]) throws(DiskError) {
        guard !hasFailed else { throw refused("an earlier step failed", "open it again") }
        hasFailed = true
        let area = bytes + .zeros(Int(ImageLayout.envelopeAreaByteCount) - bytes.count)
        do throws(IOError) {
            for place in places {
                try file.write(area, at: ImageLayout.envelopeOffsets[place])
                try file.sync()
            }
        } catch { throw DiskError(error, doing: "writing the envelope") }
        hasFailed = false
    }

    private func refused(_ problem: String, _ hint: String?) -> DiskError {
        DiskError(.refused, path: file.path, problem, hint: hint)
    }
}

extension KeySlot {
    /// Whether a secret of some kind opens it.
    var isKnown: Bool { if case .unknown = body { false } else { true } }
}
