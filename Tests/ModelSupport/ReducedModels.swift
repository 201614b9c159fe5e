import Conversion
import TensorIO
import TestSupport
import WeightMapping

/// A BERT of small values: random bits would hold NaN, which 8 bits cannot.
package func smallValues(_ source: MemorySource) -> MemorySource {
  var copy = MemorySource()
  for tensor in source.tensors {
    let bytes = source.bytes(tensor.name)
    let floats = (0..<tensor.elementCount).flatMap { index in
      let value = Float(bytes[index * 4]) / 64 - 2 + Float(bytes[index * 4 + 1]) / 4096
      return [0, 8, 16, 24].map { UInt8(truncatingIfNeeded: value.bitPattern >> UInt32($0)) }
    }
    copy.add(tensor.name, tensor.shape, bytes: floats)
  }
  return copy
}

/// The model that a conversion to `type` makes of a BERT in Google's names.
package func reducedModel(of source: MemorySource, _ type: StorageType) throws -> MemorySource {
  let sink = MemorySink()
  let reducing = ReducingSink(sink, type: type)
  try Converter.write(try plan(source), from: source, to: reducing, progress: nil)
  try reducing.finish()
  var model = MemorySource()
  for (info, data) in zip(sink.infos, sink.data) {
    model.add(info.name, info.shape, type: info.elementType, bytes: data)
  }
  return model
}
