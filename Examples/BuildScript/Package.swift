// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "BuildScript",
    dependencies: [
        // Outside of this repository: .package(url: "https://github.com/…/moe-tool", from: "0.1.0")
        .package(name: "moe-tool", path: "../..")
    ],
    targets: [
        .executableTarget(
            name: "BuildScript", dependencies: [.product(name: "MoEToolkit", package: "moe-tool")])
    ],
    swiftLanguageModes: [.v6]
)
