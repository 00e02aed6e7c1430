public import BlockIO
import ByteCodec
import Glibc
import Synchronization

extension SealedImage {
    /// Bytes looked up at a time.
    private static let lookupByteCount = 1 << 20
    /// What a thread reads and deciphers at once: less is not worth a second thread, and this much stays in its cache.
    private static let runByteCount = 128 << 10

    /// A chunk that has to be read and deciphered, and the part of it that is wanted.
    private struct SealedPiece {
        var index: UInt64
        var entry: ChunkEntry
        var location: ChunkLocation
        /// Inside of the chunk.
        var part: Range<Int>
        /// Where it goes in the buffer.
        var target: Range<Int>
    }

    public func read(into buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        guard buffer.byteCount > 0 else { return }
        let end = byteCount()
        guard let range = checkedRange(offset, UInt64(buffer.byteCount)), range.upperBound <= end else {
            throw IOError("read", path: path, .endOfFile(byteCount: end), offset: offset)
        }
        let size = UInt64(chunkByteCount)
        var position = offset
        while position < range.upperBound {
            let stop = min(range.upperBound, (position / size + UInt64(Self.lookupByteCount) / size) * size)
            let part = Int(position - offset)..<Int(stop - offset)
            try buffer.withPart(part) { (part) throws(IOError) in try readSome(&part, at: position) }
            position = stop
        }
    }

    private func readSome(_ buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        let pieces = try lookUp(&buffer, at: offset)
        let runs = runs(of: pieces)
        let otherReaders = readerCount.wrappingAdd(1, ordering: .relaxed).oldValue
        defer { readerCount.wrappingSubtract(1, ordering: .relaxed) }
        try unsafe buffer.withUnsafeMutableBytes { (all) throws(IOError) in
            let shared = unsafe SharedBytes(all)
            // Where others read as well there is no processor left.
            guard runs.count > 1, otherReaders == 0 else {
                for run in runs { try read(pieces[run], shared) }
                return
            }
            try onTwoThreads(runs.count) { (number) throws(IOError) in try read(pieces[runs[number]], shared) }
        }
    }

    /// Pieces that are read at once: whole chunks that are side by side in file and buffer, or one.
    private func runs(of pieces: [SealedPiece]) -> [Range<Int>] {
        let limit = max(1, Self.runByteCount / chunkByteCount)
        var (runs, start): ([Range<Int>], Int) = ([], 0)
        while start < pieces.count {
            var end = start + 1
            while end < pieces.count, end - start < limit, isNext(pieces[end], to: pieces[end - 1]) { end += 1 }
            runs.append(start..<end)
            start = end
        }
        return runs
    }

    private func isNext(_ piece: SealedPiece, to before: SealedPiece) -> Bool {
        let size = chunkByteCount
        return before.location == .inPlace && piece.location == .inPlace && before.part.count == size
            && piece.part.count == size && before.target.upperBound == piece.target.lowerBound
            && layout.offset(ofChunk: before.index) + UInt64(size) == layout.offset(ofChunk: piece.index)
    }

    /// Reads a run and deciphers it.
    private func read(_ run: ArraySlice<SealedPiece>, _ buffer: SharedBytes) throws(IOError) {
        let (first, last) = (run[run.startIndex], run[run.endIndex - 1])
        guard first.part.count == chunkByteCount else { return try readPart(first, buffer) }
        try buffer.withPart(first.target.lowerBound..<last.target.upperBound) { (bytes) throws(IOError) in
            try readSealed(&bytes, first.index, first.location)
            try open(run, &bytes)
        }
    }

    /// Fills in what is plaintext or zeros.
    /// - Returns: what is not, in order.
    private func lookUp(_ buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) -> [SealedPiece] {
        let size = UInt64(chunkByteCount)
        let end = offset + UInt64(buffer.byteCount)
        return try state.withLock { (state) throws(IOError) in
            var pieces: [SealedPiece] = []
            for index in offset / size...(end - 1) / size {
                let (start, stop) = (max(offset, index * size), min(end, (index + 1) * size))
                let target = Int(start - offset)..<Int(stop - offset)
                let part = Int(start - index * size)..<Int(stop - index * size)
                switch try state.contents(index) {
                case .zeros: buffer.zero(target)
                case .text(let chunk):
                    let text = chunk.text
                    buffer.copy(text.rawBytes.extracting(part), at: target.lowerBound)
                case .sealed(let entry, let location):
                    pieces.append(
                        SealedPiece(
                            index: index, entry: entry, location: location, part: part, target: target))
                }
            }
            return pieces
        }
    }

    private func readSealed(_ bytes: inout MutableRawSpan, _ index: UInt64, _ location: ChunkLocation) throws(IOError) {
        switch location {
        case .inPlace: try file.read(into: &bytes, at: layout.offset(ofChunk: index))
        case .journal(let position): try ring.read(into: &bytes, at: position)
        }
    }

    /// A part of a chunk, all of which is read and deciphered.
    private func readPart(_ piece: SealedPiece, _ buffer: SharedBytes) throws(IOError) {
        var chunk = [UInt8].zeros(chunkByteCount)
        var raw = chunk.mutableRawBytes
        try readSealed(&raw, piece.index, piece.location)
        try open([piece], &raw)
        let text = raw.bytes.extracting(piece.part)
        buffer.withPart(piece.target) { $0.copy(text, at: 0) }
    }

    /// Deciphers whole chunks where they were read to.
    ///
    /// While nobody looked, a writer may have given a chunk another place, and its old one to others. So one that does not
    /// decipher is looked up again under the lock, under which no place that is in use gets other bytes.
    private func open(_ pieces: ArraySlice<SealedPiece>, _ bytes: inout MutableRawSpan) throws(IOError) {
        let size = chunkByteCount
        for (place, piece) in pieces.enumerated() {
            try bytes.withPart(place * size..<(place + 1) * size) { (chunk) throws(IOError) in
                if isOpened(&chunk, piece.index, piece.entry) { return }
                try state.withLock { (state) throws(IOError) in
                    try fetch(state.contents(piece.index), piece.index, &chunk)
                }
            }
        }
    }

    /// Reads a whole chunk, by what was found to be its contents.
    func fetch(
        _ contents: ChunkContents, _ index: UInt64, _ chunk: inout MutableRawSpan
    ) throws(IOError) {
        switch contents {
        case .zeros: chunk.zero(0..<chunk.byteCount)
        case .text(let hot):
            let text = hot.text
            chunk.copy(text.rawBytes, at: 0)
        case .sealed(let entry, let location):
            try readSealed(&chunk, index, location)
            guard isOpened(&chunk, index, entry) else {
                throw IOError(
                    "reading a chunk of the sealed image", path: path, .notAuthentic,
                    offset: index * UInt64(chunkByteCount))
            }
        }
    }

    private func isOpened(_ chunk: inout MutableRawSpan, _ index: UInt64, _ entry: ChunkEntry) -> Bool {
        ciphers.withOne { cipher in
            do { try cipher.open(&chunk, index: index, entry: entry) } catch { return false }
            return true
        }
    }

    // MARK: Data

    /// As of any file; chunks that are absent or zero are no data.
    public func data(from offset: UInt64) throws(IOError) -> Range<UInt64>? {
        let size = UInt64(chunkByteCount)
        let (end, chunks) = try state.withLock { (state) throws(IOError) in
            let end = state.changes.byteCount
            return (end, try state.data(from: offset / size, below: end.dividedRoundingUp(by: size)))
        }
        guard offset < end, let chunks else { return nil }
        return max(offset, chunks.lowerBound * size)..<min(end, chunks.upperBound * size)
    }
}

extension ImageState {
    /// Chunks that are told as one run of data, at most.
    private static let runLimit: UInt64 = 4096

    /// The first run of data at or after a chunk; where it is long, its beginning.
    func data(from first: UInt64, below end: UInt64) throws(IOError) -> Range<UInt64>? {
        var index = first
        while index < end {
            let next = try chunkPastAbsence(index)
            guard next == index else {
                index = next
                continue
            }
            guard try isData(index) else {
                index += 1
                continue
            }
            var stop = index + 1
            while stop < end, stop - index < Self.runLimit, try isData(stop) { stop += 1 }
            return index..<stop
        }
        return nil
    }
}
