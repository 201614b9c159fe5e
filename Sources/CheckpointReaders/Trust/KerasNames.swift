/// Classes that a Keras config may name without carrying code.
enum KerasNames {
  /// Layers, initializers, optimizers and the like of Keras 2 and 3 and of tf_keras, except those that run code
  /// (`Lambda`, `TFSMLayer`, `TorchModuleWrapper`, `JaxLayer`, `FlaxLayer`).
  static let ofKeras = HarmlessNames.words(
    """
    AUC AWQConfig AWQDTypePolicy AbsMaxQuantizer AbstractRNNCell Accuracy Activation ActivityRegularization Adadelta
    Adafactor Adagrad Adam AdamW Adamax AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
    AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention
    AugMix AutoContrast Average AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D
    BatchNormalization BatchNormalizationV1 BatchNormalizationV2 Bidirectional BinaryAccuracy BinaryCrossentropy
    BinaryFocalCrossentropy BinaryIoU CTC CategoricalAccuracy CategoricalCrossentropy CategoricalFocalCrossentropy
    CategoricalGeneralizedCrossEntropy CategoricalHinge CategoryEncoding CenterCrop Circle Concatenate
    ConcordanceCorrelation Constant Constraint ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose
    Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D
    Convolution1DTranspose Convolution2D Convolution2DTranspose Convolution3D Convolution3DTranspose CosineDecay
    CosineDecayRestarts CosineSimilarity Cropping1D Cropping2D Cropping3D CuDNNGRU CuDNNLSTM CutMix DTypePolicy
    DTypePolicyMap Dense DenseFeatures DepthwiseConv1D DepthwiseConv2D Dice Discretization Dot Dropout
    DynamicEmbedding DynamicLookup DynamicLossScale ELU EinsumDense Embedding Equalization ExponentialDecay F1Score
    FBetaScore FalseNegatives FalsePositives Flatten Float8QuantizationConfig FloatDTypePolicy Ftrl Functional
    GPTQConfig GPTQDTypePolicy GRU GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D
    GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D
    GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GlorotNormal
    GlorotUniform GroupNormalization GroupQueryAttention HashedCrossing Hashing HeNormal HeUniform Hinge Huber
    Identity IdentityInitializer Initializer InputLayer InputSpec Int4DTypePolicy Int4QuantizationConfig
    Int8QuantizationConfig IntegerLookup InverseTimeDecay IoU KLDivergence L1 L1L2 L2 LSTM LSTMCell Lamb
    LayerNormalization LayerNormalizationV1 LeakyReLU LearningRateSchedule LecunNormal LecunUniform Lion
    LocallyConnected1D LocallyConnected2D LogCosh LogCoshError Loss LossScaleOptimizer Masking MaxNorm
    MaxNumBoundingBoxes MaxPool1D MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D Maximum Mean
    MeanAbsoluteError MeanAbsolutePercentageError MeanIoU MeanRelativeError MeanSquaredError
    MeanSquaredLogarithmicError MeanTensor MelSpectrogram Metric MinMaxNorm Minimum MixUp Model MultiHeadAttention
    MultiOptimizer Multiply Muon Nadam NonNeg Normalization OneHotIoU OneHotMeanIoU Ones Optimizer OptimizerMap
    Orthogonal OrthogonalInitializer OrthogonalRegularizer PReLU PearsonCorrelation Permute PiecewiseConstantDecay
    Pipeline Poisson Policy PolicyV1 PolynomialDecay Precision PrecisionAtRecall QuantizationConfig
    QuantizedDTypePolicy QuantizedFloat8DTypePolicy Quantizer R2Score RMSNormalization RMSprop RNN RadialConstraint
    RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop
    RandomElasticTransform RandomErasing RandomFlip RandomFourierFeatures RandomGaussianBlur RandomGrayscale
    RandomHeight RandomHue RandomInvert RandomNormal RandomPerspective RandomPosterization RandomRotation
    RandomSaturation RandomSharpness RandomShear RandomTranslation RandomUniform RandomWidth RandomZoom ReLU Recall
    RecallAtPrecision Reduction Regularizer RepeatVector Rescaling Reshape Resizing ReversibleEmbedding
    RootMeanSquaredError SGD STFT STFTInitializer STFTSpectrogram ScheduleFreeAdamW SensitivityAtSpecificity
    SeparableConv1D SeparableConv2D SeparableConvolution1D SeparableConvolution2D Sequential SimpleRNN SimpleRNNCell
    Softmax Solarization SparseCategoricalAccuracy SparseCategoricalCrossentropy SparseTopKCategoricalAccuracy
    SpatialDropout1D SpatialDropout2D SpatialDropout3D SpecificityAtSensitivity SpectralNormalization SquaredHinge
    StackedRNNCells StringLookup Subtract Sum SyncBatchNormalization TensorShape TextVectorization ThresholdedReLU
    TimeDistributed TopKCategoricalAccuracy TrueNegatives TruePositives TruncatedNormal Tversky UnitNorm
    UnitNormalization UpSampling1D UpSampling2D UpSampling3D VarianceScaling Wrapper ZeroPadding1D ZeroPadding2D
    ZeroPadding3D Zeros
    """)

  /// What Keras wraps values in.
  static let values: Set<String> = [
    "__tensor__", "__keras_tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__tuple__", "__typespec__", "slice",
    "set", "tuple", "dict", "CollectionSpec", "NoneType", "keras_tensor", "TensorShape", "TypeSpec", "ndarray", "type",
    "InputSpec", "bytes",
  ]

  /// Classes of programs for BERT that are public: keras-bert with its layers, bert-for-tf2, bert4keras, TF Garden,
  /// KerasHub. Keras does not load them from the file; the program has to bring them.
  static let ofPrograms = HarmlessNames.words(
    """
    TokenEmbedding PositionEmbedding EmbeddingSimilarity LayerNormalization MultiHeadAttention MultiHeadSelfAttention
    FeedForward Masked Extract EmbeddingRet EmbeddingSim TrigPosEmbedding ScaleOffset ScaledDotProductAttention
    SeqSelfAttention AdamWarmup BertModelLayer BertEmbeddingsLayer TransformerEncoderLayer TransformerEncodersLayer
    AttentionLayer ProjectionLayer TransformerSelfAttentionLayer SingleTransformerEncoderLayer AlbertEncoderLayer
    BiasAdd Scale ConditionalLayerNormalization RelativePositionEmbedding RelativePositionEmbeddingT5
    SinusoidalPositionEmbedding ConditionalRandomField MaximumEntropyMarkovModel Concatenate1D GlobalPointer
    EfficientGlobalPointer Loss BertEncoder BertEncoderV2 BertPretrainer BertPretrainerV2 BertClassifier
    BertTokenClassifier BertSpanLabeler AlbertEncoder AlbertTransformerEncoder MobileBERTEncoder OnDeviceEmbedding
    SelfAttentionMask Transformer TransformerEncoderBlock CompiledTransformer MaskedLM ClassificationHead DenseEinsum
    Attention CachedAttention TalkingHeadsAttention BertPackInputs BertTokenizer PackBertInputs EncoderScaffold
    """)
}
