"""Spatial-KD: an encoder whose maps are converted to common widths, and a decoder that teacher and student share.

Source: Song & Kim, Decomposition and replacement: Spatial knowledge distillation for monocular depth estimation, JVCIR
85, 2022. Names of modules give the keys of the published files: those of the encoder as they are, those of the decoder
after ``decoder.``.
"""

from .decoder import Replacement
from .network import Decoded, SpatialKD

__all__ = ["Decoded", "Replacement", "SpatialKD"]
