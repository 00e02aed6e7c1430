// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
]
/// Declaring a `~Escapable` type, or returning one, still needs this; using one does not.
let lifetimes: [SwiftSetting] = [.enableExperimentalFeature("Lifetimes")]

/// A library target. Its dependencies may only name targets of a lower layer; Tests/HouseTests checks it.
func room(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict + lifetimes)
}

func tool(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: name,
        dependencies: dependencies + ["Toolbox", arguments],
        path: "Tools/\(name)",
        exclude: ["\(name).1.md"],
        swiftSettings: strict)
}

/// Test support: in no product.
func support(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(
        name: name, dependencies: dependencies, path: "Tests/Support/\(name)", swiftSettings: strict + lifetimes)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let formats: [Target.Dependency] = ["VHD", "VHDX", "RawDisk", "HRL"]
let base: [Target.Dependency] = ["ByteCodec", "Digest", "BlockIO", "DiskModel"]

let tools: [Target] = [
    tool("vhdinfo", base + ["VHD", "VHDX", "ImageChain"]),
    tool("vhdcat", base + ["ImageChain"]),
    tool("vhdmap", base + ["ImageChain"]),
    tool("vhdresize", base + ["ImageChain"]),
    tool("vhdcompact", base + ["ImageChain"]),
    tool("vhdsnap", base + ["ImageChain"]),
    tool("vhdrebase", base + ["ImageChain"]),
    tool("vhdcreate", base + ["ImageChain"]),
    tool("vhdconvert", base + ["ImageChain"]),
    tool("vhdcompare", base + ["ImageChain"]),
    tool("vhdcheck", base + ["ImageChain"]),
    tool("vhdmerge", base + ["ImageChain"]),
    tool("hrl-dump", base + ["HRL", "ChangeLog"]),
    tool("hrl-check", base + ["HRL", "ImageChain", "VHDX"]),
    tool("hrl-stat", base + ["HRL", "ImageChain", "ChangeLog"]),
    tool("hrl-apply", base + ["HRL", "ImageChain", "ChangeLog"]),
    tool("hrl-diff", base + ["HRL", "ImageChain", "ChangeLog"]),
    tool("hrl-merge", base + ["HRL", "ChangeLog"]),
    tool("seal", base + ["ImageChain", "SealedFile"]),
    tool("unseal", base + ["SealedFile"]),
    tool("seal-keygen", base + ["Cipher"]),
    tool("seal-status", base + ["SealedFile"]),
    tool("seal-slot", base + ["ImageChain", "SealedFile"]),
    tool("vhdreplica", base + ["Cipher", "ImageChain", "Replication", "Replicator"]),
]

let package = Package(
    name: "vhdtools",
    products: [
        .library(name: "DiskModel", targets: ["ByteCodec", "Digest", "BlockIO", "DiskModel"]),
        .library(name: "DiskFormats", targets: ["VHD", "VHDX", "RawDisk", "HRL"]),
        .library(name: "ImageChain", targets: ["ImageChain"]),
        .library(name: "ChangeLog", targets: ["ChangeLog"]),
        .library(name: "SealedFile", targets: ["Cipher", "SealedFile"]),
        .library(name: "Replication", targets: ["Replication", "Replicator"]),
    ] + tools.map { .executable(name: $0.name, targets: [$0.name]) },
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2")
    ],
    targets: [
        // 0
        .target(name: "CPlatform"),
        .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
        // 1
        room("ByteCodec", ["CPlatform"]),
        room("Digest", ["COpenSSL"]),
        room("Cipher", ["ByteCodec", "COpenSSL"]),
        room("BlockIO", ["ByteCodec", "CPlatform"]),
        room("DiskModel", ["BlockIO", "ByteCodec"]),
        // 2
        room("RawDisk", ["ByteCodec", "BlockIO", "DiskModel"]),
        room("VHD", ["ByteCodec", "BlockIO", "DiskModel"]),
        room("VHDX", ["ByteCodec", "BlockIO", "DiskModel"]),
        room("HRL", ["ByteCodec", "BlockIO", "DiskModel"]),
        room("SealedFile", ["ByteCodec", "CPlatform", "Cipher", "Digest", "BlockIO", "DiskModel"]),
        // 3
        room("ImageChain", base + ["VHD", "VHDX", "RawDisk", "CPlatform"]),
        room("ChangeLog", base + ["HRL"]),
        room("Replication", ["ByteCodec"]),
        // 4
        room("Toolbox", base + ["Cipher", "SealedFile", "CPlatform", "ImageChain", "ChangeLog", arguments]),
        room(
            "Replicator",
            base + ["HRL", "VHD", "VHDX", "Cipher", "SealedFile", "ImageChain", "ChangeLog", "Replication"]),
        // Test support
        support("FaultInjection", ["BlockIO", "ByteCodec"]),
        support("DiskConformance", base + ["FaultInjection"]),
        support("ToolTesting", base),
        // Tests
        tests("CPlatformTests", ["CPlatform"]),
        tests("CipherTests", ["ByteCodec", "Cipher", "COpenSSL", "ToolTesting"]),
        tests(
            "SealedFileTests",
            base + ["Cipher", "SealedFile", "VHD", "VHDX", "FaultInjection", "DiskConformance", "ToolTesting"]),
        tests("ByteCodecTests", ["ByteCodec", "Digest"]),
        tests("BlockIOTests", ["ByteCodec", "BlockIO", "FaultInjection", "ToolTesting"]),
        tests("VHDTests", base + ["VHD", "FaultInjection", "DiskConformance"]),
        tests("VHDXTests", base + ["VHDX", "FaultInjection", "DiskConformance"]),
        tests("HRLTests", base + ["HRL", "FaultInjection"]),
        tests("ImageChainTests", base + formats + ["ImageChain", "FaultInjection", "DiskConformance", "ToolTesting"]),
        tests(
            "ChangeLogTests",
            base + formats + ["ImageChain", "ChangeLog", "FaultInjection", "DiskConformance", "ToolTesting"]),
        tests("ReplicationTests", ["ByteCodec", "Replication"]),
        tests(
            "ReplicatorTests",
            base + formats
                + [
                    "Cipher", "SealedFile", "ImageChain", "ChangeLog", "Replication", "Replicator", "FaultInjection",
                    "ToolTesting",
                ]),
        tests("GoldenTests", base + formats + ["ImageChain", "ToolTesting"]),
        tests("DifferentialTests", base + formats + ["ImageChain", "FaultInjection", "ToolTesting"]),
        tests("CrashTests", base + formats + ["ImageChain", "ChangeLog", "FaultInjection", "ToolTesting"]),
        tests("ToolTests", base + formats + ["ImageChain", "ToolTesting"] + tools.map { .target(name: $0.name) }),
        tests("HouseTests", ["ToolTesting"]),
        // Benchmarks
        .executableTarget(
            name: "tracking-bench", dependencies: base + formats + ["ImageChain", "ChangeLog"],
            path: "Benchmarks/Tracking", swiftSettings: strict),
        .executableTarget(
            name: "sealing-bench", dependencies: ["BlockIO", "Cipher", "DiskModel", "SealedFile"],
            path: "Benchmarks/Sealing", swiftSettings: strict),
    ] + tools,
    swiftLanguageModes: [.v6]
)
