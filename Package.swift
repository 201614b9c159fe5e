// swift-tools-version: 6.2
import PackageDescription

// Our own targets: Swift 6 mode, every unsafe expression marked, warnings are errors.
let strict: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
]

let package = Package(
  name: "bertconv",
  products: [
    .executable(name: "bertconv", targets: ["bertconv"]),
    .library(name: "TensorIO", targets: ["TensorIO"]),
    .library(name: "CheckpointFormats", targets: ["CheckpointFormats"]),
    .library(name: "CheckpointReaders", targets: ["CheckpointReaders"]),
    .library(name: "CheckpointWriters", targets: ["CheckpointWriters"]),
    .library(name: "NativeFormat", targets: ["NativeFormat"]),
    .library(name: "ModelFamilies", targets: ["ModelFamilies"]),
    .library(name: "WeightMapping", targets: ["WeightMapping"]),
    .library(name: "Conversion", targets: ["Conversion"]),
    .library(name: "Comparison", targets: ["Comparison"]),
    .library(name: "Inspection", targets: ["Inspection"]),
    .library(name: "Encoder", targets: ["Encoder"]),
    .library(name: "Tokenizers", targets: ["Tokenizers"]),
    .library(name: "Prediction", targets: ["Prediction"]),
    .library(name: "Verification", targets: ["Verification"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
  ],
  targets: [
    // System libraries
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CSnappy", pkgConfig: "snappy", providers: [.apt(["libsnappy-dev"])]),
    .systemLibrary(name: "CLibYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
    .systemLibrary(name: "CProtobufC", pkgConfig: "libprotobuf-c", providers: [.apt(["libprotobuf-c-dev"])]),

    // C: checksums and layout, generated messages, kernels, the index of what is built in
    .target(name: "CTensorIO"),
    .target(name: "CTensorBundleProto", dependencies: ["CProtobufC"]),
    .target(name: "CKernels"),
    .target(name: "CProducts"),
    .target(name: "CThreads"),
    .target(name: "CUnicode"),
    .target(name: "CIndex", exclude: ["families.index", "tables.index"]),
    // Headers at build time, the libraries when they are first used.
    .target(name: "COneDNN", linkerSettings: [.linkedLibrary("dl", .when(platforms: [.linux]))]),
    .target(name: "COpenBLAS", linkerSettings: [.linkedLibrary("dl", .when(platforms: [.linux]))]),

    // The flow, one way
    .target(name: "TensorIO", dependencies: ["CTensorIO"], swiftSettings: strict),
    .target(name: "CheckpointFormats", dependencies: ["TensorIO"], swiftSettings: strict),
    .target(
      name: "CheckpointReaders",
      dependencies: [
        "TensorIO", "CheckpointFormats", "NativeFormat", "CZlib", "CSnappy", "CTensorBundleProto", "CProtobufC",
      ],
      swiftSettings: strict),
    .target(
      name: "CheckpointWriters",
      dependencies: ["TensorIO", "CheckpointFormats", "CSnappy"],
      swiftSettings: strict),
    .target(name: "NativeFormat", dependencies: ["TensorIO", "CheckpointFormats"], swiftSettings: strict),
    .target(
      name: "ModelFamilies",
      dependencies: ["TensorIO", "CLibYAML", "CIndex"],
      resources: [.embedInCode("Families")],
      swiftSettings: strict),
    .target(
      name: "WeightMapping",
      dependencies: ["TensorIO", "CheckpointFormats", "ModelFamilies"],
      resources: [.embedInCode("Tables")],
      swiftSettings: strict),
    .target(
      name: "Conversion",
      dependencies: [
        "TensorIO", "CheckpointFormats", "CheckpointReaders", "CheckpointWriters", "NativeFormat", "ModelFamilies",
        "Tokenizers", "WeightMapping",
      ],
      swiftSettings: strict),
    .target(
      name: "Comparison",
      dependencies: [
        "TensorIO", "CheckpointFormats", "CheckpointReaders", "ModelFamilies", "WeightMapping", "Conversion",
      ],
      swiftSettings: strict),
    .target(
      name: "Encoder",
      dependencies: [
        "TensorIO", "CheckpointFormats", "NativeFormat", "ModelFamilies", "CKernels", "CProducts", "CThreads",
        "COneDNN",
        "COpenBLAS",
      ],
      swiftSettings: strict),
    .target(name: "Tokenizers", dependencies: ["TensorIO", "CUnicode"], swiftSettings: strict),
    .target(
      name: "Prediction",
      dependencies: [
        "TensorIO", "CheckpointFormats", "CheckpointWriters", "NativeFormat", "ModelFamilies", "Encoder", "Tokenizers",
      ],
      swiftSettings: strict),
    .target(
      name: "Verification", dependencies: ["TensorIO", "Encoder", "NativeFormat", "Tokenizers"], swiftSettings: strict),
    .target(
      name: "Inspection",
      dependencies: [
        "TensorIO", "CheckpointFormats", "CheckpointReaders", "ModelFamilies", "WeightMapping", "Conversion",
        "Tokenizers",
      ],
      swiftSettings: strict),
    .target(
      name: "Reports",
      dependencies: ["TensorIO", "CheckpointFormats", "WeightMapping", "Inspection", "Verification"],
      resources: [.embedInCode("Pages")],
      swiftSettings: strict),
    .executableTarget(
      name: "bertconv",
      dependencies: [
        "TensorIO", "CheckpointFormats", "CheckpointReaders", "CheckpointWriters", "NativeFormat", "ModelFamilies",
        "WeightMapping", "Conversion", "Comparison", "Encoder", "Tokenizers", "Prediction", "Verification",
        "Inspection",
        "Reports",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: strict),

    // Tests
    .target(
      name: "TestSupport",
      dependencies: ["TensorIO", "CheckpointReaders", "CheckpointWriters"],
      path: "Tests/TestSupport",
      swiftSettings: strict),
    .testTarget(name: "TensorIOTests", dependencies: ["TensorIO", "CTensorIO", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "CheckpointFormatsTests", dependencies: ["CheckpointFormats", "TensorIO", "TestSupport"],
      swiftSettings: strict),
    .testTarget(
      name: "CheckpointReadersTests",
      dependencies: ["CheckpointReaders", "CheckpointWriters", "CheckpointFormats", "TensorIO", "TestSupport"],
      swiftSettings: strict),
    .testTarget(
      name: "NativeFormatTests",
      dependencies: ["NativeFormat", "CheckpointFormats", "CheckpointReaders", "TensorIO", "TestSupport"],
      swiftSettings: strict),
    // Checkpoints in memory, and what the tables and a conversion make of them.
    .target(
      name: "ModelSupport",
      dependencies: ["TensorIO", "WeightMapping", "Conversion", "TestSupport"],
      path: "Tests/ModelSupport",
      swiftSettings: strict),
    .testTarget(
      name: "WeightMappingTests",
      dependencies: [
        "ModelFamilies", "WeightMapping", "Conversion", "NativeFormat", "CheckpointReaders", "TestSupport",
        "ModelSupport",
      ],
      exclude: ["Listings"], swiftSettings: strict),
    .testTarget(
      name: "TokenizersTests", dependencies: ["Tokenizers", "TensorIO", "TestSupport"], swiftSettings: strict),
    .testTarget(
      name: "PredictionTests", dependencies: ["Prediction", "Conversion", "Tokenizers", "TensorIO", "TestSupport"],
      swiftSettings: strict),
    .testTarget(
      name: "ConversionTests",
      dependencies: [
        "Conversion", "NativeFormat", "WeightMapping", "CheckpointReaders", "TestSupport", "ModelSupport",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "ComparisonTests",
      dependencies: ["Comparison", "Conversion", "WeightMapping", "TestSupport", "ModelSupport"], swiftSettings: strict),
    .testTarget(
      name: "EncoderTests",
      dependencies: [
        "Encoder", "ModelFamilies", "CKernels", "CProducts", "CThreads", "COneDNN", "NativeFormat", "CheckpointFormats",
        "CheckpointReaders", "TestSupport", "TensorIO",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "VerificationTests",
      dependencies: [
        "Verification", "Encoder", "NativeFormat", "CheckpointFormats", "CheckpointReaders", "TestSupport",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "InspectionTests", dependencies: ["Inspection", "ModelFamilies", "TensorIO", "TestSupport"],
      swiftSettings: strict),
    .testTarget(
      name: "ReportsTests",
      dependencies: ["Reports", "Verification", "Encoder", "TensorIO"],
      swiftSettings: strict),
    .testTarget(
      name: "bertconvTests",
      dependencies: [
        "bertconv", "Conversion", "Inspection", "Encoder", "TestSupport", "TensorIO", "CheckpointFormats",
        "CheckpointReaders",
        "CheckpointWriters",
      ],
      exclude: ["Listings"],
      swiftSettings: strict),
  ],
  swiftLanguageModes: [.v6]
)

// To build some of the tests alone: BERTCONV_TESTS="EncoderTests TensorIOTests" swift test (Scripts/sanitize.sh does).
if let names = Context.environment["BERTCONV_TESTS"]?.split(separator: " ").map(String.init) {
  package.targets.removeAll { $0.type == .test && !names.contains($0.name) }
}
