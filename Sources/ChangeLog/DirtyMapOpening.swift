public import BlockIO
public import DiskModel
import ByteCodec

extension DirtyMap {
    /// Starts the map of a disk that the target has, so that nothing is dirty.
    /// - Parameters:
    ///   - file: new, or one whose contents are given up.
    ///   - virtualByteCount: size of the disk.
    ///   - fingerprint: of the image, for the record; nil when none can be taken.
    /// - Throws: `.refused` for a region size that does not fit; `.io`.
    public static func create(
        on file: any BlockFile, virtualByteCount: UInt64, fingerprint: ImageFingerprint? = nil,
        _ options: Options = Options()
    ) throws(DiskError) -> DirtyMap {
        let geometry = try geometry(virtualByteCount, options.regionByteCount, file.path)
        let bits = RegionBits(wordCount: geometry.wordCount)
        let store = try newStore(file, geometry, bits) { $0.fingerprint = fingerprint }
        let regions = DirtyMapRegions(geometry, stored: bits, areLost: false)
        return DirtyMap(store, regions, options, Continuity(.clean), [])
    }

    /// As above, in a new file that nobody may write meanwhile.
    /// - Parameter path: see `path(ofImage:)`; must not exist.
    public static func create(
        at path: String, virtualByteCount: UInt64, fingerprint: ImageFingerprint? = nil, _ options: Options = Options()
    ) throws(DiskError) -> DirtyMap {
        let file = try diskErrors(path, "making the dirty map") { try PosixFile(path, .create) }
        return try create(on: file, virtualByteCount: virtualByteCount, fingerprint: fingerprint, options)
    }

    /// Goes on with a map; from now on it counts as not closed. What is damaged counts as dirty and is told by `findings`.
    /// - Parameters:
    ///   - virtualByteCount: size of the disk as it is.
    ///   - fingerprint: of the image as it is.
    ///   - options: the region size counts only where the map is damaged beyond use.
    /// - Throws: MAP001 for what is too large to be a map, MAP002 for an unknown version; `.io`.
    public static func open(
        on file: any BlockFile, virtualByteCount: UInt64, fingerprint: ImageFingerprint, _ options: Options = Options()
    ) throws(DiskError) -> DirtyMap {
        var findings = Findings()
        let fallback = try geometry(virtualByteCount, options.regionByteCount, file.path)
        guard let header = try DirtyMapFile.readHeader(file, &findings),
            let geometry = DirtyMapGeometry(header.virtualByteCount, regionByteCount: header.regionByteCount)
        else { return try openDamaged(file, fallback, options, findings.all) }
        var bits = try DirtyMapFile.readBits(file, header, geometry, &findings)
        let continuity = Self.continuity(header, virtualByteCount, fingerprint, &findings)
        var store = DirtyMapFile(file, header)
        var layout = geometry
        do throws(IOError) {
            if continuity.state == .changedOffline {
                layout = geometry.virtualByteCount == virtualByteCount ? geometry : fallback
                bits = RegionBits(wordCount: layout.wordCount, first: layout.regionCount)
                try store.writeLayout(layout, bits) { $0.reopen(continuity) }
            } else {
                try store.writeHeader { $0.reopen(continuity) }
            }
        } catch { throw DiskError(error, doing: "writing the dirty map") }
        let regions = DirtyMapRegions(layout, stored: bits, areLost: continuity.needsResynchronisation)
        return DirtyMap(store, regions, options, continuity, findings.all)
    }

    /// As above, of a file that nobody else may write meanwhile.
    public static func open(
        at path: String, virtualByteCount: UInt64, fingerprint: ImageFingerprint, _ options: Options = Options()
    ) throws(DiskError) -> DirtyMap {
        let file = try diskErrors(path, "opening the dirty map") { try PosixFile(path, .write) }
        return try open(on: file, virtualByteCount: virtualByteCount, fingerprint: fingerprint, options)
    }

    private static func openDamaged(
        _ file: any BlockFile, _ geometry: DirtyMapGeometry, _ options: Options, _ findings: [Finding]
    ) throws(DiskError) -> DirtyMap {
        let bits = RegionBits(wordCount: geometry.wordCount, first: geometry.regionCount)
        let continuity = Continuity(.damaged, "both copies of the dirty map's header are damaged")
        let store = try newStore(file, geometry, bits) { $0.reopen(continuity) }
        let regions = DirtyMapRegions(geometry, stored: bits, areLost: true)
        return DirtyMap(store, regions, options, continuity, findings)
    }

    private static func geometry(
        _ virtualByteCount: UInt64, _ regionByteCount: UInt64?, _ path: String
    ) throws(DiskError) -> DirtyMapGeometry {
        let geometry =
            if let regionByteCount {
                DirtyMapGeometry(virtualByteCount, regionByteCount: regionByteCount)
            } else { DirtyMapGeometry(virtualByteCount) }
        if let geometry { return geometry }
        throw DiskError(
            .refused, path: path,
            "a disk of \(virtualByteCount) bytes cannot be mapped in regions of \(regionByteCount ?? 0) bytes",
            hint: "take a power of two from 512 on, such that there are at most 1048576 regions")
    }

    private static func newStore(
        _ file: any BlockFile, _ geometry: DirtyMapGeometry, _ bits: RegionBits,
        _ change: (inout DirtyMapHeader) -> Void
    ) throws(DiskError) -> DirtyMapFile {
        var header = DirtyMapHeader()
        header.generation = .random(in: 0 ... .max)
        var store = DirtyMapFile(file, header)
        do throws(IOError) {
            // An older header must not come back, with a higher number.
            if try file.byteCount() > 0 {
                try file.resize(to: 0)
                try file.sync()
            }
            try store.writeLayout(geometry, bits, change)
            if let path = file.hostFile?.path { try syncFolder(of: path) }
        } catch { throw DiskError(error, doing: "writing the dirty map") }
        return store
    }

    // MARK: Continuity

    private static func continuity(
        _ header: DirtyMapHeader, _ virtualByteCount: UInt64, _ fingerprint: ImageFingerprint,
        _ findings: inout Findings
    ) -> Continuity {
        guard header.virtualByteCount == virtualByteCount else {
            let problem = "is \(header.virtualByteCount), the disk has \(virtualByteCount) bytes"
            findings.warn(
                FormatError(
                    .mapDiskSize, field: "VirtualSize", offset: 0, problem, section: "hrl-map.md: Header"))
            return Continuity(
                .changedOffline,
                "the disk had \(header.virtualByteCount) bytes and has \(virtualByteCount)")
        }
        // What an earlier opening found stays until the resynchronisation, the graver first.
        let owed = DirtyMapHeader.Debt(rawValue: header.debt)
        if owed == .damaged || owed == .changedOffline {
            let state: Continuity.State = owed == .damaged ? .damaged : .changedOffline
            return Continuity(state, "an earlier opening found so, and no resynchronisation has ended since")
        }
        guard header.state == DirtyMapHeader.State.closed.rawValue else {
            return Continuity(.notClosed, "the dirty map was not closed: the tracker crashed, or still runs")
        }
        guard let before = header.fingerprint else {
            return Continuity(.changedOffline, "the dirty map was closed without the image's fingerprint")
        }
        if let difference = before.difference(to: fingerprint) {
            return Continuity(.changedOffline, "the image was changed while the dirty map was closed: \(difference)")
        }
        guard owed == DirtyMapHeader.Debt.nothing else {
            return Continuity(
                .notClosed, "the dirty map was once not closed, and no resynchronisation has ended since")
        }
        return Continuity(.clean)
    }
}

extension DirtyMapHeader {
    /// The header of a map that is in use from now on.
    fileprivate mutating func reopen(_ continuity: DirtyMap.Continuity) {
        state = State.open.rawValue
        fingerprint = nil
        let owed: Debt =
            switch continuity.state {
            case .clean: .nothing
            case .notClosed: .notClosed
            case .changedOffline: .changedOffline
            case .damaged: .damaged
            }
        debt = owed.rawValue
    }
}
