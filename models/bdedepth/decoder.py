"""The grid decoder: six rows, one per encoder map, of three columns each."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..decoders import OutputConv2d, PaddedConv

COLUMNS = 3
FINEST = 16  # channels of the row at full size
STD = 0.02  # of the first weights, cut at 2


def lateral(channels: int, out: int) -> nn.Sequential:
    """A step along a row, (B, channels, H, W) -> (B, out, H, W); nothing is added to its result."""
    return nn.Sequential(
        nn.PReLU(), nn.Conv2d(channels, out, 3, padding=1), nn.PReLU(), nn.Conv2d(out, out, 3, padding=1)
    )


def upward(channels: int, out: int) -> nn.Sequential:
    """A step to the row above, (B, channels, H, W) -> (B, out, 2H, 2W)."""
    enlarge = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return nn.Sequential(enlarge, nn.PReLU(), nn.Conv2d(channels, out, 3, padding=1))


class GridDecoder(nn.Module):
    """Six encoder maps, finest first -> {r: (B, 1, H/2^r, W/2^r)} sigmoid disparity, float32.

    Every row passes its map through three lateral steps; after the first row from below each of them adds what the
    same column of the row below sends upwards. A row thins the channels of its map by half.

    Modules lie in the order of the published files: row by row from full size, in each column the lateral step, then
    the step to this row; after the columns the output of the row.
    """

    def __init__(self, widths: Sequence[int], resolutions: int):
        super().__init__()
        thin = [FINEST, *(width // 2 for width in widths[1:])]
        self.resolutions, self.rows = resolutions, len(widths)
        modules: list[nn.Module] = []
        for row, (width, out) in enumerate(zip(widths, thin, strict=True)):
            for column in range(COLUMNS):
                modules.append(lateral(out if column else width, out))
                if row + 1 < self.rows:
                    modules.append(upward(thin[row + 1], out))
            if row < resolutions:
                modules.append(PaddedConv(out, 1, OutputConv2d))
        self.decoder = nn.ModuleList(modules)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=STD)
                nn.init.zeros_(module.bias)

    def forward(self, features: Sequence[Tensor]) -> dict[int, Tensor]:
        """Disparity of all resolutions."""
        disp: dict[int, Tensor] = {}
        sent: list[Tensor] = []
        for row in reversed(range(self.rows)):
            x, received, sent = features[row], sent, []
            for column in range(COLUMNS):
                x = self.decoder[self._lateral(row, column)](x)
                if received:
                    x = x + received[column]
                if row:
                    sent.append(self.decoder[self._lateral(row - 1, column) + 1](x))
            if row < self.resolutions:
                disp[row] = self.decoder[self._lateral(row, COLUMNS)](x).sigmoid()
        return {r: disp[r] for r in sorted(disp)}

    def _lateral(self, row: int, column: int) -> int:
        """Place of a lateral step: the upward step to it comes next, the output of a row after its last column."""
        steps = 1 if row + 1 == self.rows else 2
        return row * 2 * COLUMNS + min(row, self.resolutions) + column * steps
