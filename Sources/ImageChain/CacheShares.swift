package import DiskModel

extension ImageChain {
    /// What all layers of a chain together may keep of their tables, in bytes.
    static let cacheByteBudget = 24 << 20

    /// Gives each layer its part of the budget, so that a deep chain needs no more memory than a flat one.
    package static func shareCaches(among layers: [any DiskLayer]) {
        guard !layers.isEmpty else { return }
        for layer in layers { layer.limitCache(to: cacheByteBudget / layers.count) }
    }
}
