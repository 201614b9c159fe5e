/// `text` with every character that could steer a terminal or is not seen (controls, escapes, bidirectional overrides,
/// fillers) written as
/// `\u{…}`.
public func printable(_ text: String, keepingNewlines: Bool = false) -> String {
  if text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) { return text }
  var result = ""
  result.reserveCapacity(text.utf8.count)
  for scalar in text.unicodeScalars {
    switch scalar.value {
    case 0x0A where keepingNewlines: result.unicodeScalars.append(scalar)
    case 0x09: result += "\\t"
    case 0x0A: result += "\\n"
    case 0x0D: result += "\\r"
    case 0..<0x20, 0x7F..<0xA0, 0xAD, 0x61C, 0x115F, 0x1160, 0x180E, 0x200B..<0x2010, 0x2028..<0x2030,
      0x2060..<0x2070, 0x3164, 0xFEFF, 0xFFA0, 0xFFF9..<0xFFFC, 0xE0000..<0xE0080:
      result += "\\u{\(String(scalar.value, radix: 16))}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result
}

/// `text`, or its beginning and end if it is too long to read.
public func withoutMiddle(_ text: String) -> String {
  guard text.utf8.count > 2000, text.unicodeScalars.count > 1000 else { return text }
  return String(text.unicodeScalars.prefix(600)) + " … " + String(text.unicodeScalars.suffix(200))
}

/// The indices of `names` sorted by their bytes, as other programs sort them; equal ones keep their order.
package func byteOrder(_ names: [String]) -> [Int] {
  // For ASCII that is the order of Swift's strings, which is much faster.
  if names.allSatisfy({ $0.utf8.allSatisfy { $0 < 0x80 } }) { return names.indices.sorted { names[$0] < names[$1] } }
  return names.indices.sorted { names[$0].utf8.lexicographicallyPrecedes(names[$1].utf8) }
}

/// `names` sorted by their bytes.
package func sortedByBytes(_ names: some Collection<String>) -> [String] {
  let names = Array(names)
  return byteOrder(names).map { names[$0] }
}

/// A short hexadecimal view of bytes for error messages, at most 16 of them.
public func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
  var result = ""
  var count = 0
  for byte in bytes {
    if count == 16 { return result + "…" }
    if count > 0 { result += " " }
    result += hexadecimal(byte, digits: 2)
    count += 1
  }
  return result.isEmpty ? "nothing" : result
}

/// `value` in lower-case hexadecimal with at least `digits` digits.
public func hexadecimal(_ value: some BinaryInteger, digits: Int) -> String {
  let text = String(value, radix: 16)
  return String(repeating: "0", count: max(0, digits - text.count)) + text
}

/// `1234567` as `1,234,567`.
public func grouped(_ value: some BinaryInteger) -> String {
  let digits = String(value.magnitude)
  var result = value < 0 ? "-" : ""
  for (index, digit) in digits.enumerated() {
    if index > 0, (digits.count - index) % 3 == 0 { result.append(",") }
    result.append(digit)
  }
  return result
}

/// A number of things, as `1 tensor` or `1,234 tensors`.
public func counted(_ count: Int, _ thing: String) -> String { "\(grouped(count)) \(thing)\(count == 1 ? "" : "s")" }

/// Bytes in binary units, as `12.3 MiB`.
public func humanBytes(_ count: UInt64) -> String {
  let units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
  var value = Double(count)
  var unit = 0
  while value >= 1024, unit < units.count - 1 {
    value /= 1024
    unit += 1
  }
  return unit == 0 ? "\(count) \(count == 1 ? "byte" : "bytes")" : "\(fixed(value, digits: 1)) \(units[unit])"
}

/// `value` with a fixed number of digits after the point.
public func fixed(_ value: Double, digits: Int) -> String {
  guard value.isFinite, value.magnitude < 1e15 else { return "\(value)" }
  var scale = 1.0
  for _ in 0..<digits { scale *= 10 }
  let scaled = (value.magnitude * scale).rounded(.toNearestOrEven)
  guard scaled < 9e18 else { return "\(value)" }
  let number = UInt64(scaled)
  let sign = value < 0 && number > 0 ? "-" : ""
  let text = String(number)
  if digits == 0 { return sign + text }
  let padded = String(repeating: "0", count: max(0, digits + 1 - text.count)) + text
  return sign + padded.dropLast(digits) + "." + padded.suffix(digits)
}

/// `value` with three significant digits, as `1.23e-06` or `0.123`.
public func significant(_ value: Double) -> String {
  guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
  if value == 0 { return "0" }
  let magnitude = value.magnitude
  if magnitude >= 0.001, magnitude < 100_000 {
    return fixed(value, digits: magnitude < 1 ? 5 : magnitude < 10 ? 4 : magnitude < 100 ? 3 : 2)
  }
  var exponent = 0
  var mantissa = magnitude
  while mantissa >= 10 {
    mantissa /= 10
    exponent += 1
  }
  while mantissa < 1 {
    mantissa *= 10
    exponent -= 1
  }
  if fixed(mantissa, digits: 2) == "10.00" {
    mantissa = 1
    exponent += 1
  }
  let digits = String(exponent.magnitude)
  return (value < 0 ? "-" : "") + fixed(mantissa, digits: 2) + "e" + (exponent < 0 ? "-" : "+")
    + (digits.count < 2 ? "0" : "") + digits
}

/// A shape as `[2, 3]`.
public func shapeText(_ shape: [Int]) -> String { "[" + shape.map(String.init).joined(separator: ", ") + "]" }

/// The members of `candidates` nearest to `name` by edit distance, if one is near enough to be meant.
public func nearestName(
  to name: String, among candidates: some Sequence<String>, within edits: Int? = nil
) -> String? {
  let target = Array(name.utf8.suffix(200))
  var best: (distance: Int, name: String)?
  for candidate in candidates {
    let other = Array(candidate.utf8.suffix(200))
    let limit = best.map { $0.distance - 1 } ?? edits ?? max(3, target.count / 2)
    guard limit >= 0, abs(other.count - target.count) <= limit else { continue }
    if let distance = editDistance(target, other, limit: limit) { best = (distance, candidate) }
  }
  return best?.name
}

private func editDistance(_ a: [UInt8], _ b: [UInt8], limit: Int) -> Int? {
  var row = Array(0...b.count)
  for i in 0..<a.count {
    var diagonal = row[0]
    row[0] = i + 1
    var smallest = row[0]
    for j in 0..<b.count {
      let substitution = diagonal + (a[i] == b[j] ? 0 : 1)
      diagonal = row[j + 1]
      row[j + 1] = min(substitution, min(row[j], row[j + 1]) + 1)
      smallest = min(smallest, row[j + 1])
    }
    if smallest > limit { return nil }
  }
  return row[b.count] <= limit ? row[b.count] : nil
}
