public import BlockIO
import ByteCodec
import Synchronization

/// Several files in memory whose operations are remembered in one order, for what a power cut leaves of work on all of
/// them: a sync makes one file's operations durable, not the others'. Names go when they are removed, durably.
public final class RecordedFolder: Sendable {
    public enum Step: Sendable {
        case operation(file: Int, RecordingFile.Operation)
        case removal(file: Int)
    }

    private struct State: Sendable {
        var names: [String] = []
        var initial: [MemoryFile.Contents] = []
        var contents: [MemoryFile.Contents] = []
        var steps: [Step] = []
    }
    private let state = Mutex(State())
    /// For broken controls: syncs of this file are answered and not done.
    private let fileWithoutSyncs: String?

    public init(fileWithoutSyncs: String? = nil) { self.fileWithoutSyncs = fileWithoutSyncs }

    /// Adds a file.
    public func add(_ name: String, _ contents: MemoryFile.Contents) -> File {
        let index = state.withLock { state in
            state.names.append(name)
            state.initial.append(contents)
            state.contents.append(contents)
            return state.names.count - 1
        }
        return File(folder: self, index: index, path: name)
    }

    public func remove(_ name: String) {
        state.withLock { state in
            guard let index = state.names.firstIndex(of: name) else { return }
            state.steps.append(.removal(file: index))
        }
    }

    /// What is there now.
    public var files: [String: MemoryFile.Contents] {
        state.withLock { state in
            var files: [String: MemoryFile.Contents] = [:]
            for (name, contents) in zip(state.names, state.contents) { files[name] = contents }
            for case .removal(let index) in state.steps { files[state.names[index]] = nil }
            return files
        }
    }

    public var stepCount: Int { state.withLock { $0.steps.count } }

    /// The names that a cut image has, and what is in the files.
    public struct Image: Sendable {
        public var files: [String: MemoryFile.Contents]
        /// How many steps had been taken.
        public var stepCount: Int
        public var fates: String
    }

    /// Visits what a power cut could leave, just before each sync and removal and at the end.
    /// - Parameter imageLimit: at most so many images a moment: all when they are fewer, else a sample.
    public func forEachCut(
        imageLimit: Int, seed: UInt64, _ body: (Image) throws -> Void
    ) rethrows -> PowerCuts.Tally {
        let (names, initial, steps) = state.withLock { ($0.names, $0.initial, $0.steps) }
        var tally = PowerCuts.Tally()
        var generator = SplitMix(seed: seed)
        var durable = initial
        var isThere = names.map { _ in true }
        var pending: [(file: Int, operation: RecordingFile.Operation)] = []
        func visit(_ stepCount: Int) throws {
            tally.momentCount += 1
            let isExhaustive = try PowerCuts.forEachChoice(
                pending.map { PowerCuts.fates(of: $0.operation) }, imageLimit, &generator
            ) { fates in
                var contents = durable
                for (done, fate) in zip(pending, fates) {
                    PowerCuts.apply(done.operation, fate, &contents[done.file])
                }
                var files: [String: MemoryFile.Contents] = [:]
                for index in names.indices where isThere[index] { files[names[index]] = contents[index] }
                tally.imageCount += 1
                let text = zip(pending, fates).map { "\(names[$0.file]): \(PowerCuts.describe($0.operation, $1))" }
                try body(Image(files: files, stepCount: stepCount, fates: text.joined(separator: ", ")))
            }
            if isExhaustive { tally.exhaustiveMomentCount += 1 }
        }
        for (index, step) in steps.enumerated() {
            switch step {
            case .operation(let file, .sync):
                try visit(index)
                for done in pending where done.file == file { PowerCuts.apply(done.operation, .kept, &durable[file]) }
                pending.removeAll { $0.file == file }
            case .operation(let file, let operation): pending.append((file, operation))
            case .removal(let file):
                try visit(index)
                isThere[file] = false
            }
        }
        try visit(steps.count)
        return tally
    }

    // MARK: Files

    public final class File: BlockFile {
        private let folder: RecordedFolder
        private let index: Int
        public let path: String

        fileprivate init(folder: RecordedFolder, index: Int, path: String) {
            (self.folder, self.index, self.path) = (folder, index, path)
        }

        public var contents: MemoryFile.Contents { folder.state.withLock { $0.contents[index] } }
        public func byteCount() -> UInt64 { contents.byteCount }

        public func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
            let file = MemoryFile(contents)
            try file.read(into: &buffer, at: offset)
        }
        public func data(from offset: UInt64) -> Range<UInt64>? {
            MemoryFile(contents).data(from: offset)
        }

        public func write(_ bytes: RawSpan, at offset: UInt64) {
            record(.write(offset: offset, [UInt8](copying: bytes)))
        }
        public func resize(to byteCount: UInt64) { record(.resize(byteCount)) }
        public func zero(_ range: Range<UInt64>) { record(.zero(range)) }
        public func sync() {
            guard path != folder.fileWithoutSyncs else { return }
            folder.state.withLock { $0.steps.append(.operation(file: index, .sync)) }
        }

        private func record(_ operation: RecordingFile.Operation) {
            folder.state.withLock { state in
                PowerCuts.apply(operation, .kept, &state.contents[index])
                state.steps.append(.operation(file: index, operation))
            }
        }
    }
}
