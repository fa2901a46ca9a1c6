"""Linear systems on the pixels of an image, each coupled with the eight around it: solved fast, and directly.

A stencil (3, 3, H, W) float64 holds the rows of the matrix: `stencil[1 + dy, 1 + dx, y, x]` is what row (y, x) has for
pixel (y + dy, x + dx); 0 where that lies outside the image. Off the diagonal nothing is positive, and no row sums to
less than 0.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

Array = np.ndarray
COARSEST = 16  # side, pixels, down to which grids are halved
MOST_STEPS = 200
WALK = 50  # steps of the random walk
RELAXATION, SWEEPS = 0.8, 2  # of Jacobi's iteration, before and after the coarser grid
MARGIN = 0.02  # of the tolerance, for what is estimated only
TINY = 1e-300


def solve(stencil: Array, right: Array, start: Array, tolerance: float, cycles: int = 1) -> Array:
    """Solution of a system, to a `tolerance` in its largest error.

    cycles: of the preconditioner on all grids but the finest and the coarsest, for every one on the grid before

    Van der Vorst's BiCGSTAB, with a multigrid cycle as its preconditioner, whose interpolation follows the matrix
    (Dendy, Black Box Multigrid, 1982). Directly where that does not get there.

    Shapes:  stencil (3, 3, H, W); right, start (H, W).    Returns: (H, W) float64.
    """
    height, width = right.shape
    padded = _padded_size(height), _padded_size(width)
    more = [(0, new - old) for new, old in zip(padded, right.shape, strict=True)]
    whole = np.pad(stencil, [(0, 0), (0, 0), *more])
    whole[1, 1, height:], whole[1, 1, :, width:] = 1, 1  # pixels outside stay 0 and meet no other
    found = _iterated(whole, np.pad(right, more).ravel(), np.pad(start, more).ravel(), tolerance, cycles)
    return solve_directly(stencil, right) if found is None else found.reshape(padded)[:height, :width]


def solve_directly(stencil: Array, right: Array) -> Array:
    """The same by elimination, in some ten times the time: the reference."""
    factors = splu(
        matrix(stencil).tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
    return factors.solve(right.ravel()).reshape(right.shape)


def matrix(stencil: Array) -> sp.dia_matrix:
    """The matrix of a stencil, by diagonals."""
    height, width = stencil.shape[2:]
    offsets = [dy * width + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    # A diagonal is stored by column: what a row has for a pixel lies at the place of that pixel.
    rows = [np.roll(row, offset) for row, offset in zip(stencil.reshape(9, -1), offsets, strict=True)]
    return sp.dia_matrix((np.stack(rows), offsets), shape=(height * width,) * 2)


def balanced(weights: Array) -> Array:
    """Weights with each pixel's multiplied by a factor, so that a pixel gives its neighbours about what it takes.

    The factors are what a random walk by these weights comes to after some steps. Multigrid needs it: rows that are
    much smaller than the columns of their pixels hide from the coarser grids what goes wrong.

    Shapes:  weights (3, 3, H, W) >= 0, 0 in the middle.    Returns: the same.
    """
    total = weights.sum((0, 1))
    given = matrix((weights / total).astype(np.float32)).T
    share = total.ravel().astype(np.float32)
    for _ in range(WALK):
        share = (share + given @ share) / 2  # a step, or none
    return weights * (share.reshape(total.shape) / total)


def _padded_size(side: int) -> int:
    """The next size that can be halved, pixel by pixel between its ends, down to about `COARSEST`."""
    step = 1
    while side > 2 * step * COARSEST:
        step *= 2
    return -(-(side - 1) // step) * step + 1


def _iterated(stencil: Array, right: Array, start: Array, tolerance: float, cycles: int) -> Array | None:
    """Solution by BiCGSTAB, flat; None where it is not found."""
    system, cycle = matrix(stencil), Cycle(stencil, cycles)
    x = start.astype(np.float64)
    residual = right - system @ x
    shadow, direction, rho = residual.copy(), residual.copy(), _dot(residual, residual)
    for _ in range(MOST_STEPS):
        ahead = cycle(direction)
        moved = system @ ahead
        share = _quotient(rho, _dot(shadow, moved))
        half = residual - share * moved
        turned = cycle(half)
        seen = system @ turned
        damping = _quotient(_dot(seen, half), _dot(seen, seen))
        change = share * ahead + damping * turned
        x += change
        residual = half - damping * seen
        if np.abs(change).max() < tolerance and np.abs(cycle(right - system @ x)).max() < MARGIN * tolerance:
            return x
        before, rho = rho, _dot(shadow, residual)
        factor = _quotient(rho, before) * _quotient(share, damping)
        if not np.isfinite(factor) or factor == 0:
            break
        direction = residual + factor * (direction - damping * moved)
    return None


def _dot(a: Array, b: Array) -> float:
    """Scalar product in this thread: others would wait for each other longer than they compute."""
    return float(np.einsum("i,i->", a, b))


def _quotient(a: float, b: float) -> float:
    return a / b if abs(b) > TINY else 0.0


class Cycle:
    """A multigrid cycle as a rough inverse of the matrix of a stencil: flat vectors in, flat vectors out.

    Computes in float32, for it only speeds up what is checked elsewhere.
    """

    def __init__(self, stencil: Array, cycles: int = 1):
        self.cycles = cycles
        self._levels: list[tuple[sp.dia_matrix, Array, sp.csr_matrix, sp.csr_matrix]] = []
        system = matrix(stencil).tocsr()
        while min(stencil.shape[2:]) > 2 * COARSEST:
            enlarge = _interpolation(stencil)
            shrink = enlarge.T.tocsr()
            step = (RELAXATION / stencil[1, 1]).ravel().astype(np.float32)
            self._levels.append((matrix(stencil.astype(np.float32)), step, *_single(enlarge, shrink)))
            system = shrink @ (system @ enlarge)
            stencil = _stencil(system, *((side + 1) // 2 for side in stencil.shape[2:]))
        self._coarsest = splu(system.tocsc())

    def __call__(self, right: Array) -> Array:
        """What the rough inverse makes of a right-hand side."""
        scale = np.abs(right).max() or 1.0
        return self._cycle((right / scale).astype(np.float32)).astype(np.float64) * scale

    def _cycle(self, right: Array, level: int = 0) -> Array:
        if level == len(self._levels):
            return self._coarsest.solve(right.astype(np.float64)).astype(np.float32)
        system, step, enlarge, shrink = self._levels[level]
        x = step * right
        for _ in range(SWEEPS - 1):
            x += step * (right - system @ x)
        for _ in range(self.cycles if level else 1):
            x += enlarge @ self._cycle(shrink @ (right - system @ x), level + 1)
        for _ in range(SWEEPS):
            x += step * (right - system @ x)
        return x


def _single(*matrices: sp.csr_matrix) -> list[sp.csr_matrix]:
    return [each.astype(np.float32) for each in matrices]


def _interpolation(stencil: Array) -> sp.csr_matrix:
    """From every other pixel of every other row to all, (H W, H' W'); sides are odd.

    Pixels between two of the coarse ones get what their row of the matrix, summed up across the line, makes of these
    two where it is to be 0; pixels between four get what their row makes of all around them.
    """
    across, along = stencil.sum(0), stencil.sum(1)  # (3, H, W)
    with np.errstate(divide="ignore", invalid="ignore"):
        left, right = (np.nan_to_num(-across[side] / across[1], posinf=0, neginf=0) for side in (0, 2))
        above, below = (np.nan_to_num(-along[side] / along[1], posinf=0, neginf=0) for side in (0, 2))
    height, width = stencil.shape[2:]
    rows, columns = (height + 1) // 2, (width + 1) // 2
    weights = np.zeros((3, 3, rows, columns))  # of a coarse pixel in the nine around it and below
    weights[1, 1] = 1
    weights[1, 2, :, :-1], weights[1, 0, :, 1:] = left[::2, 1::2], right[::2, 1::2]
    weights[2, 1, :-1], weights[0, 1, 1:] = above[1::2, ::2], below[1::2, ::2]
    S = stencil[:, :, 1::2, 1::2] / -stencil[1, 1, 1::2, 1::2]
    north, south, west, east = (np.s_[:-1:2, 1::2], np.s_[2::2, 1::2], np.s_[1::2, :-1:2], np.s_[1::2, 2::2])
    weights[2, 2, :-1, :-1] = S[0, 0] + S[0, 1] * left[north] + S[1, 0] * above[west]
    weights[2, 0, :-1, 1:] = S[0, 2] + S[0, 1] * right[north] + S[1, 2] * above[east]
    weights[0, 2, 1:, :-1] = S[2, 0] + S[2, 1] * left[south] + S[1, 0] * below[west]
    weights[0, 0, 1:, 1:] = S[2, 2] + S[2, 1] * right[south] + S[1, 2] * below[east]
    fine = 2 * np.arange(rows)[:, None] * width + 2 * np.arange(columns)
    step = np.array([dy * width + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)]).reshape(3, 3, 1, 1)
    coarse = np.broadcast_to(np.arange(rows * columns).reshape(rows, columns), weights.shape)
    there = weights != 0
    entries = weights[there], ((fine + step)[there], coarse[there])
    return sp.csr_matrix(entries, shape=(height * width, rows * columns))


def _stencil(system: sp.csr_matrix, height: int, width: int) -> Array:
    """Stencil of a matrix."""
    entries = system.tocoo()
    stencil = np.zeros((3, 3, height * width))
    dy = entries.col // width - entries.row // width
    dx = entries.col % width - entries.row % width
    stencil[dy + 1, dx + 1, entries.row] = entries.data
    return stencil.reshape(3, 3, height, width)
