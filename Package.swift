// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "moe-tool",
    products: [
        .executable(name: "moe-tool", targets: ["moe-tool"]),
        .library(name: "MoEToolkit", targets: ["MoEToolkit"]),
        .library(name: "Packing", targets: ["Packing"]),
        .library(name: "Safetensors", targets: ["Safetensors"]),
    ],
    dependencies: [
        // The command line: parsing, help, completion.
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        // SHA-256 of source files and packed tensors, with the processor's SHA instructions.
        .package(url: "https://github.com/apple/swift-crypto", from: "4.0.0"),
        // Recipes.
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
    ],
    targets: [
        .target(
            name: "Formats", path: "Formats", exclude: ["gguf.md", "mtz.md", "schemas"],
            resources: [.embedInCode("architectures"), .embedInCode("hardware")]),
        .systemLibrary(name: "CBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .target(name: "CPlatform"),
        .target(name: "CStart"),
        .target(name: "Safetensors", dependencies: ["CPlatform"]),
        .target(name: "Numerics", dependencies: ["CBLAS", "CPlatform", "Safetensors"]),
        .target(name: "Quantisation", dependencies: ["CPlatform", "Numerics", "Safetensors"]),
        .target(
            name: "Packing",
            dependencies: [
                "CPlatform", "CZstd", "Numerics", "Safetensors", .product(name: "Crypto", package: "swift-crypto"),
            ]),
        .target(
            name: "Checkpoints",
            dependencies: [
                "CPlatform", "Formats", "Numerics", "Packing", "Quantisation", "Safetensors",
                .product(name: "Crypto", package: "swift-crypto"),
            ]),
        .target(name: "Tokenizers", dependencies: ["Safetensors"]),
        .target(
            name: "Transforms",
            dependencies: [
                "Checkpoints", "Formats", "Numerics", "Safetensors", .product(name: "Yams", package: "Yams"),
            ]),
        .target(name: "Models", dependencies: ["CPlatform", "Checkpoints", "Numerics", "Safetensors"]),
        .target(
            name: "Evaluation",
            dependencies: ["CZstd", "Checkpoints", "Models", "Numerics", "Safetensors", "Tokenizers", "Transforms"]),
        .target(
            name: "Training",
            dependencies: [
                "CPlatform", "Checkpoints", "Evaluation", "Models", "Numerics", "Safetensors", "Tokenizers",
                "Transforms",
            ]),
        .target(
            name: "Planning", dependencies: ["Checkpoints", "Formats", "Numerics", "Safetensors", "Transforms"]),
        .target(
            name: "Reports",
            dependencies: ["Checkpoints", "Evaluation", "Planning", "Safetensors", "Training", "Transforms"]),
        .target(
            name: "MoEToolkit",
            dependencies: [
                "Checkpoints", "Evaluation", "Models", "Planning", "Reports", "Safetensors", "Tokenizers", "Training",
                "Transforms",
            ]),
        .target(
            name: "Commands",
            dependencies: [
                "CPlatform", "Checkpoints", "Evaluation", "MoEToolkit", "Models", "Numerics", "Packing", "Planning",
                "Reports", "Safetensors", "Tokenizers", "Training", "Transforms",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .executableTarget(name: "moe-tool", dependencies: ["CStart", "Commands"]),
        .executableTarget(
            name: "packing-benchmark", dependencies: ["Packing", "Safetensors"], path: "Tests/Benchmarks/Packing"),
        .target(name: "TestSupport", dependencies: ["Safetensors"], path: "Tests/TestSupport"),
        .testTarget(name: "SafetensorsTests", dependencies: ["Safetensors", "TestSupport"]),
        .testTarget(
            name: "PackingTests", dependencies: ["Checkpoints", "Numerics", "Packing", "Safetensors", "TestSupport"]),
        .testTarget(name: "QuantisationTests", dependencies: ["Quantisation", "Safetensors", "TestSupport"]),
        .testTarget(name: "NumericsTests", dependencies: ["Numerics", "Safetensors", "TestSupport"]),
        .testTarget(
            name: "CheckpointsTests",
            dependencies: ["Checkpoints", "Formats", "Quantisation", "Safetensors", "TestSupport", "Transforms"]),
        .testTarget(name: "TokenizersTests", dependencies: ["Safetensors", "TestSupport", "Tokenizers"]),
        .testTarget(
            name: "TransformsTests",
            dependencies: ["Checkpoints", "Numerics", "Safetensors", "TestSupport", "Transforms"]),
        .testTarget(
            name: "ModelsTests", dependencies: ["Checkpoints", "Models", "Numerics", "Safetensors", "TestSupport"]),
        .testTarget(
            name: "EvaluationTests",
            dependencies: [
                "Checkpoints", "Evaluation", "Models", "Numerics", "Safetensors", "TestSupport", "Tokenizers",
                "Transforms",
            ]),
        .testTarget(
            name: "TrainingTests",
            dependencies: [
                "Checkpoints", "Evaluation", "Models", "Numerics", "Safetensors", "TestSupport", "Training",
            ]),
        .testTarget(
            name: "PlanningTests",
            dependencies: ["Checkpoints", "Planning", "Safetensors", "TestSupport", "Transforms"]),
        .testTarget(name: "ReportsTests", dependencies: ["Reports", "Safetensors", "TestSupport"]),
        .testTarget(name: "MoEToolkitTests", dependencies: ["MoEToolkit", "TestSupport"]),
        .testTarget(name: "CommandsTests", dependencies: ["Safetensors", "TestSupport", "moe-tool"]),
    ],
    swiftLanguageModes: [.v6]
)

for target in package.targets where target.type != .system && !["CPlatform", "CStart"].contains(target.name) {
    target.swiftSettings = [
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
    ]
}
