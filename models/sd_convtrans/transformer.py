"""Mix Transformer B0: four maps of an image, from attention whose keys and values are thinned.

Source: Xie et al., SegFormer, NeurIPS 2021 (arXiv 2105.15203). Names of modules give the keys of the published files.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from errors import UserError
from storage.weights import compare, describe, read_state_dict

log = logging.getLogger(__name__)
WIDTHS = (32, 64, 160, 256)  # of the four maps
HEADS = (1, 2, 5, 8)
THINNING = (8, 4, 2, 1)  # of rows and columns, for keys and values
BLOCKS = 2  # per stage
RATIO = 4  # of the width inside a block to that outside
DROP = 0.1  # share of samples that leave the last block out
EPS, EPS_INSIDE = 1e-6, 1e-5  # of layer normalisation between and inside the parts of a block, as published


def drop_path(x: Tensor, rate: float) -> Tensor:
    """A residual, set to 0 for a share `rate` of the samples and divided by 1 - rate for the others.

    Source: Huang et al., Deep Networks with Stochastic Depth (arXiv 1603.09382).
    """
    kept = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= rate
    return x * (kept / (1 - rate)).to(x.dtype)


def as_map(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, h * w, C) -> (B, C, h, w), channels last in memory."""
    return tokens.transpose(1, 2).unflatten(2, size)


def as_tokens(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, h * w, C)."""
    return x.flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Self-attention of tokens (B, h * w, C); keys and values are those of a map thinned by a strided convolution."""

    def __init__(self, width: int, heads: int, thinning: int):
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        self.sr = nn.Conv2d(width, width, thinning, stride=thinning) if thinning > 1 else None
        self.norm = nn.LayerNorm(width, eps=EPS_INSIDE) if thinning > 1 else None

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Attend; size: (h, w) of the map that the tokens are."""
        seen = x if self.sr is None else self.norm(as_tokens(self.sr(as_map(x, size))))
        query = self._by_head(self.q(x))
        keys, values = (self._by_head(part) for part in self.kv(seen).chunk(2, 2))
        found = F.scaled_dot_product_attention(query, keys, values)  # divides by the root of the width of a head
        return self.proj(found.transpose(1, 2).flatten(2))

    def _by_head(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, heads, N, C / heads)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class Depthwise(nn.Module):
    """A 3x3 convolution of every channel by itself, under the name it has in published files."""

    def __init__(self, width: int):
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Convolve tokens (B, h * w, C) as the map they are."""
        return as_tokens(self.dwconv(as_map(x, size)))


class Mlp(nn.Module):
    """Tokens by themselves, but for a depthwise convolution that mixes neighbours; its GELU is the tanh form."""

    def __init__(self, width: int):
        super().__init__()
        self.fc1 = nn.Linear(width, RATIO * width)
        self.dwconv = Depthwise(RATIO * width)
        self.fc2 = nn.Linear(RATIO * width, width)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, h * w, C) -> the same shape."""
        return self.fc2(F.gelu(self.dwconv(self.fc1(x), size), approximate="tanh"))


class Block(nn.Module):
    """Attention and `Mlp`, each a residual that training leaves out for some samples."""

    def __init__(self, width: int, heads: int, thinning: int, drop: float):
        super().__init__()
        self.drop = drop
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.attn = Attention(width, heads, thinning)
        self.norm2 = nn.LayerNorm(width, eps=EPS)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, h * w, C) -> the same shape."""
        x = x + self._dropped(self.attn(self.norm1(x), size))
        return x + self._dropped(self.mlp(self.norm2(x), size))

    def _dropped(self, x: Tensor) -> Tensor:
        return drop_path(x, self.drop) if self.training and self.drop else x


class PatchEmbedding(nn.Module):
    """Overlapping patches of a map: (B, C, H, W) -> tokens (B, h * w, width) and (h, w) = ceil((H, W) / stride)."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int):
        super().__init__()
        self.proj = nn.Conv2d(channels, width, kernel, stride=stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(width, eps=EPS_INSIDE)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Embed."""
        x = self.proj(x)
        return self.norm(as_tokens(x)), tuple(x.shape[2:])


class MixTransformer(nn.Module):
    """The encoder B0 of SegFormer.

    Shapes:  x (B, 3, H, W).    Returns: four maps, 1/4 to 1/32 of the size rounded up, with `WIDTHS` channels.
    """

    def __init__(self):
        super().__init__()
        drops = [DROP * number / (BLOCKS * len(WIDTHS) - 1) for number in range(BLOCKS * len(WIDTHS))]
        stages = zip((3, *WIDTHS), WIDTHS, HEADS, THINNING, strict=False)
        for stage, (channels, width, heads, thinning) in enumerate(stages, 1):
            kernel, stride = (7, 4) if stage == 1 else (3, 2)
            blocks = [Block(width, heads, thinning, drops.pop(0)) for _ in range(BLOCKS)]
            self.add_module(f"patch_embed{stage}", PatchEmbedding(channels, width, kernel, stride))
            self.add_module(f"block{stage}", nn.ModuleList(blocks))
            self.add_module(f"norm{stage}", nn.LayerNorm(width, eps=EPS))
        self.apply(_initialise)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Feature maps, finest first."""
        maps = []
        for stage in range(1, len(WIDTHS) + 1):
            tokens, size = self.get_submodule(f"patch_embed{stage}")(x)
            for block in self.get_submodule(f"block{stage}"):
                tokens = block(tokens, size)
            x = as_map(self.get_submodule(f"norm{stage}")(tokens), size)
            maps.append(x)
        return maps


def _initialise(module: nn.Module) -> None:
    """First weights as published; those of layer normalisation are torch's."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        outgoing = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, 0, math.sqrt(2 / outgoing))
        nn.init.zeros_(module.bias)


def load_transformer(model: MixTransformer, path: Path) -> None:
    """Copy published weights of Mix Transformer B0: the encoder alone, or a whole SegFormer with it in `backbone.`.

    What a file lacks keeps its first weights, and is told.

    Raises:
        UserError: when the file is missing or damaged, or holds nothing of this network or one of another size.
    """
    state = {key.removeprefix("backbone."): value for key, value in read_state_dict(path).items()}
    state = {key: value for key, value in state.items() if key in model.state_dict()}
    fit = compare(model, state)
    if not state or fit.reshaped:
        raise UserError(
            f"{path}: no Mix Transformer B0 ({describe(fit)}); give mit_b0.pth of SegFormer, or leave out "
            "--model-transformer-weights"
        )
    if fit.missing:
        log.warning("%s: %s; they keep their first values", path, describe(fit))
    model.load_state_dict(state, strict=False)
