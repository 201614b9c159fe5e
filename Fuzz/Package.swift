// swift-tools-version: 6.2
import PackageDescription

// libFuzzer on every parser. Built by run.sh, which passes what instruments the parsers too.
let package = Package(
  name: "Fuzz",
  dependencies: [.package(name: "bertconv", path: "..")],
  targets: [
    .target(name: "CFuzzer"),
    .executableTarget(
      name: "fuzz",
      dependencies: [
        "CFuzzer", .product(name: "TensorIO", package: "bertconv"),
        .product(name: "CheckpointReaders", package: "bertconv"),
        .product(name: "Conversion", package: "bertconv"), .product(name: "Comparison", package: "bertconv"),
        .product(name: "NativeFormat", package: "bertconv"), .product(name: "WeightMapping", package: "bertconv"),
        .product(name: "Tokenizers", package: "bertconv"),
        .product(name: "Encoder", package: "bertconv"), .product(name: "Verification", package: "bertconv"),
      ],
      // The default linker fails on what the sanitizers need.
      linkerSettings: [.unsafeFlags(["-use-ld=lld"])]),
  ],
  swiftLanguageModes: [.v6]
)
