import TensorIO

/// The names of the files of a TensorFlow V2 checkpoint (core/util/tensor_bundle/naming.cc).
package enum BundleFiles {
  package static let indexSuffix = ".index"
  /// The most shards whose numbers have five digits.
  package static let maxShards = 99_999

  /// `PREFIX.data-00000-of-00001`, the shard `number` of `count`.
  package static func shard(_ prefix: String, _ number: Int, of count: Int) -> String {
    "\(prefix).data-\(fiveDigits(number))-of-\(fiveDigits(count))"
  }

  /// `PREFIX-00000-of-00002`, the part `number` of a V1 checkpoint that was saved in `count` files.
  package static func partV1(_ prefix: String, _ number: Int, of count: Int) -> String {
    "\(prefix)-\(fiveDigits(number))-of-\(fiveDigits(count))"
  }

  /// The prefix of the name of a shard, whose number and count are not looked at; `nil` for other names.
  package static func prefix(ofShard name: String) -> String? {
    guard let range = name.ranges(of: ".data-").last else { return nil }
    let tail = name[range.upperBound...].split(separator: "-", omittingEmptySubsequences: false)
    guard tail.count == 3, tail[1] == "of", Int(tail[0]) != nil, Int(tail[2]) != nil else { return nil }
    return String(name[..<range.lowerBound])
  }

  private static func fiveDigits(_ value: Int) -> String {
    String(repeating: "0", count: max(0, 5 - String(value).count)) + String(value)
  }
}
