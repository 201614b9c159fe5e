/// The keys that the native format adds to the `__metadata__` of a safetensors file (docs/FORMAT.md).
public enum NativeKey {
  public static let prefix = "bertconv."
  public static let profile = "bertconv.profile"
  public static let config = "bertconv.config"
  public static let vocabulary = "bertconv.vocab"
  public static let tokenizer = "bertconv.tokenizer"
  public static let checksums = "bertconv.checksums"
  public static let source = "bertconv.source"
}
