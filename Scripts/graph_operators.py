#!/usr/bin/env python3
"""Writes Sources/CheckpointReaders/Trust/GraphOperators.swift: the operators of TensorFlow that are harmless in
a graph, and those that reach out of it. Needs TensorFlow (2.21 wrote the file that is committed).

Harmless are the operators that TensorFlow registers without a state, except those listed here that reach files, other
processes or Python all the same; and the ones with a state listed here, which keep it in the session.
"""
import os
import pathlib
import textwrap

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
from tensorflow.python.framework import op_def_registry

# What each does when it is run.
DANGEROUS = {
    "runs Python": "PyFunc PyFuncStateless EagerPyFunc",
    "writes files": "WriteFile Save SaveSlices SaveV2 MergeV2Checkpoints SaveDataset SaveDatasetV2 DistributedSave "
    "DatasetToTFRecord ExperimentalDatasetToTFRecord CreateSummaryFileWriter CreateSummaryDbWriter CacheDataset "
    "CacheDatasetV2 SnapshotDataset SnapshotDatasetV2 DumpTensor",
    "reads files": "ReadFile MatchingFiles MatchingFilesDataset ExperimentalMatchingFilesDataset Restore RestoreSlice "
    "RestoreV2 LoadDataset LoadAndRemapMatrix ImmutableConst GenerateVocabRemapping FixedLengthRecordReader "
    "FixedLengthRecordReaderV2 TextLineReader TextLineReaderV2 TFRecordReader TFRecordReaderV2 LMDBReader "
    "WholeFileReader WholeFileReaderV2 TextLineDataset TFRecordDataset TFRecordDatasetV2 FixedLengthRecordDataset "
    "FixedLengthRecordDatasetV2 CSVDataset CSVDatasetV2 ExperimentalCSVDataset LMDBDataset ExperimentalLMDBDataset "
    "RecordInput SnapshotDatasetReader SnapshotNestedDatasetReader SnapshotChunkDataset ListSnapshotChunksDataset "
    "ImportEvent InitializeTableFromTextFile InitializeTableFromTextFileV2 FileSystemSetConfiguration",
    "reads a database": "SqlDataset ExperimentalSqlDataset",
    "reaches other processes": "DataServiceDataset DataServiceDatasetV2 DataServiceDatasetV3 DataServiceDatasetV4 "
    "RegisterDataset RegisterDatasetV2 Send Recv RemoteCall WorkerHeartbeat RpcCall RpcClient RpcServer RpcServerStart "
    "RpcServerRegister Rpc TryRpc ConfigureDistributedTPU ShutdownDistributedTPU",
    "runs a graph that is data": "DatasetFromGraph",
}
# Stateless to TensorFlow, and still no mere computation: they write to a path in an attribute, stop the process, sleep,
# or read a description from a file.
NOT_HARMLESS = (
    "Abort Copy CopyHost DebugIdentity DebugNanCount DebugNumericSummary DebugGradientIdentity DebugGradientRefIdentity "
    "DecodeProtoV2 EncodeProto SleepDataset ExperimentalSleepDataset TPUPartitionedCall"
)
# Their state is in the session: variables, tables, queues, random numbers, loops.
HARMLESS_STATE = (
    "Variable VariableV2 TemporaryVariable DestroyTemporaryVariable VarHandleOp VarIsInitializedOp VariableShape "
    "ReadVariableOp AssignVariableOp AssignAddVariableOp AssignSubVariableOp DestroyResourceOp DisableCopyOnRead "
    "ResourceGather ResourceGatherNd ResourceScatterAdd ResourceScatterDiv ResourceScatterMax ResourceScatterMin "
    "ResourceScatterMul ResourceScatterNdAdd ResourceScatterNdMax ResourceScatterNdMin ResourceScatterNdSub "
    "ResourceScatterNdUpdate ResourceScatterSub ResourceScatterUpdate ResourceStridedSliceAssign ResourceCountUpTo "
    "ResourceApplyAdaMax ResourceApplyAdadelta ResourceApplyAdagrad ResourceApplyAdagradDA ResourceApplyAdagradV2 "
    "ResourceApplyAdam ResourceApplyAdamWithAmsgrad ResourceApplyAddSign ResourceApplyCenteredRMSProp ResourceApplyFtrl "
    "ResourceApplyFtrlV2 ResourceApplyGradientDescent ResourceApplyKerasMomentum ResourceApplyMomentum "
    "ResourceApplyPowerSign ResourceApplyProximalAdagrad ResourceApplyProximalGradientDescent ResourceApplyRMSProp "
    "ResourceSparseApplyAdadelta ResourceSparseApplyAdagrad ResourceSparseApplyAdagradDA ResourceSparseApplyAdagradV2 "
    "ResourceSparseApplyCenteredRMSProp ResourceSparseApplyFtrl ResourceSparseApplyFtrlV2 "
    "ResourceSparseApplyKerasMomentum ResourceSparseApplyMomentum ResourceSparseApplyProximalAdagrad "
    "ResourceSparseApplyProximalGradientDescent ResourceSparseApplyRMSProp "
    "Assert CheckNumerics CheckNumericsV2 Case If While StatefulPartitionedCall GuaranteeConst DeepCopy Empty Print "
    "HashTable HashTableV2 AnonymousHashTable MutableHashTable MutableHashTableV2 MutableHashTableOfTensors "
    "MutableHashTableOfTensorsV2 MutableDenseHashTable MutableDenseHashTableV2 AnonymousMutableHashTable "
    "AnonymousMutableDenseHashTable AnonymousMutableHashTableOfTensors InitializeTableV2 LookupTableExportV2 "
    "LookupTableFindV2 LookupTableImportV2 LookupTableInsertV2 LookupTableRemoveV2 LookupTableSizeV2 Multinomial "
    "NonDeterministicInts ParameterizedTruncatedNormal RandomCrop RandomGamma RandomPoisson RandomPoissonV2 "
    "RandomShuffle RandomStandardNormal RandomUniform RandomUniformInt TruncatedNormal RngReadAndSkip RngSkip "
    "StatefulRandomBinomial StatefulStandardNormal StatefulStandardNormalV2 StatefulTruncatedNormal StatefulUniform "
    "StatefulUniformFullInt StatefulUniformInt StatelessRandomGetAlg Stack StackV2 StackCloseV2 StackPopV2 StackPushV2 "
    "TensorArray TensorArrayV2 TensorArrayV3 TensorArrayCloseV3 TensorArrayConcatV3 TensorArrayGatherV3 "
    "TensorArrayGrad TensorArrayGradV2 TensorArrayGradV3 TensorArrayGradWithShape TensorArrayReadV3 "
    "TensorArrayScatterV3 TensorArraySizeV3 TensorArraySplitV3 TensorArrayWriteV3 CudnnRNN CudnnRNNV2 CudnnRNNV3 "
    "CudnnRNNBackprop CudnnRNNBackpropV2 CudnnRNNBackpropV3 FIFOQueue FIFOQueueV2 PaddingFIFOQueue PaddingFIFOQueueV2 "
    "RandomShuffleQueue RandomShuffleQueueV2 QueueCloseV2 QueueDequeueManyV2 QueueDequeueUpToV2 QueueDequeueV2 "
    "QueueEnqueueManyV2 QueueEnqueueV2 QueueIsClosedV2 QueueSizeV2 ConditionalAccumulator Iterator IteratorV2 "
    "AnonymousIterator AnonymousIteratorV2 AnonymousIteratorV3 IteratorGetNext IteratorGetNextSync "
    "IteratorGetNextAsOptional IteratorToStringHandle IteratorFromStringHandle IteratorFromStringHandleV2 MakeIterator "
    "OneShotIterator DeleteIterator RangeDataset TensorDataset TensorSliceDataset ReduceDataset ShuffleDatasetV2 "
    "ShuffleDatasetV3 ShuffleAndRepeatDatasetV2 RandomDataset RandomDatasetV2 DummySeedGenerator "
    "AnonymousSeedGenerator DeleteSeedGenerator AnonymousRandomSeedGenerator DeleteRandomSeedGenerator "
    "DummyMemoryCache AnonymousMemoryCache DeleteMemoryCache DeviceIndex Timestamp CrossReplicaSum SyncDevice "
    "AllCandidateSampler FixedUnigramCandidateSampler LearnedUnigramCandidateSampler LogUniformCandidateSampler "
    "UniformCandidateSampler ThreadUnsafeUnigramCandidateSampler SummaryWriter CloseSummaryWriter FlushSummaryWriter "
    "WriteSummary WriteScalarSummary WriteHistogramSummary WriteImageSummary WriteAudioSummary WriteGraphSummary "
    "WriteRawProtoSummary"
)
# What a graph may have besides: arguments and results of functions, of the runtime; the operators of TensorFlow Text that
# turn text into tokens, and the ones that gradients and optimizers that Keras registers use.
OTHERS = (
    "_Arg _Retval _DeviceArg _DeviceRetval _FusedMatMul _FusedBatchNormEx _FusedConv2D _SwitchN _MklLayerNorm "
    "_ParallelConcatStart _ParallelConcatUpdate _UnaryOpsComposition _VarHandlesOp _ReadVariablesOp XlaSharding "
    "CaseFoldUTF8 NormalizeUTF8 NormalizeUTF8WithOffsetsMap RegexSplitWithOffsets WordpieceTokenizeWithOffsets "
    "FastBertNormalize FastWordpieceTokenizeWithOffsets FastWordpieceDetokenize UnicodeScriptTokenizeWithOffsets "
    "WhitespaceTokenizeWithOffsets WhitespaceTokenizeWithOffsetsV2 SentenceFragments SentencepieceOp "
    "SentencepieceTokenizeOp SentencepieceTokenizeWithOffsetsOp SentencepieceDetokenizeOp SentencepieceIdToStringOp "
    "SentencepieceStringToIdOp SentencepieceVocabSizeOp UnsortedSegmentJoin"
)
# Experimental, or of machines that no checkpoint needs: unknown.
UNKNOWN_PREFIXES = ("XlaSparse", "Prelinearize", "Infeed", "Outfeed", "TPU", "BoostedTrees", "Sdca")


def main():
    dangerous = {name: effect for effect, names in DANGEROUS.items() for name in names.split()}
    harmless = set(HARMLESS_STATE.split()) | set(OTHERS.split())
    for name in dir(tf.raw_ops):
        definition = op_def_registry.get(name)
        if definition is not None and not definition.is_stateful and not name.startswith(UNKNOWN_PREFIXES):
            harmless.add(name)
    harmless -= set(dangerous) | set(NOT_HARMLESS.split())
    lines = ["// Written by Scripts/graph_operators.py.", "", "/// Operators of TensorFlow by what they do when they are run.",
             "enum GraphOperators {",
             "  /// Those that only compute, or whose state is in the session.",
             "  static let harmless = Set(", '    """']
    lines += ["    " + line for line in textwrap.wrap(" ".join(sorted(harmless)), 112)]
    lines += ['    """.split { $0 == " " || $0 == "\\n" }.map(String.init))', "",
              "  /// Those that reach files, other processes or Python, with what each does.",
              "  static let dangerous: [(effect: String, names: String)] = ["]
    for effect, names in DANGEROUS.items():
        lines += ["    (", f'      "{effect}",', '      """']
        lines += ["      " + line for line in textwrap.wrap(names, 110)]
        lines += ['      """', "    ),"]
    lines += ["  ]", "}", ""]
    root = pathlib.Path(__file__).parent.parent
    (root / "Sources/CheckpointReaders/Trust/GraphOperators.swift").write_text("\n".join(lines))
    print(len(harmless), "harmless,", len(dangerous), "dangerous")


if __name__ == "__main__":
    main()
