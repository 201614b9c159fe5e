import CUnicode

/// What two code points compose to, by Unicode's canonical composition.
func composed(_ first: UInt32, _ second: UInt32) -> UInt32? {
  if let syllable = Hangul.compose(first, second) { return syllable }
  let result = bertconv_unicode_compose(first, second)
  return result == 0 ? nil : result
}

/// Unicode's canonical combining class of a code point.
func combiningClass(of code: UInt32) -> UInt8 {
  code < 0x300 || !CodePointKind(of: code).has(.isReordered) ? 0 : bertconv_unicode_combining_class(code)
}
