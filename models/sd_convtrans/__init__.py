"""SD-ConvTrans: a smooth base depth of a small picture guides the full depth of a large one.

Source: the repository MonoDepth-SD-ConvTrans-PyTorch. Names of modules give the keys of its files.
"""

from .network import SDConvTrans

__all__ = ["SDConvTrans"]
