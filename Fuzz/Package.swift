// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

func product(_ name: String) -> Target.Dependency { .product(name: name, package: "vhdtools") }

/// A libFuzzer target: Sources/<name>/<name>.swift, which defines `LLVMFuzzerTestOneInput`; seeds in Seeds/<name>/.
/// `products` are library products of the main package; only what they declare `public` can be seen here.
func fuzz(_ name: String, _ products: [String]) -> Target {
    .executableTarget(
        name: name,
        dependencies: ["FuzzSupport"] + products.map(product),
        // `main` is libFuzzer's.
        swiftSettings: settings + [.unsafeFlags(["-parse-as-library"])])
}

let package = Package(
    name: "vhdtools-fuzz",
    dependencies: [.package(name: "vhdtools", path: "..")],
    targets: [
        .target(
            name: "FuzzSupport", dependencies: [product("DiskModel"), product("DiskFormats")], path: "Support",
            swiftSettings: settings),
        fuzz("Digests", ["DiskModel"]),
        fuzz("VHDImage", ["DiskModel", "DiskFormats"]),
        fuzz("VHDXImage", ["DiskModel", "DiskFormats"]),
        fuzz("VHDEdits", ["DiskModel", "DiskFormats"]),
        fuzz("VHDXEdits", ["DiskModel", "DiskFormats"]),
        fuzz("HRLLog", ["DiskModel", "DiskFormats"]),
        fuzz("DirtyMap", ["DiskModel", "DiskFormats", "ChangeLog"]),
        fuzz("HRLOracle", ["DiskModel", "DiskFormats"]),
        fuzz("SealedEnvelope", ["DiskModel", "SealedFile"]),
        fuzz("SealedStream", ["DiskModel", "SealedFile"]),
        fuzz("SealedImage", ["DiskModel", "SealedFile"]),
        fuzz("ParentLocators", ["DiskModel", "DiskFormats", "ImageChain"]),
    ],
    swiftLanguageModes: [.v6]
)
