/// Cylinders, heads and sectors per track.
public struct CHSGeometry: Sendable, Equatable, CustomStringConvertible {
    public var cylinders: UInt16
    public var heads: UInt8
    public var sectorsPerTrack: UInt8

    public init(cylinders: UInt16, heads: UInt8, sectorsPerTrack: UInt8) {
        (self.cylinders, self.heads, self.sectorsPerTrack) = (cylinders, heads, sectorsPerTrack)
    }

    /// The geometry that says nothing: readers that go by geometry then go by the size.
    public static let maximum = CHSGeometry(cylinders: 65535, heads: 16, sectorsPerTrack: 255)

    /// Bytes of a disk of this geometry.
    public var byteCount: UInt64 {
        UInt64(cylinders) * UInt64(heads) * UInt64(sectorsPerTrack) * sectorByteCount
    }
    public var description: String { "\(cylinders)×\(heads)×\(sectorsPerTrack)" }
}

/// The geometry of a disk of a size in bytes, which may hold a little less than that. Appendix "CHS Calculation"
public func geometryCHS(virtualByteCount: UInt64) -> CHSGeometry {
    let sectors = min(virtualByteCount / sectorByteCount, 65535 * 16 * 255)
    var (tracks, heads, perTrack): (UInt64, UInt64, UInt64)
    if sectors >= 65535 * 16 * 63 {
        (tracks, heads, perTrack) = (sectors / 255, 16, 255)
    } else {
        (tracks, perTrack) = (sectors / 17, 17)
        heads = max(4, (tracks + 1023) / 1024)
        if tracks >= heads * 1024 || heads > 16 { (tracks, heads, perTrack) = (sectors / 31, 16, 31) }
        if tracks >= heads * 1024 { (tracks, heads, perTrack) = (sectors / 63, 16, 63) }
    }
    return CHSGeometry(
        cylinders: UInt16(tracks / heads), heads: UInt8(heads), sectorsPerTrack: UInt8(perTrack))
}

/// The geometry we write: that of the size where it is exact, and else the maximum one, so that readers that go by
/// geometry see the whole disk.
func writtenGeometry(virtualByteCount: UInt64) -> CHSGeometry {
    let geometry = geometryCHS(virtualByteCount: virtualByteCount)
    return geometry.byteCount == virtualByteCount ? geometry : .maximum
}

extension Footer {
    public var geometry: CHSGeometry {
        get { CHSGeometry(cylinders: cylinders, heads: heads, sectorsPerTrack: sectorsPerTrack) }
        set { (cylinders, heads, sectorsPerTrack) = (newValue.cylinders, newValue.heads, newValue.sectorsPerTrack) }
    }
}
