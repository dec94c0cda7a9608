"""One batch of fractal images: iterated function systems drawn by the chaos game over coloured noise.

Only operations whose last bit IEEE 754 fixes, and whole numbers, decide a pixel (see rotation).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alexnet_lab.core.random_numbers import Float64Array, UInt64Array, derive_keys, random_uniform, random_words
from alexnet_lab.fractals.rotation import rotation
from alexnet_lab.fractals.settings import FractalSettings
from alexnet_lab.fractals.systems import LARGEST_SINGULAR_VALUE, MAX_MAPS, Systems, class_systems

Float32Array = NDArray[np.float32]

CLUTTER_SEED = 1 << 63  # beyond every collection's seed: clutter never shows a shape that is a class
CLUTTER_SYSTEMS = 64
_COLOUR_STREAM = 0x636F6C6F7572
_BURN_IN = 16  # steps before a particle is counted: from anywhere to the attractor within a fraction of a pixel


def render_batch(
    settings: FractalSettings, systems: Systems, labels: NDArray[np.int64], keys: UInt64Array
) -> NDArray[np.uint8]:
    """One image per system, class and key: uint8 [n, H, W, 3]."""
    streams = [derive_keys(keys, purpose) for purpose in range(6 + settings.clutter)]
    views = _draw_views(settings, streams[1])
    maps = _place_in_image(settings, _jittered(systems, settings.parameter_jitter, streams[0]), views)
    hits = _count_hits(settings, maps, systems.choice_tables(), streams[2], settings.hits_per_pixel)
    canvas, colours = _draw_colours(settings, labels, streams[3], streams[4])
    for stream in streams[6:]:
        _draw_clutter(settings, canvas, stream)
    _draw_shape(settings, canvas, hits, colours)
    if settings.occluded_fraction > 0:
        _occlude(settings, canvas, streams[5])
    images = np.empty((len(keys), settings.image_size, settings.image_size, 3), dtype=np.uint8)
    for channel in range(3):
        scaled = canvas[:, channel] * np.float32(255.0)
        scaled += np.float32(0.5)
        images[..., channel] = np.minimum(np.maximum(scaled, np.float32(0.0)), np.float32(255.0)).astype(np.uint8)
    return images


def _draw_shape(settings: FractalSettings, canvas: Float32Array, hits: Float32Array, colours: Float32Array) -> None:
    """Draw a shape into canvas, float32 [n, 3, H, W]; hits [n, MAX_MAPS, H, W], colours [n, MAX_MAPS, 3].

    Each pixel becomes the mean of its hits' colours and of what was there, which weighs as much as `veil` hits:
    the tone curve hits / (hits + veil).
    """
    veil = np.float32(0.5 * settings.hits_per_pixel)
    total = hits[:, 0].copy()
    for index in range(1, MAX_MAPS):
        total += hits[:, index]
    weight = 1.0 / (total + veil)
    for channel in range(3):
        mixed = canvas[:, channel] * veil
        for index in range(MAX_MAPS):
            mixed += hits[:, index] * colours[:, index, channel, np.newaxis, np.newaxis]
        mixed *= weight
        canvas[:, channel] = mixed


def _draw_clutter(settings: FractalSettings, canvas: Float32Array, keys: UInt64Array) -> None:
    """Draw one smaller shape of no class into each image, turned as it likes and anywhere."""
    placing, chaos, choosing = (derive_keys(keys, purpose) for purpose in range(3))
    draws = random_uniform(choosing, 1 + 3 * MAX_MAPS)
    systems = class_systems(settings.seed ^ CLUTTER_SEED, CLUTTER_SYSTEMS).select(
        (draws[:, 0] * CLUTTER_SYSTEMS).astype(np.int64)
    )
    views = random_uniform(placing, 5)
    scale = 0.3 + 0.3 * views[:, 2]
    turn = (views[:, 0] * 2.0 - 1.0) * 180.0
    mirror = np.where(views[:, 1] < 0.5, -1.0, 1.0)
    maps = _place_in_image(settings, systems, (turn, mirror, scale, views[:, 3], views[:, 4]))
    hits = _count_hits(settings, maps, systems.choice_tables(), chaos, settings.hits_per_pixel * 0.2)
    _draw_shape(settings, canvas, hits, draws[:, 1:].reshape(-1, MAX_MAPS, 3).astype(np.float32))


def _occlude(settings: FractalSettings, canvas: Float32Array, keys: UInt64Array) -> None:
    """Lay a turned rectangle of noise, in a colour of its own, over the middle of `occluded_fraction` of the images."""
    size, texture_keys = settings.image_size, derive_keys(keys, 1)
    draws = random_uniform(keys, 9)[:, :, np.newaxis, np.newaxis]
    cosine, sine = rotation((draws[:, 0] * 2.0 - 1.0) * 180.0)
    stretch = 1.0 + 2.0 * draws[:, 1]
    share = np.where(draws[:, 8] < settings.occluded_fraction, settings.occlusion * (0.4 + 0.6 * draws[:, 2]), 0.0)
    half = 0.5 * np.sqrt(share)  # of the square of the same area, image's side 1
    long, short = half * np.sqrt(stretch), half / np.sqrt(stretch)
    centres = (np.arange(size) + 0.5) / size
    x = centres[np.newaxis, np.newaxis] - (0.25 + 0.5 * draws[:, 3])
    y = centres[np.newaxis, :, np.newaxis] - (0.25 + 0.5 * draws[:, 4])
    covered = (np.abs(cosine * x + sine * y) < long) & (np.abs(cosine * y - sine * x) < short)
    texture = _coloured_noise(settings, texture_keys) + draws[:, 5:8].astype(np.float32)
    np.copyto(canvas, texture, where=covered[:, np.newaxis])


def _jittered(systems: Systems, jitter: float, keys: UInt64Array) -> Systems:
    """Each image's own variation of its class's maps."""
    draws = (random_uniform(keys, 6 * MAX_MAPS) * 2.0 - 1.0).reshape(-1, 6, MAX_MAPS) * jitter

    def turned(angles: Float64Array, change: Float64Array) -> Float64Array:
        angles = angles + change * 60.0
        return np.where(angles > 180.0, angles - 360.0, np.where(angles < -180.0, angles + 360.0, angles))

    return Systems(
        theta=turned(systems.theta, draws[:, 0]),
        phi=turned(systems.phi, draws[:, 1]),
        stretch_1=np.minimum(systems.stretch_1 * (1.0 + draws[:, 2]), LARGEST_SINGULAR_VALUE),
        stretch_2=np.minimum(systems.stretch_2 * (1.0 + draws[:, 3]), LARGEST_SINGULAR_VALUE),
        reflect=systems.reflect,
        shift_x=systems.shift_x + draws[:, 4],
        shift_y=systems.shift_y + draws[:, 5],
    )


def _draw_views(settings: FractalSettings, keys: UInt64Array) -> tuple[Float64Array, ...]:
    """Each image's turn in degrees, mirror (1 or -1), diameter, and middle in x and y over the image's side."""
    draws = random_uniform(keys, 5)
    span = settings.scale_largest - settings.scale_smallest
    return (
        (draws[:, 0] * 2.0 - 1.0) * settings.rotation_degrees,
        np.where(draws[:, 1] < settings.mirrored_fraction, -1.0, 1.0),
        settings.scale_smallest + span * draws[:, 2],
        0.5 + (draws[:, 3] * 2.0 - 1.0) * settings.translation,
        0.5 + (draws[:, 4] * 2.0 - 1.0) * settings.translation,
    )


def _place_in_image(settings: FractalSettings, systems: Systems, views: tuple[Float64Array, ...]) -> list[Float32Array]:
    """The maps in pixel coordinates, so that points need not be moved one by one: six arrays [n, MAX_MAPS].

    views: as _draw_views gives them, each [n]. The view x -> S R M x + v (scale, rotation, mirror, shift) turns the
    map A, b into A' = R M A (R M)^-1 and b' = S R M b + v - A' v.
    """
    size = float(settings.image_size)
    turn, mirror, scale, view_x, view_y = (view[:, np.newaxis] for view in views)
    cosine, sine = rotation(turn)
    scale, view_x, view_y = scale * (0.5 * size), view_x * size, view_y * size
    a, b, c, d = systems.matrices()
    b, c, shift_x = b * mirror, c * mirror, systems.shift_x * mirror
    # R A R^T, first the rows and then the columns.
    a, b, c, d = cosine * a - sine * c, cosine * b - sine * d, sine * a + cosine * c, sine * b + cosine * d
    a, b, c, d = a * cosine - b * sine, a * sine + b * cosine, c * cosine - d * sine, c * sine + d * cosine
    turned_x = scale * (cosine * shift_x - sine * systems.shift_y)
    turned_y = scale * (sine * shift_x + cosine * systems.shift_y)
    shift_x = turned_x + view_x - (a * view_x + b * view_y)
    shift_y = turned_y + view_y - (c * view_x + d * view_y)
    return [entry.astype(np.float32) for entry in (a, b, c, d, shift_x, shift_y)]


def _count_hits(
    settings: FractalSettings,
    maps: list[Float32Array],
    tables: NDArray[np.uint8],
    keys: UInt64Array,
    hits_per_pixel: float,
) -> Float32Array:
    """The chaos game: how often each pixel was reached by each map, float32 [n, MAX_MAPS, H, W].

    Many particles of every image jump in step. Points are counted as integers with a border one pixel
    wide around the image, which takes those that fall outside and is cut off.
    """
    size, images = settings.image_size, len(keys)
    particles = 4 * size
    steps = max(1, round(hits_per_pixel * size * size / particles))
    words = random_words(derive_keys(keys[:, np.newaxis], np.arange(particles)), -(-(_BURN_IN + steps) // 8))
    table_offset = (np.arange(images, dtype=np.int64) * 256)[:, np.newaxis]
    map_offset = (np.arange(images, dtype=np.int64) * MAX_MAPS)[:, np.newaxis]
    flat_tables = tables.reshape(-1).astype(np.int64)
    flat_maps = [entry.reshape(-1) for entry in maps]
    side = size + 2
    least, most = np.float32(0.0), np.float32(size + 1)
    x = np.full((images, particles), 0.5 * size, dtype=np.float32)
    y = x.copy()
    places = np.empty((images, steps, particles), dtype=np.int64)
    for step in range(_BURN_IN + steps):
        chosen = ((words[:, :, step // 8] >> np.uint64(8 * (step % 8))) & np.uint64(255)).astype(np.int64)
        chosen = flat_tables.take(chosen + table_offset)
        at = [entry.take(chosen + map_offset) for entry in flat_maps]
        x, y = at[0] * x + at[1] * y + at[4], at[2] * x + at[3] * y + at[5]
        if step < _BURN_IN:
            continue
        column = np.minimum(np.maximum(x + np.float32(1.0), least), most).astype(np.int64)
        line = np.minimum(np.maximum(y + np.float32(1.0), least), most).astype(np.int64)
        places[:, step - _BURN_IN] = (chosen * side + line) * side + column
    hits = np.empty((images, MAX_MAPS, size, size), dtype=np.float32)
    for image in range(images):
        counts = np.bincount(places[image].reshape(-1), minlength=MAX_MAPS * side * side)
        hits[image] = counts.reshape(MAX_MAPS, side, side)[:, 1:-1, 1:-1]
    return hits


def _draw_colours(
    settings: FractalSettings, labels: NDArray[np.int64], background_keys: UInt64Array, colour_keys: UInt64Array
) -> tuple[Float32Array, Float32Array]:
    """The background, float32 [n, 3, H, W], and a colour for each map, float32 [n, MAX_MAPS, 3]; 0 is black, 1 white.

    A shape's hue is its class's by the part `class_colour`, the rest is drawn for each image. The shape is brighter or
    darker than the background's mean by at least `foreground_contrast`.
    """
    draws = random_uniform(colour_keys, 8 + 3 * MAX_MAPS)
    contrast = settings.foreground_contrast + 0.15 * draws[:, 0]
    room = 1.0 - contrast
    darker = draws[:, 1] < settings.darker_fraction
    low = 0.1 * contrast + draws[:, 2] * (room - 0.1 * contrast)
    brightness = np.where(darker, low + contrast, low)
    shape_brightness = np.where(darker, low, low + contrast)
    noise = _coloured_noise(settings, background_keys)
    background = np.empty_like(noise)
    red_green_blue = ((1.0, 0.0), (-0.5, -0.5), (0.0, 1.0))  # chroma directions, brightness unchanged in sum
    tint = (draws[:, 3:5] - 0.5) * 0.5
    colours = np.empty((len(draws), MAX_MAPS, 3))
    own_hue = random_uniform(derive_keys(_COLOUR_STREAM, settings.seed, labels), 2)
    hue = ((1.0 - settings.class_colour) * (draws[:, 5:7] - 0.5) + settings.class_colour * (own_hue - 0.5)) * 0.9
    per_map = (draws[:, 8:].reshape(-1, 3, MAX_MAPS) - 0.5) * 0.35
    for channel, (first, second) in enumerate(red_green_blue):
        mean = brightness + first * tint[:, 0] + second * tint[:, 1]
        background[:, channel] = noise[:, 0] + np.float32(0.4 * first) * noise[:, 1]
        background[:, channel] += np.float32(0.4 * second) * noise[:, 2]
        background[:, channel] += mean.astype(np.float32)[:, np.newaxis, np.newaxis]
        of_image = shape_brightness + first * hue[:, 0] + second * hue[:, 1]
        colours[..., channel] = of_image[:, np.newaxis] + 0.6 * per_map[:, 0]
        colours[..., channel] += first * per_map[:, 1] + second * per_map[:, 2]
    return background, np.minimum(np.maximum(colours, 0.0), 1.0).astype(np.float32)


def _coloured_noise(settings: FractalSettings, keys: UInt64Array) -> Float32Array:
    """Noise whose octaves shrink by `background_roughness`, float32 [n, 3, H, W], between about +- background_contrast.

    A lattice of random values is doubled by midpoints and finer random values are added, again and again,
    until its cells are two pixels wide; then it is read bilinearly at the centres of the pixels.
    """
    size, cells, height = settings.image_size, 2, settings.background_contrast
    lattice = np.zeros((len(keys), 3, cells + 1, cells + 1), dtype=np.float32)
    while True:
        values = random_words(derive_keys(keys, cells), 3 * (cells + 1) ** 2) >> np.uint64(40)
        octave = values.astype(np.float32) * np.float32(2.0**-23) - np.float32(1.0)
        lattice += octave.reshape(lattice.shape) * np.float32(height)
        if cells * 2 >= size:
            break
        cells, height = cells * 2, height * settings.background_roughness
        lattice = _doubled(_doubled(lattice).swapaxes(2, 3)).swapaxes(2, 3)
    centres = (np.arange(size) + 0.5) * (cells / size)
    before = centres.astype(np.int64)
    part = (centres - before).astype(np.float32)
    lines = lattice[:, :, before] * (np.float32(1.0) - part)[:, np.newaxis]
    lines += lattice[:, :, before + 1] * part[:, np.newaxis]
    return lines[..., before] * (np.float32(1.0) - part) + lines[..., before + 1] * part


def _doubled(lattice: Float32Array) -> Float32Array:
    """Nodes with their midpoints along the third axis: [n, 3, g + 1, w] -> [n, 3, 2 g + 1, w]."""
    count, channels, nodes, width = lattice.shape
    doubled = np.empty((count, channels, 2 * nodes - 1, width), dtype=np.float32)
    doubled[:, :, ::2] = lattice
    doubled[:, :, 1::2] = (lattice[:, :, :-1] + lattice[:, :, 1:]) * np.float32(0.5)
    return doubled
