"""The classes of the fractal data: iterated function systems that are well conditioned and unlike each other.

A system is 2 to 4 affine maps x -> A x + b; its attractor is the shape. Random maps mostly give dust or
blobs. Anderson and Farrell (2022), "Improving fractal pre-training", sample each map through its singular
values, A = R(theta) diag(s1, s2) R(phi) diag(1, +-1), and hold the sum of s1 + 2 s2 over the N maps in
[(5 + N) / 2, (6 + N) / 2], which gives shapes that fill their square and have structure.
Kataoka et al. (2020), "Pre-training without natural images", introduced such systems as classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from alexnet_lab.core.random_numbers import Float64Array, UInt64Array, derive_keys, random_uniform, random_words
from alexnet_lab.fractals.rotation import rotation

MAX_MAPS = 4
LARGEST_SINGULAR_VALUE = 0.92

_CLASS_STREAM = 0x636C617373  # keeps the classes' random numbers apart from the images'
_GRID = 16  # side of the coarse occupancy, in cells over [-1, 1]
_PARTICLES, _BURN_IN, _STEPS = 256, 24, 64


@dataclass(frozen=True)
class Systems:
    """Parameters of the maps of many systems; every array float64 [systems, MAX_MAPS].

    Angles in degrees in [-180, 180); shifts in the frame in which the attractor has radius 1 around 0.
    Unused maps (index >= map_count) have singular values 0, and so are never chosen.
    """

    theta: Float64Array
    phi: Float64Array
    stretch_1: Float64Array
    stretch_2: Float64Array
    reflect: Float64Array
    shift_x: Float64Array
    shift_y: Float64Array

    def matrices(self) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array]:
        """Entries a, b, c, d of every map's matrix [[a, b], [c, d]]."""
        cos_theta, sin_theta = rotation(self.theta)
        cos_phi, sin_phi = rotation(self.phi)
        a = cos_theta * self.stretch_1 * cos_phi - sin_theta * self.stretch_2 * sin_phi
        b = cos_theta * self.stretch_1 * sin_phi + sin_theta * self.stretch_2 * cos_phi
        c = sin_theta * self.stretch_1 * cos_phi + cos_theta * self.stretch_2 * sin_phi
        d = sin_theta * self.stretch_1 * sin_phi - cos_theta * self.stretch_2 * cos_phi
        return a, -b * self.reflect, c, -d * self.reflect

    def choice_tables(self) -> NDArray[np.uint8]:
        """uint8 [systems, 256]: which map a random byte chooses, in proportion to the maps' areas.

        An area's floor of 0.03 lets thin maps, which draw lines, be seen.
        """
        used = self.stretch_1 > 0
        areas = np.where(used, self.stretch_1 * self.stretch_2 + 0.03, 0.0)
        cumulated = areas.copy()
        for index in range(1, MAX_MAPS):
            cumulated[:, index] = cumulated[:, index - 1] + areas[:, index]
        thresholds = (cumulated / cumulated[:, -1:] * 256.0).astype(np.int64)
        chosen = np.arange(256)[np.newaxis, :, np.newaxis] >= thresholds[:, np.newaxis, : MAX_MAPS - 1]
        return (chosen[..., 0] + chosen[..., 1].astype(np.uint8) + chosen[..., 2]).astype(np.uint8)

    def select(self, rows: NDArray[np.int64]) -> Systems:
        """The systems at these rows, in this order."""
        return Systems(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def _candidates(seed: int, first: int, count: int) -> Systems:
    """Candidates first to first + count - 1 of a seed, in frames of their own."""
    keys = derive_keys(_CLASS_STREAM, seed, np.arange(first, first + count))
    draws = random_uniform(keys, 1 + 7 * MAX_MAPS)
    map_count = 2 + (draws[:, :1] * 3.0).astype(np.int64)
    used = np.arange(MAX_MAPS)[np.newaxis] < map_count
    blocks = draws[:, 1:].reshape(count, 7, MAX_MAPS)
    low, high = np.minimum(blocks[:, 0], blocks[:, 1]), np.maximum(blocks[:, 0], blocks[:, 1])
    stretch_1, stretch_2 = np.where(used, high, 0.0), np.where(used, low, 0.0)
    weighted = stretch_1[:, 0] + 2.0 * stretch_2[:, 0]
    for index in range(1, MAX_MAPS):
        weighted = weighted + (stretch_1[:, index] + 2.0 * stretch_2[:, index])
    # The sum's position within its range reuses the map count's draw: its low digits are independent enough.
    within = draws[:, 0] * 3.0 - (map_count[:, 0] - 2)
    factor = ((0.5 * (5.0 + map_count[:, 0]) + 0.5 * within) / weighted)[:, np.newaxis]
    return Systems(
        theta=blocks[:, 2] * 360.0 - 180.0,
        phi=blocks[:, 3] * 360.0 - 180.0,
        stretch_1=stretch_1 * factor,
        stretch_2=stretch_2 * factor,
        reflect=np.where(blocks[:, 4] < 0.5, -1.0, 1.0),
        shift_x=blocks[:, 5] * 2.0 - 1.0,
        shift_y=blocks[:, 6] * 2.0 - 1.0,
    )


def _attractor_points(systems: Systems, seed: int) -> tuple[Float64Array, Float64Array]:
    """Points of the attractors by the chaos game: x and y, each float64 [systems, points]."""
    count = len(systems.theta)
    a, b, c, d = systems.matrices()
    tables = systems.choice_tables().astype(np.int64)
    first_map = MAX_MAPS * np.arange(count)[:, np.newaxis]  # where each system's maps begin in a flat array
    words = random_words(derive_keys(_CLASS_STREAM + 1, seed, np.arange(_PARTICLES)), (_BURN_IN + _STEPS) // 8)
    x = np.zeros((count, _PARTICLES))
    y = np.zeros((count, _PARTICLES))
    xs, ys = [], []
    for step in range(_BURN_IN + _STEPS):
        random_bytes = (words[:, step // 8] >> np.uint64(8 * (step % 8))) & np.uint64(255)
        chosen = tables[:, random_bytes.astype(np.int64)] + first_map
        at = [entry.take(chosen) for entry in (a, b, c, d, systems.shift_x, systems.shift_y)]
        x, y = at[0] * x + at[1] * y + at[4], at[2] * x + at[3] * y + at[5]
        if step >= _BURN_IN:
            xs.append(x)
            ys.append(y)
    return np.concatenate(xs, 1), np.concatenate(ys, 1)


def _normalized(systems: Systems, x: Float64Array, y: Float64Array) -> tuple[Systems, Float64Array, Float64Array]:
    """The same systems in the frame where the attractor's middle is 0 and 98 % of it lies within radius 1.

    Middle and radius are order statistics: to select is exact, a mean would depend on the order of a sum.
    """
    low, high = x.shape[1] // 100, x.shape[1] - 1 - x.shape[1] // 100
    ordered_x, ordered_y = np.partition(x, (low, high), axis=1), np.partition(y, (low, high), axis=1)
    middle_x = 0.5 * (ordered_x[:, low] + ordered_x[:, high])[:, np.newaxis]
    middle_y = 0.5 * (ordered_y[:, low] + ordered_y[:, high])[:, np.newaxis]
    x, y = x - middle_x, y - middle_y
    squares = np.partition(x * x + y * y, high - low, axis=1)[:, high - low, np.newaxis]
    radius = np.maximum(np.sqrt(squares), 1e-9)
    a, b, c, d = systems.matrices()
    moved = Systems(
        **{name: getattr(systems, name) for name in ("theta", "phi", "stretch_1", "stretch_2", "reflect")},
        shift_x=(systems.shift_x + (a * middle_x + b * middle_y) - middle_x) / radius,
        shift_y=(systems.shift_y + (c * middle_x + d * middle_y) - middle_y) / radius,
    )
    return moved, x / radius, y / radius


def _occupancy(x: Float64Array, y: Float64Array, side: int) -> NDArray[np.bool_]:
    """bool [systems, side, side]: which cells over [-1, 1] hold more than a tenth of a uniform share."""
    cells = []
    for values in (x, y):
        scaled = (np.minimum(np.maximum(values, -1.0), 1.0) + 1.0) * (0.5 * side)
        cells.append(np.minimum(scaled.astype(np.int64), side - 1))
    flat = cells[1] * side + cells[0]
    counts = np.stack([np.bincount(row, minlength=side * side) for row in flat])
    return (counts * (10 * side * side) > x.shape[1]).reshape(-1, side, side)


def _packed(shapes: NDArray[np.bool_]) -> UInt64Array:
    """Occupancies bool [..., _GRID, _GRID] as bits: uint64 [..., _GRID * _GRID / 64]."""
    return np.packbits(shapes.reshape(*shapes.shape[:-2], _GRID * _GRID), axis=-1).view(np.uint64)


def _dissimilarity(shape: NDArray[np.bool_], others: UInt64Array) -> Float64Array:
    """1 - intersection / union with each other packed shape, the least over quarter turns and mirror images."""
    least = np.ones(len(others))
    for quarter_turns in range(4):
        for mirrored in (False, True):
            turned_shape = np.rot90(shape, quarter_turns)
            turned = _packed(turned_shape[:, ::-1] if mirrored else turned_shape)
            common = np.bitwise_count(others & turned).sum(axis=1, dtype=np.int64)
            united = np.bitwise_count(others | turned).sum(axis=1, dtype=np.int64)
            least = np.minimum(least, 1.0 - common / united)
    return least


@lru_cache(maxsize=8)
def class_systems(seed: int, num_classes: int) -> Systems:
    """num_classes systems (num_classes >= 1) in the frame of radius 1; class k is the same for every num_classes.

    Candidates are taken in turn. One is rejected when a map hardly contracts, when its attractor covers too
    little or too much of its square or is a streak, or when its coarse occupancy is too close to that of
    an earlier class in any quarter turn or mirror image. The distance asked for falls slowly with every
    rejection and rises again with every new class, so that any number of classes is found.
    """
    accepted: list[Systems] = []
    shapes = np.zeros((0, _GRID * _GRID // 64), dtype=np.uint64)
    required = 0.6
    first, block = 0, 64
    while True:
        candidates = _candidates(seed, first, block)
        first += block
        rows = np.flatnonzero((candidates.stretch_1 <= LARGEST_SINGULAR_VALUE).all(axis=1))
        if not len(rows):
            continue
        candidates = candidates.select(rows)
        x, y = _attractor_points(candidates, seed)
        candidates, x, y = _normalized(candidates, x, y)
        coarse, fine = _occupancy(x, y, _GRID), _occupancy(x, y, 2 * _GRID)
        covered = np.count_nonzero(fine, axis=(1, 2)) / (2 * _GRID) ** 2
        columns = np.count_nonzero(coarse.any(axis=1), axis=1)
        lines = np.count_nonzero(coarse.any(axis=2), axis=1)
        for row in range(len(rows)):
            if not 0.14 <= covered[row] <= 0.45 or min(columns[row], lines[row]) < _GRID * 0.6:
                continue
            if len(shapes) and _dissimilarity(coarse[row], shapes).min() < required:
                required = max(0.2, required * 0.99)
                continue
            required = min(0.6, required * 1.02)
            accepted.append(candidates.select(np.array([row])))
            shapes = np.concatenate([shapes, _packed(coarse[row : row + 1])])
            if len(accepted) == num_classes:
                fields = Systems.__dataclass_fields__
                return Systems(*(np.concatenate([getattr(one, name) for one in accepted]) for name in fields))
