import BlockIO
import ByteCodec
import ChangeLog
@testable import FaultInjection
import Glibc
import Synchronization

/// A folder in memory that remembers everything done to its files and names in one order, for what a power cut leaves: a
/// sync makes one file's bytes durable, a sync of the folder its names.
final class RecordedDirectory: TrackedFolder {
    enum NameStep: Sendable {
        case add(String, file: Int)
        case rename(String, String)
        case remove(String)
    }
    enum Step: Sendable {
        case file(Int, RecordingFile.Operation)
        case name(NameStep)
        case syncNames
        case mark(Int)
    }

    private struct State: Sendable {
        var names: [String: Int] = [:]
        var initialNames: [String: Int] = [:]
        var initial: [MemoryFile.Contents] = []
        var files: [MemoryFile] = []
        var steps: [Step] = []
        var records = true
    }
    private let state = Mutex(State())
    let path = "(folder)"
    /// For broken controls: syncs of files with such names are answered and not done.
    private let ignoresSyncs: @Sendable (String) -> Bool
    private let ignoresNameSyncs: Bool
    /// Puts something before a new file.
    private let wrap: @Sendable (String, any BlockFile) -> any BlockFile

    init(
        _ contents: [String: MemoryFile.Contents] = [:], records: Bool = true, ignoresNameSyncs: Bool = false,
        ignoresSyncs: @escaping @Sendable (String) -> Bool = { _ in false },
        wrap: @escaping @Sendable (String, any BlockFile) -> any BlockFile = { $1 }
    ) {
        (self.ignoresSyncs, self.ignoresNameSyncs, self.wrap) = (ignoresSyncs, ignoresNameSyncs, wrap)
        state.withLock { state in
            state.records = records
            for (name, contents) in contents {
                state.names[name] = state.files.count
                state.files.append(MemoryFile(contents, path: name))
                state.initial.append(contents)
            }
            state.initialNames = state.names
        }
    }

    private func missing(_ call: String, _ name: String, _ code: CInt = ENOENT) -> IOError {
        IOError(call, path: name, .errno(code))
    }

    func mark(_ number: Int) { state.withLock { $0.steps.append(.mark(number)) } }
    var contents: [String: MemoryFile.Contents] {
        state.withLock { state in state.names.mapValues { state.files[$0].contents } }
    }

    // MARK: TrackedFolder

    func names() -> [String] { state.withLock { $0.names.keys.sorted() } }

    func open(_ name: String) throws(IOError) -> any BlockFile {
        let index = state.withLock { $0.names[name] }
        guard let index else { throw missing("open", name) }
        return wrap(name, File(self, index, name))
    }

    func create(_ name: String) throws(IOError) -> any BlockFile {
        let index = state.withLock { state -> Int? in
            guard state.names[name] == nil else { return nil }
            let index = state.files.count
            state.files.append(MemoryFile(path: name))
            state.initial.append(MemoryFile.Contents())
            state.names[name] = index
            if state.records { state.steps.append(.name(.add(name, file: index))) }
            return index
        }
        guard let index else { throw missing("create", name, EEXIST) }
        return wrap(name, File(self, index, name))
    }

    func rename(_ name: String, to newName: String) throws(IOError) {
        let code = state.withLock { state -> CInt in
            guard state.names[newName] == nil else { return EEXIST }
            guard let index = state.names.removeValue(forKey: name) else { return ENOENT }
            state.names[newName] = index
            if state.records { state.steps.append(.name(.rename(name, newName))) }
            return 0
        }
        guard code == 0 else { throw missing("rename", name, code) }
    }

    func remove(_ name: String) throws(IOError) {
        let isThere = state.withLock { state in
            if state.records { state.steps.append(.name(.remove(name))) }
            return state.names.removeValue(forKey: name) != nil
        }
        guard isThere else { throw missing("unlink", name) }
    }

    func replace(_ name: String, with bytes: [UInt8]) {
        state.withLock { state in
            let index = state.files.count
            state.files.append(MemoryFile(bytes, path: name))
            state.initial.append(MemoryFile.Contents(bytes))
            state.names[name] = index
            if state.records { state.steps.append(.name(.add(name, file: index))) }
        }
        sync()
    }

    func sync() {
        guard !ignoresNameSyncs else { return }
        state.withLock { if $0.records { $0.steps.append(.syncNames) } }
    }

    func occupiedByteCount(of name: String) throws(IOError) -> UInt64 {
        let contents = state.withLock { state in state.names[name].map { state.files[$0].contents } }
        guard let contents else { throw missing("stat", name) }
        return UInt64(contents.pages.pageCount) * 4096
    }

    // MARK: Files

    private final class File: BlockFile {
        private let folder: RecordedDirectory
        private let index: Int
        let path: String
        private let memory: MemoryFile
        private let ignoresSync: Bool

        init(_ folder: RecordedDirectory, _ index: Int, _ path: String) {
            (self.folder, self.index, self.path) = (folder, index, path)
            memory = folder.state.withLock { $0.files[index] }
            ignoresSync = folder.ignoresSyncs(path)
        }

        func byteCount() -> UInt64 { memory.byteCount() }
        func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
            try memory.read(into: &buffer, at: offset)
        }
        func data(from offset: UInt64) -> Range<UInt64>? { memory.data(from: offset) }
        func write(_ bytes: RawSpan, at offset: UInt64) throws(IOError) {
            try memory.write(bytes, at: offset)
            if folder.isRecording { record(.write(offset: offset, [UInt8](copying: bytes))) }
        }
        func resize(to byteCount: UInt64) {
            memory.resize(to: byteCount)
            record(.resize(byteCount))
        }
        func zero(_ range: Range<UInt64>) {
            memory.zero(range)
            record(.zero(range))
        }
        func sync() { if !ignoresSync { record(.sync) } }

        private func record(_ operation: RecordingFile.Operation) {
            folder.state.withLock { if $0.records { $0.steps.append(.file(index, operation)) } }
        }
    }

    private var isRecording: Bool { state.withLock { $0.records } }

    // MARK: Power cuts

    struct Image {
        var files: [String: MemoryFile.Contents]
        /// Marks passed before the cut, in order.
        var marks: [Int]
        /// What became of each unsynced step.
        var fates: String { describe() }
        fileprivate var describe: () -> String
    }

    /// Visits what a power cut could leave, just before each sync and at the end.
    func forEachCut(imageLimit: Int, seed: UInt64, _ body: (Image) throws -> Void) rethrows -> PowerCuts.Tally {
        let recorded = state.withLock { ($0.initialNames, $0.initial, $0.steps) }
        var cuts = Cuts(names: recorded.0, contents: recorded.1, generator: SplitMix(seed: seed))
        for step in recorded.2 {
            switch step {
            case .mark(let number): cuts.marks.append(number)
            case .file(let file, .sync):
                try cuts.visit(imageLimit, body)
                cuts.settle { if case .file(file, _) = $0 { true } else { false } }
            case .syncNames:
                try cuts.visit(imageLimit, body)
                cuts.settle { if case .name = $0 { true } else { false } }
            default: cuts.pending.append(step)
            }
        }
        try cuts.visit(imageLimit, body)
        return cuts.tally
    }

    private struct Cuts {
        var names: [String: Int]
        var contents: [MemoryFile.Contents]
        var pending: [Step] = []
        var marks: [Int] = []
        var tally = PowerCuts.Tally()
        var generator: SplitMix

        mutating func visit(_ imageLimit: Int, _ body: (Image) throws -> Void) rethrows {
            tally.momentCount += 1
            let choices = pending.map { step -> [PowerCuts.Fate] in
                if case .file(_, let operation) = step { return PowerCuts.fates(of: operation) }
                return [.kept, .lost]
            }
            let isAll = try PowerCuts.forEachChoice(choices, imageLimit, &generator) { fates in
                var (names, contents) = (self.names, self.contents)
                for (step, fate) in zip(pending, fates) { Self.apply(step, fate, &names, &contents) }
                tally.imageCount += 1
                let pending = self.pending
                let describe = { zip(pending, fates).map { Self.describe($0, $1) }.joined(separator: ", ") }
                try body(Image(files: names.mapValues { contents[$0] }, marks: marks, describe: describe))
            }
            if isAll { tally.exhaustiveMomentCount += 1 }
        }

        mutating func settle(_ isDurable: (Step) -> Bool) {
            for step in pending where isDurable(step) { Self.apply(step, .kept, &names, &contents) }
            pending.removeAll(where: isDurable)
        }

        static func apply(
            _ step: Step, _ fate: PowerCuts.Fate, _ names: inout [String: Int], _ contents: inout [MemoryFile.Contents]
        ) {
            switch step {
            case .file(let file, let operation): PowerCuts.apply(operation, fate, &contents[file])
            case .name(let change):
                if case .lost = fate { return }
                switch change {
                case .add(let name, let file): names[name] = file
                case .rename(let old, let new): if let file = names.removeValue(forKey: old) { names[new] = file }
                case .remove(let name): names[name] = nil
                }
            case .mark, .syncNames: break
            }
        }

        static func describe(_ step: Step, _ fate: PowerCuts.Fate) -> String {
            switch step {
            case .file(let file, let operation): return "\(file): \(PowerCuts.describe(operation, fate))"
            case .name(let change): return "\(change) \(fate)"
            case .mark, .syncNames: return ""
            }
        }
    }
}
