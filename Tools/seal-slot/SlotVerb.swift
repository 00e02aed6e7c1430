import BlockIO
import Digest
import DiskModel
import SealedFile
import Toolbox

/// A verb of the program.
protocol Verb: Tool {
    var file: String { get }
    var dryRun: Bool { get }
}

extension Verb {
    static var programName: String { SealSlot.programName }
}

/// A verb that changes the slots of an image in place.
protocol SlotVerb: Verb {
    var keyOptions: KeyOptions { get }
}

extension SlotVerb {
    /// The image's slots. The file has the writer's lock; in a dry run writers are kept away from it.
    /// - Throws: `.refused` where an earlier change had been cut off: it is finished then, and who wanted this one has to
    ///   look again what the slots are.
    func open(_ run: ToolRun) throws -> ImageSlots {
        try run.refuseOverwritingCaseLog(file)
        let opened = try PosixFile(file, dryRun ? .read : .write)
        if dryRun { try opened.keepWritersAway() }
        run.addInput(file, byteCount: try opened.byteCount())
        let envelope = try Envelope.unverified(in: opened)
        try ImageSlots.requireImage(envelope, path: file)
        var slots = try ImageSlots(of: opened, secrets: try keyOptions.secrets(for: envelope, path: file))
        guard slots.isUnfinished else { return slots }
        if !dryRun { try slots.finish() }
        throw DiskError(
            .refused, path: file,
            "an earlier change of its slots had been cut off, and \(dryRun ? "has to be" : "is now") finished",
            hint: "look at them with seal-status, and say again what is to change")
    }

    /// Writes the change, and tells it.
    /// - Parameters:
    ///   - changed: slots that came or went, with their numbers from 1.
    ///   - what: `added` or `removed`.
    func finish(
        _ slots: inout ImageSlots, _ changed: [(number: Int, slot: KeySlot)], _ what: String, _ run: ToolRun
    ) throws {
        if !dryRun {
            try slots.write()
            run.addOutput(file, byteCount: try PosixFile(file).byteCount())
        }
        let envelope = slots.envelope
        let documents = JSONValue.array(changed.map { Self.document($0.number, $0.slot) })
        run.result = [
            "path": .string(file), "dry_run": .bool(dryRun),
            "container_id": .string(envelope.containerID.hexadecimal),
            "header_sequence": .unsigned(envelope.headerSequence),
            "added": what == "added" ? documents : [], "removed": what == "removed" ? documents : [],
            "slots": .array(envelope.slots.enumerated().map { Self.document($0.offset + 1, $0.element) }),
        ]
        guard !output.json, !output.quiet else { return }
        for (number, slot) in changed {
            try run.out.line("\(printable(file)): slot \(number) \(dryRun ? "would be " : "")\(what): \(slot.text)")
        }
        try run.out.line("  it has \(counted(envelope.slots.count, "slot", "slots"))\(dryRun ? " then" : " now")")
    }

    private static func document(_ number: Int, _ slot: KeySlot) -> JSONValue {
        guard case .object(let members) = slot.document else { return nil }
        return .object([.init("number", .integer(Int64(number)))] + members)
    }
}
