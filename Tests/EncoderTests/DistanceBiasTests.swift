import Testing

@testable import Encoder

@Suite("Relative positions")
struct DistanceBiasTests {
  /// Where each bucket begins, as `MPNetEncoder.relative_position_bucket` of `transformers` 5.24 computes it for the
  /// distances -600 to 600.
  private static let starts: [(distance: Int, bucket: Int)] = [
    (-600, 15), (-90, 14), (-63, 13), (-45, 12), (-31, 11), (-22, 10), (-15, 9), (-11, 8), (-7, 7), (-6, 6), (-5, 5),
    (-4, 4), (-3, 3), (-2, 2), (-1, 1), (0, 0), (1, 17), (2, 18), (3, 19), (4, 20), (5, 21), (6, 22), (7, 23), (8, 24),
    (12, 25), (16, 26), (23, 27), (32, 28), (46, 29), (64, 30), (91, 31),
  ]

  @Test func bucketsAreThoseOfTransformers() {
    for distance in -600...600 {
      let expected = Self.starts.last { $0.distance <= distance }?.bucket
      #expect(DistanceBias.bucket(ofDistance: distance) == expected, "distance \(distance)")
    }
  }

  @Test func farDistancesShareTheLastBucket() {
    #expect(DistanceBias.bucket(ofDistance: 1 << 30) == 31)
    #expect(DistanceBias.bucket(ofDistance: -(1 << 30)) == 15)
  }
}
