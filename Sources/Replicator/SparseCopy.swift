import BlockIO
import DiskModel

/// Copies all bytes of a file into an empty one; holes stay holes.
func copySparse(_ source: any BlockFile, to target: any BlockFile) throws(DiskError) {
    let size: UInt64
    do { size = try source.byteCount() } catch { throw DiskError(error) }
    let buffer = IOBuffer(byteCount: 1 << 20)
    var position: UInt64 = 0
    do { try target.resize(to: size) } catch { throw DiskError(error, doing: "storing a log") }
    while position < size {
        let data: Range<UInt64>?
        do { data = try source.data(from: position) } catch { throw DiskError(error, doing: "reading a log") }
        guard let data, data.lowerBound < size else { return }
        position = max(position, data.lowerBound)
        let end = min(data.upperBound, size)
        while position < end {
            let count = Int(min(UInt64(buffer.byteCount), end - position))
            do { try buffer.fill(count, from: source, at: position) } catch {
                throw DiskError(error, doing: "reading a log")
            }
            do { try target.write(buffer.bytes(0..<count), at: position) } catch {
                throw DiskError(error, doing: "storing a log")
            }
            position += UInt64(count)
        }
    }
}
