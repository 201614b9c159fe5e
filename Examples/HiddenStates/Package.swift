// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "HiddenStates",
  // In a package of your own: .package(url: …, from: …).
  dependencies: [.package(name: "bertconv", path: "../..")],
  targets: [
    .executableTarget(
      name: "HiddenStates",
      dependencies: [
        .product(name: "NativeFormat", package: "bertconv"), .product(name: "Encoder", package: "bertconv"),
        .product(name: "TensorIO", package: "bertconv"),
      ])
  ],
  swiftLanguageModes: [.v6]
)
