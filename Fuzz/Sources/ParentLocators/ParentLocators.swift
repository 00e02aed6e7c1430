import BlockIO
import ByteCodec
import DiskModel
import ImageChain

// Locator paths from hostile images: every place to look is in the child's folder, below it, one level up, or in a folder
// that was named. The input is a kind byte, then the path as UTF-8.

@_cdecl("LLVMFuzzerTestOneInput")
public func test(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = [UInt8](UnsafeBufferPointer(start: start, count: count))
    guard let first = input.first else { return 0 }
    let kinds: [ParentLocator.Kind] = [.relative, .absolute, .volume, .url, .name]
    let locator = ParentLocator(
        kind: kinds[Int(first) % kinds.count], key: "fuzzed", path: String(decoding: input.dropFirst(), as: UTF8.self))
    let child = "/nonexistent/images/child.vhdx"
    let link = ParentLink(identities: [], locators: [locator])
    let options = OpenOptions(parentFolders: ["/nonexistent/named"])
    for candidate in ImageChain.parentCandidates(of: child, link, options) where candidate.outcome != .outside {
        var parts = candidate.path.utf8.split(separator: UInt8(ascii: "/")).map { String(decoding: $0, as: UTF8.self) }
        precondition(parts.first == "nonexistent", "looked at \(candidate.path)")
        parts.removeFirst()
        precondition(parts.first == "images" || parts.first == "named", "looked at \(candidate.path)")
        parts.removeFirst()
        // One step up from the child's folder, at the start, and none anywhere else.
        if parts.first == ".." { parts.removeFirst() }
        precondition(!parts.contains(".."), "looked at \(candidate.path)")
        precondition(!candidate.path.utf8.contains { $0 < 32 }, "control characters in a path")
    }
    return 0
}
