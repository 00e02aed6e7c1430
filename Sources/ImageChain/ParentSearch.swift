import BlockIO
import ByteCodec
public import DiskModel
import Glibc

/// One place where a parent was looked for, and what was there.
public struct ParentCandidate: Sendable, Equatable {
    public enum Outcome: Sendable, Equatable {
        /// The parent.
        case match
        /// An image, but not the one named; its identity.
        case mismatch(DiskIdentity)
        case missing
        /// There is something, and it cannot be the parent: why.
        case unusable(String)
        /// Outside the folders in which parents may lie; not looked at.
        case outside
    }
    /// The locator's key in the file, such as `relative_path`.
    public var key: String
    public var path: String
    public var outcome: Outcome
}

/// Finds the file of a parent. A relative path may lead to the child's folder, below it, or one level up; anywhere else
/// only under a named folder. Absolute, volume, UNC and device paths are followed by their last component only.
struct ParentSearch {
    let childPath: String
    let link: ParentLink
    let options: OpenOptions

    /// Every place to look, in order, each once.
    func candidates() -> [ParentCandidate] {
        let folder = splitPath(childPath).folder
        var result: [ParentCandidate] = []
        func add(_ key: String, _ path: String, allowed: Bool = true) {
            guard !result.contains(where: { $0.path == path }) else { return }
            result.append(ParentCandidate(key: key, path: path, outcome: allowed ? .missing : .outside))
        }
        for locator in link.locators where locator.kind == .relative || locator.kind == .url {
            guard let components = Self.components(locator) else { continue }
            let path = Self.existing(folder, components)
            add(locator.key, path, allowed: isAllowed(path, components))
        }
        for locator in link.locators {
            guard let last = Self.lastComponent(locator) else { continue }
            add(locator.key, Self.existing(folder, [last]))
        }
        for named in options.parentFolders {
            for locator in link.locators {
                guard let last = Self.lastComponent(locator) else { continue }
                add(locator.key, Self.existing(named, [last]))
            }
        }
        return result
    }

    /// Where the child's own paths lead: relative ones as they stand, and where there is none, the last components of
    /// others beside the child, because paths of another machine lead nowhere here.
    func ownPlaces() -> [String] {
        let folder = splitPath(childPath).folder
        let relative = link.locators.filter { $0.kind == .relative || $0.kind == .url }.compactMap(Self.components)
        if !relative.isEmpty { return relative.map { Self.existing(folder, $0) } }
        return link.locators.compactMap(Self.lastComponent).map { Self.existing(folder, [$0]) }
    }

    /// The components of a relative path; nil for one that is none, or that holds what no file name may.
    static func components(_ locator: ParentLocator) -> [String]? {
        var text = Substring(locator.path)
        if locator.kind == .url {
            guard text.lowercased().hasPrefix("file://") else { return nil }
            text = text.dropFirst("file://".count)
            // Only file://./x is relative; file://host/x and file:///x are not.
            guard text.hasPrefix("./") || text.hasPrefix("../") else { return nil }
            guard let decoded = percentDecoded(text) else { return nil }
            text = Substring(decoded)
        }
        let parts = text.split(omittingEmptySubsequences: false) { $0 == "\\" || $0 == "/" }.map(String.init)
        guard parts.first != "", !parts[0].hasSuffix(":"), parts.count <= 64 else { return nil }
        var result: [String] = []
        for part in parts where part != "." && part != "" {
            guard isSafeName(part) || part == ".." else { return nil }
            if part == "..", let last = result.last, last != ".." { result.removeLast() } else { result.append(part) }
        }
        return result.isEmpty || result.last == ".." ? nil : result
    }

    static func lastComponent(_ locator: ParentLocator) -> String? {
        var path = locator.path
        if locator.kind == .url {
            guard let decoded = percentDecoded(Substring(path)) else { return nil }
            path = decoded
        }
        let parts = path.split { $0 == "\\" || $0 == "/" }
        guard let last = parts.last.map(String.init), isSafeName(last) else { return nil }
        return last
    }

    private static func isSafeName(_ name: String) -> Bool {
        name != "" && name != "." && name != ".." && name.utf8.count <= 255
            && !name.unicodeScalars.contains { $0.value < 32 || $0 == "/" || $0.value == 127 }
    }

    private static func percentDecoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else { bytes.append(byte); continue }
            guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else {
                return nil
            }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    /// The path below a folder, each component by its exact name, or else by the only one equal to it but for case.
    static func existing(_ folder: String, _ components: [String]) -> String {
        var path = folder
        for component in components {
            let exact = path == "/" ? "/\(component)" : "\(path)/\(component)"
            let isThere = unsafe access(exact, F_OK) == 0
            if component == ".." || isThere { path = exact; continue }
            let others = names(in: path).filter { $0.lowercased() == component.lowercased() }
            path = others.count == 1 ? "\(path)/\(others[0])" : exact
        }
        return path.hasPrefix("./") ? String(path.dropFirst(2)) : path
    }

    /// Names in a folder; an end after 100 000 keeps a hostile folder from taking long.
    static func names(in folder: String) -> [String] {
        guard let stream = unsafe opendir(folder) else { return [] }
        defer { unsafe closedir(stream) }
        var result: [String] = []
        while result.count < 100_000, let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
            }
            result.append(name)
        }
        return result
    }

    private func isAllowed(_ path: String, _ components: [String]) -> Bool {
        if components.prefix(while: { $0 == ".." }).count <= 1 { return true }
        guard let real = realPath(path) else { return false }
        return options.parentFolders.contains { folder in
            realPath(folder).map { real.hasPrefix($0 == "/" ? "/" : $0 + "/") } ?? false
        }
    }

    /// Whether the file a path leads to, links followed, lies where parents may lie.
    func isContained(_ path: String) -> Bool {
        guard let real = realPath(path), let home = realPath(splitPath(childPath).folder) else { return false }
        let above = splitPath(home).folder
        return ([home == "/" ? "/" : above] + options.parentFolders.compactMap(realPath)).contains { root in
            real.hasPrefix(root == "/" ? "/" : root + "/")
        }
    }
}

/// The path with all links followed; nil when it leads nowhere.
func realPath(_ path: String) -> String? {
    guard let found = unsafe realpath(path, nil) else { return nil }
    defer { unsafe free(found) }
    return unsafe String(cString: found)
}
