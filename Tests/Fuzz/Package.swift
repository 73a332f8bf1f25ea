// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [.unsafeFlags(["-parse-as-library"])]

let package = Package(
    name: "Fuzz",
    dependencies: [
        .package(name: "moe-tool", path: "../.."),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.0.0"),
    ],
    targets: [
        .systemLibrary(name: "FuzzZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .executableTarget(
            name: "FuzzHeader", dependencies: [.product(name: "Safetensors", package: "moe-tool")],
            swiftSettings: settings),
        .executableTarget(
            name: "FuzzPacked",
            dependencies: [
                "FuzzZstd", .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Packing", package: "moe-tool"), .product(name: "Safetensors", package: "moe-tool"),
            ], swiftSettings: settings),
        .executableTarget(
            name: "FuzzQuantised", dependencies: [.product(name: "MoEToolkit", package: "moe-tool")],
            swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)
