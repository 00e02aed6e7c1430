public import BlockIO
import ByteCodec
import Glibc
import Synchronization

extension SealedImage {
    /// Chunks looked up at a time.
    private static let lookupCount: UInt64 = 64

    /// A chunk that has to be read and deciphered, and the part of it that is wanted.
    private struct SealedPiece {
        var index: UInt64
        var entry: ChunkEntry
        var location: ChunkLocation
        /// Inside of the chunk.
        var part: Range<Int>
        /// Where it goes in the buffer.
        var target: Int
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
            let stop = min(range.upperBound, (position / size + Self.lookupCount) * size)
            let part = Int(position - offset)..<Int(stop - offset)
            try buffer.withPart(part) { (part) throws(IOError) in try readSome(&part, at: position) }
            position = stop
        }
    }

    private func readSome(_ buffer: inout MutableRawSpan, at offset: UInt64) throws(IOError) {
        let pieces = try lookUp(&buffer, at: offset)
        var next = 0
        while next < pieces.count {
            let end = try readRun(pieces[next...], &buffer)
            for piece in pieces[next..<end] where piece.part.count == chunkByteCount {
                try open(piece, &buffer)
            }
            next = end
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
                            index: index, entry: entry, location: location, part: part, target: target.lowerBound))
                }
            }
            return pieces
        }
    }

    /// Reads the ciphertext of whole chunks that are side by side in file and buffer; of the first one, where that is partial,
    /// everything.
    /// - Returns: the index of the first piece behind those read.
    private func readRun(_ pieces: ArraySlice<SealedPiece>, _ buffer: inout MutableRawSpan) throws(IOError) -> Int {
        let first = pieces[pieces.startIndex]
        guard first.part.count == chunkByteCount else {
            try readPart(first, &buffer)
            return pieces.startIndex + 1
        }
        let size = chunkByteCount
        var end = pieces.startIndex + 1
        if first.location == .inPlace {
            let offset = layout.offset(ofChunk: first.index)
            while end < pieces.endIndex, pieces[end].part.count == size, pieces[end].location == .inPlace {
                let distance = (end - pieces.startIndex) * size
                guard pieces[end].target == first.target + distance,
                    layout.offset(ofChunk: pieces[end].index) == offset + UInt64(distance)
                else { break }
                end += 1
            }
        }
        let target = first.target..<first.target + (end - pieces.startIndex) * size
        try buffer.withPart(target) { (bytes) throws(IOError) in
            try readSealed(&bytes, first.index, first.location)
        }
        return end
    }

    private func readSealed(_ bytes: inout MutableRawSpan, _ index: UInt64, _ location: ChunkLocation) throws(IOError) {
        switch location {
        case .inPlace: try file.read(into: &bytes, at: layout.offset(ofChunk: index))
        case .journal(let position): try ring.read(into: &bytes, at: position)
        }
    }

    private func readPart(_ piece: SealedPiece, _ buffer: inout MutableRawSpan) throws(IOError) {
        var chunk = [UInt8].zeros(chunkByteCount)
        var whole = piece
        (whole.part, whole.target) = (0..<chunkByteCount, 0)
        var raw = chunk.mutableRawBytes
        try readSealed(&raw, piece.index, piece.location)
        try open(whole, &raw)
        buffer.copy(raw.bytes.extracting(piece.part), at: piece.target)
    }

    /// Deciphers a whole chunk where it was read to.
    ///
    /// While nobody looked, a writer may have given the chunk another place, and its old one to others. So one that does not
    /// decipher is looked up again under the lock, under which no place that is in use gets other bytes.
    private func open(_ piece: SealedPiece, _ buffer: inout MutableRawSpan) throws(IOError) {
        let target = piece.target..<piece.target + chunkByteCount
        try buffer.withPart(target) { (chunk) throws(IOError) in
            if isOpened(&chunk, piece.index, piece.entry) { return }
            try state.withLock { (state) throws(IOError) in
                try fetch(state.contents(piece.index), piece.index, &chunk)
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
