import BlockIO
import ByteCodec
import DiskModel

extension ImageChain {
    /// Goes through the whole block table of each layer before anything is made to stand on them, or written because of
    /// them: reading meets a damaged entry only where somebody reads its block, and opening meets none. In bounded
    /// memory.
    /// - Parameter accepted: codes of rules that may be broken. After such a breach the layer is gone through as a reader
    ///   does, who reads on past it.
    /// - Throws: `.format`, with the rule's code, for the first entry that a reader would stop at; `.io`.
    static func checkTables(
        _ layers: some Sequence<any DiskLayer>, accepting accepted: Set<FormatError.Code> = []
    ) throws(DiskError) {
        for case let layer as any InspectableLayer in layers {
            do { _ = try layer.census() } catch {
                guard let code = error.formatError?.code else { throw error }
                guard accepted.contains(code) else { throw damaged(layer, error) }
                try readThrough(layer)
            }
        }
    }

    private static func readThrough(_ layer: any DiskLayer) throws(DiskError) {
        do throws(DiskError) {
            try layer.forEachExtent(in: 0..<layer.geometry.virtualByteCount) { _ throws(DiskError) in }
        } catch { throw damaged(layer, error) }
    }

    private static func damaged(_ layer: any DiskLayer, _ error: DiskError) -> DiskError {
        var error = error
        error.hint = error.hint ?? "vhdcheck \(layer.file.path) tells all that is wrong with it, and what mends it"
        return error
    }
}
