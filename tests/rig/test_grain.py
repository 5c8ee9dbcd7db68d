import numpy as np
import pytest

from pydeepexpr.rig.grain import MARGIN, SPIRALS, STEP, TILE, smoothed, spread


def cells_of(depth):
    """The nearest depth in each cell, with the margin."""
    size = -(-len(depth) // STEP)
    padded = np.full((size * STEP, size * STEP), np.inf, np.float32)
    padded[: len(depth), : len(depth)] = depth
    return np.pad(padded.reshape(size, STEP, size, STEP).min(axis=(1, 3)), MARGIN, constant_values=np.inf)


@pytest.mark.parametrize("size", [1, 2, 5, 16, 17])
def test_what_is_everywhere_the_same_stays(size):
    random = np.random.default_rng(1)
    depth = np.where(random.random((size, size)) < 0.7, random.uniform(50, 52, (size, size)), np.inf).astype(np.float32)
    coarse = cells_of(depth)
    layers = np.where(np.isfinite(coarse), np.float32([0.25, 0.75])[:, None, None], 0).astype(np.float32)
    out = spread(smoothed(layers, coarse), coarse, depth)
    covered = np.isfinite(depth)
    np.testing.assert_allclose(out[0][covered], 0.25, rtol=1e-5)
    np.testing.assert_allclose(out[1][covered], 0.75, rtol=1e-5)


def test_surfaces_behind_one_another_do_not_mix():
    depth = np.full((32, 32), 60, np.float32)
    depth[:, 16:] = 70
    coarse = cells_of(depth)
    layer = np.where(coarse == 70, 1, 0).astype(np.float32)
    out = spread(smoothed(layer[None], coarse), coarse, depth)[0]
    np.testing.assert_allclose(out, depth == 70, atol=0.01)


def test_a_step_upon_one_surface_becomes_a_slope():
    """As wide as a tile and a cell; its middle, by symmetry, between the same pixels, half a cell aside: tiles reach
    from two cells before to one behind."""
    depth = np.full((64, 64), 60, np.float32)
    coarse = cells_of(depth)
    layer = np.where(np.arange(len(coarse)) >= MARGIN + 16, 1, 0) * np.isfinite(coarse)
    row = spread(smoothed(layer[None].astype(np.float32), coarse), coarse, depth)[0, 32]
    assert (np.diff(row) >= -1e-6).all()
    np.testing.assert_allclose(row[: 32 - (TILE // 2) * STEP], 0, atol=1e-6)
    np.testing.assert_allclose(row[32 + (TILE // 2 + 1) * STEP :], 1, atol=1e-6)
    np.testing.assert_allclose(row[32:34].mean(), 0.5, atol=1e-6)


def test_looks_lie_evenly_in_the_disc():
    assert SPIRALS.shape[:2] == (TILE, TILE)
    radius = np.hypot(SPIRALS[..., 0], SPIRALS[..., 1])
    assert radius.max() < 1
    np.testing.assert_allclose((radius**2).mean(), 0.5, atol=1e-9)  # of a disc evenly filled
    np.testing.assert_allclose(SPIRALS.mean(axis=(0, 1)), 0, atol=1e-9)  # the turns of a tile go all round
