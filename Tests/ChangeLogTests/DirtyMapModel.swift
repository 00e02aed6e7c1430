import BlockIO
import ByteCodec
import ChangeLog
import FaultInjection

/// What a dirty map must say, as plain sets of regions: nothing of its layout, its flushes or its marks ahead.
struct DirtyMapModel {
    var logs: [(id: GUID, regions: Set<Int>)] = []
    var early: Set<Int> = []
    var lost: Set<Int> = []
    var owesResynchronisation = false

    var dirty: Set<Int> { logs.reduce(early.union(lost)) { $0.union($1.regions) } }

    mutating func mark(_ regions: Range<Int>) {
        if !logs.isEmpty {
            logs[logs.count - 1].regions.formUnion(regions)
        } else if owesResynchronisation {
            lost.formUnion(regions)
        } else {
            early.formUnion(regions)
        }
    }

    mutating func begin(_ id: GUID) {
        logs.append((id, early))
        early = []
    }

    mutating func acknowledge(_ index: Int) { logs.removeFirst(index + 1) }

    mutating func clear(before index: Int) {
        logs.removeFirst(index)
        (early, lost, owesResynchronisation) = ([], [], false)
    }

    /// The map is opened again; `clean` when it had been closed and nothing is owed.
    mutating func reopen(clean: Bool) {
        let all = dirty
        self = DirtyMapModel()
        owesResynchronisation = !clean
        if clean { early = all } else { lost = all }
    }
}

/// The regions that a map says are dirty.
func dirtyRegions(_ map: DirtyMap) -> Set<Int> {
    var regions: Set<Int> = []
    let size = map.regionByteCount
    map.forEachDirtyRange { range in
        regions.formUnion(Int(range.lowerBound / size)..<Int((range.upperBound - 1) / size) + 1)
    }
    return regions
}

let sampleFingerprint = ImageFingerprint.dataWriteGUID(GUID(1, 2, 3, 4))
