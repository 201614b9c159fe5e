import Testing

@testable import Tokenizers

@Suite struct JSONScannerTests {}
