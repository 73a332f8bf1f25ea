// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "Fuzz",
    dependencies: [.package(name: "moe-tool", path: "../..")],
    targets: [
        .executableTarget(
            name: "FuzzHeader", dependencies: [.product(name: "Safetensors", package: "moe-tool")],
            swiftSettings: [.unsafeFlags(["-parse-as-library"])])
    ],
    swiftLanguageModes: [.v6]
)
