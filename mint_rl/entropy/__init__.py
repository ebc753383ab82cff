"""Local image entropy, the layer that MINT stands on, and the preprocessing before it."""

from mint_rl.entropy.layer import LocalEntropy, local_entropy
from mint_rl.entropy.preprocess import PREPROCESSINGS, blur_sharpen_divide, preprocess, sharpen_binarise

__all__ = [
    "PREPROCESSINGS",
    "LocalEntropy",
    "blur_sharpen_divide",
    "local_entropy",
    "preprocess",
    "sharpen_binarise",
]
