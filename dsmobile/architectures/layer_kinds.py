"""What is known of each Keras layer and operation by its class: that it computes no MACs, and how a converted network runs it.

A class that stands in none of these tables is not known; whoever counts names it. `keras.ops` functions are classes too once they stand in
a functional model: `x + y` is an `Add`, as the layer is.
"""

from __future__ import annotations

from typing import Any


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


CONVOLUTIONS = _names("Conv1D Conv2D Conv3D DepthwiseConv1D DepthwiseConv2D SeparableConv1D SeparableConv2D")
SEPARABLE = _names("SeparableConv1D SeparableConv2D")
TRANSPOSED = _names("Conv1DTranspose Conv2DTranspose Conv3DTranspose")
NORMALIZED = CONVOLUTIONS | TRANSPOSED | {"Dense"}
"""Layers that take in the batch normalization behind them."""

TRAINING_ONLY = _names(
    """Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D GaussianDropout GaussianNoise AlphaDropout ActivityRegularization Identity
    StochasticDepth DropPath StopGradient MixUp CutMix AugMix RandAugment
    RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur
    RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear
    RandomTranslation RandomZoom"""
)
"""At inference they give back what they are given."""

VIEWS = _names("Reshape Flatten ExpandDims Squeeze Ravel")
"""The same numbers in the same order under another shape."""

PADDING = _names("ZeroPadding1D ZeroPadding2D ZeroPadding3D")

ELEMENTWISE = _names(
    """Activation ReLU LeakyReLU PReLU ELU Softmax BatchNormalization Rescaling Normalization LayerScale Solarization
    Relu Relu6 LeakyRelu Elu Celu Selu Gelu Silu HardSilu HardSigmoid HardTanh HardShrink SoftShrink TanhShrink Sigmoid LogSigmoid Softplus Softsign
    LogSoftmax Squareplus SparsePlus SparseSigmoid Threshold Tanh Clip Cast SaturateCast NanToNum
    Add Subtract Multiply Divide TrueDivide DivideNoNan FloorDivide Mod Fmod Power Maximum Minimum Fmax Fmin
    Abs Absolute Fabs Negative Sign Square Sqrt Rsqrt Cbrt Reciprocal Exp Exp2 Expm1 Log Log10 Log1p Log2 Sin Cos Tan Sinh Cosh Sinc
    Arcsin Arccos Arctan Arcsinh Arccosh Arctanh Floor Ceil Round Trunc Erf Erfc Erfinv Deg2rad Rad2deg
    LogicalNot Isnan Isinf Isfinite Equal NotEqual Greater GreaterEqual Less LessEqual"""
)
"""What comes from one tensor place by place, each number written where it stood (a softmax too); with two tensors they are steps of their own."""

_OTHERS = _names(
    """InputLayer Masking Permute RepeatVector Cropping1D Cropping2D Cropping3D UpSampling1D UpSampling2D UpSampling3D
    Average Concatenate Embedding LayerNormalization GroupNormalization RMSNormalization UnitNormalization
    AveragePooling1D AveragePooling2D AveragePooling3D MaxPooling1D MaxPooling2D MaxPooling3D
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
    AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D
    Resizing CenterCrop RandomCrop AutoContrast Equalization ContrastLimitedAdaptiveHistogramEqualization MaxNumBoundingBoxes
    CategoryEncoding Discretization HashedCrossing Hashing IntegerLookup StringLookup TextVectorization"""
)

_OPERATIONS = _names(
    """Sum Mean Max Min Amax Amin Prod Std Var Median Any All Argmax Argmin Logsumexp CountNonzero Cumsum Cumprod Moments Ptp Sort Argsort TopK
    GetItem Slice Split Unstack Stack Hstack Vstack Dstack Concatenate Transpose Swapaxes Moveaxis Tile Repeat Roll Flip Fliplr Flipud Rot90 Pad
    BroadcastTo Take TakeAlongAxis Where Select OneHot MultiHot Copy View Tril Triu Diagonal Logaddexp Arctan2 Hypot
    LogicalAnd LogicalOr LogicalXor OnesLike ZerosLike FullLike Glu DepthToSpace SpaceToDepth Normalize LayerNorm BatchNorm RMSNorm
    AveragePool MaxPool AdaptiveAveragePool AdaptiveMaxPool Resize CropImages PadImages"""
)

WITHOUT_MACS = TRAINING_ONLY | VIEWS | PADDING | ELEMENTWISE | _OTHERS | _OPERATIONS


def is_kerass(layer: Any) -> bool:
    """Whether a layer's class is Keras's own; another class of the same name may compute anything."""
    return type(layer).__module__.partition(".")[0] == "keras"


def is_linear(layer: Any) -> bool:
    """Whether a layer has no activation of its own."""
    import keras

    return getattr(layer, "activation", None) in (None, keras.activations.linear)


def is_identity(layer: Any) -> bool:
    """Whether a layer gives back, at inference, what it is given."""
    kind = type(layer).__name__
    return is_kerass(layer) and (kind in TRAINING_ONLY or (kind == "Activation" and is_linear(layer)))
