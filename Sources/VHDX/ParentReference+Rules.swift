import DiskModel

extension ParentReference {
    /// Refuses a parent that a parent locator cannot name; what each text may be, `ParentLocatorItem` knows.
    /// - Parameter path: the child's, for messages.
    func checkForLocator(path: String) throws(DiskError) {
        func refuse(_ what: String, _ hint: String? = nil) -> DiskError {
            DiskError(.refused, path: path, what, hint: hint)
        }
        guard identity.format == .vhdx else {
            throw refuse("the parent of a VHDX image is a VHDX image, not one of format \(identity.format)")
        }
        guard !relativePath.contains("\\") else {
            throw refuse(
                "the path \"\(relativePath)\" contains a backslash, which separates folders in the image",
                "rename what is so named")
        }
        let isRelative = !relativePath.hasPrefix("/") && !relativePath.hasSuffix("/")
        guard isRelative, let last = relativePath.split(separator: "/").last, last != ".", last != ".." else {
            throw refuse("\"\(relativePath)\" is no path from the child's folder to the parent's file")
        }
    }
}
