import Testing

#if canImport(Glibc)
  import Glibc
#endif

// Memory safety: getenv gets a text that Swift keeps for the call; what it returns is only compared with nil.

private let isQuick = unsafe getenv("BERTCONV_QUICK") != nil

extension Trait where Self == ConditionTrait {
  /// A test that takes many seconds because it tries every byte of a file, every fixture or a very large input.
  /// `make check` skips it and reports it as skipped; `make test` runs it.
  public static var exhaustive: Self { .disabled(if: isQuick, "make test runs this test") }
}
