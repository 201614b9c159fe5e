/// The entries of the zip archive that torch.save writes since version 1.6 (torch/serialization.py,
/// caffe2/serialize/inline_container.cc), below one folder of any name:
///
///     data.pkl                 the pickle; storages are ('storage', type, key, device, number of elements)
///     data/KEY                 the bytes of a storage
///     byteorder                'little' or 'big'; little when it is not there
///     version                  of the archive's form
///     .format_version, .storage_alignment, .data/serialization_id
///     constants.pkl, code/…    in TorchScript archives alone
package enum TorchArchive {
  package static let pickle = "data.pkl"
  package static let byteOrder = "byteorder"
  package static let littleEndian = "little"
  package static let bigEndian = "big"
  package static let version = "version"
  package static let serializationID = ".data/serialization_id"
  package static let scriptConstants = "constants.pkl"
  /// The folder of the constants' storages, and that of the code.
  package static let constants = "constants/"
  package static let code = "code/"

  /// The entry of the storage that has this key in the pickle.
  package static func storage(_ key: String) -> String { "data/" + key }
}
