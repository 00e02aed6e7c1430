// swift-tools-version: 6.2
import PackageDescription

/// A libFuzzer target: Sources/<name>/<name>.swift, which defines `LLVMFuzzerTestOneInput`; seeds in Seeds/<name>/.
/// `products` are library products of the main package; only what they declare `public` can be seen here.
func fuzz(_ name: String, _ products: [String]) -> Target {
    .executableTarget(
        name: name,
        dependencies: products.map { .product(name: $0, package: "vhdtools") },
        swiftSettings: [
            .enableUpcomingFeature("ExistentialAny"),
            .enableUpcomingFeature("MemberImportVisibility"),
            .enableUpcomingFeature("InternalImportsByDefault"),
            // `main` is libFuzzer's.
            .unsafeFlags(["-parse-as-library"]),
        ])
}

let package = Package(
    name: "vhdtools-fuzz",
    dependencies: [.package(name: "vhdtools", path: "..")],
    targets: [
        fuzz("Digests", ["DiskModel"])
    ],
    swiftLanguageModes: [.v6]
)
