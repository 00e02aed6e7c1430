import ArgumentParser
public import DiskModel
public import SealedFile

extension Anchor {
    /// For `transform:`.
    /// - Throws: `ValidationError` that says what is valid.
    public static func parse(_ text: String) throws -> Self {
        guard let anchor = Anchor(text) else {
            throw ValidationError("an anchor is written sealed1:ID:GENERATION:DIGEST, as seal-status prints it")
        }
        return anchor
    }
}

extension Envelope {
    /// Refuses an anchor where there can be none.
    /// - Parameter option: by which it was given.
    public func refuse(_ anchor: Anchor?, by option: String, path: String) throws(DiskError) {
        guard kind == .stream, anchor != nil else { return }
        throw DiskError(.refused, path: path, "is a stream, which has no anchor", hint: "leave out \(option)")
    }
}
