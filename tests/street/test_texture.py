"""Details fade to their mean before they alias."""

from __future__ import annotations

import numpy as np
import pytest

from street.texture import LINE, TILE, cells, noise, noise_tile, padded, pulse, pulses, step

COUNT = 64 * LINE


def line(start: float, stop: float) -> np.ndarray:
    return np.linspace(start, stop, COUNT, dtype=np.float32)


def constant(value: float) -> np.ndarray:
    return np.full(COUNT, value, np.float32)


def test_the_tile_is_normal_and_periodic():
    tile = noise_tile()
    assert tile.shape == (TILE + 1, TILE + 1)
    assert abs(tile.mean()) < 0.05 and 0.9 < tile.std() < 1.05 and np.abs(tile).max() <= 2.5
    np.testing.assert_array_equal(tile[0], tile[-1])
    np.testing.assert_array_equal(tile[:, 0], tile[:, -1])


def test_noise_fades_with_the_footprint():
    u, v = line(0, 40), line(3, 17)
    spread = [noise(u, v, constant(fp), constant(fp)).std() for fp in (0.002, 0.05, 0.5, 5.0, 100.0)]
    assert all(a >= b for a, b in zip(spread, spread[1:], strict=False))
    assert spread[0] > 0.7 and spread[-1] == 0


def test_streaks_survive_at_grazing_angles():
    u, v = line(0, 400), line(0, 9)
    assert noise(u, v, constant(6.0), constant(0.05)).std() > 0.2
    assert noise(u, v, constant(6.0), constant(0.05), streaks=False).std() == 0


@pytest.mark.parametrize("fp", [0.01, 0.3, 2.0])
def test_pulses_keep_their_mean_at_every_footprint(fp):
    x = line(0, 120)
    value = pulses(x, 3.0, 0.25, constant(fp))
    assert abs(value.mean() - 0.25) < 0.01
    assert value.min() > -1e-3 and value.max() < 1 + 1e-3


def test_pulses_and_steps_are_crisp_from_near():
    x, fp = line(-5, 5), constant(0.001)
    np.testing.assert_array_equal(pulse(x, 1.0, fp) > 0.5, np.abs(x) < 0.5)
    np.testing.assert_array_equal(step(x, fp) > 0.5, x > 0)
    near = pulses(x, 2.0, 0.5, fp) > 0.5
    np.testing.assert_array_equal(near, np.abs(np.mod(x + 1, 2) - 1) < 0.5)


def test_a_thin_bar_keeps_its_area():
    x, width = line(-2, 2), 0.1
    for fp in (0.01, 0.05, 0.4):
        area = pulse(x, width, constant(fp)).mean() * 4
        assert abs(area - width) < 0.004


def test_cells_are_constant_inside_and_fade_when_too_small():
    x, fp = line(0.05, 0.95), constant(0.01)
    assert np.ptp(cells(x, x, 1.0, 1.0, fp, fp)) < 1e-6
    wide = line(0, 200)
    assert cells(wide, constant(0.5), 1.0, 1.0, fp, fp).std() > 0.4
    assert cells(wide, constant(0.5), 1.0, 1.0, constant(2.0), fp).std() == 0


def test_padding_repeats_the_last_entry():
    index = padded(np.arange(LINE + 3))
    assert index.size == 2 * LINE and (index[LINE + 3 :] == LINE + 2).all()
    assert padded(np.arange(LINE)).size == LINE
