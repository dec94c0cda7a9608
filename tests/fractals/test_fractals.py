"""The embedded collection: the same bytes everywhere, classes that differ, options that are checked."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from math import cos, radians, sin
from pathlib import Path

import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.random_numbers import derive_keys, random_uniform
from alexnet_lab.data.fractals import FractalSource
from alexnet_lab.data.sources import make_source
from alexnet_lab.fractals.collection import render_split
from alexnet_lab.fractals.rotation import rotation
from alexnet_lab.fractals.settings import FractalSettings
from alexnet_lab.fractals.systems import class_systems
from config.test_config import composed

SOURCE = Path(__file__).parents[2] / "src"
SMALL = FractalSettings(image_size=32, num_classes=5, train_images_per_class=30, val_images_per_class=4)

# Of the first 40 training and 10 validation images of SMALL. Where no default was changed, a change means that
# everybody's images change: raise RENDER_VERSION with it.
SMALL_SHA256 = "ecacfc2c8fc1d708f02fe80aad49ec1e3d4018159cf66e61c88f0f48c39be383"


def test_the_bytes_are_the_same_on_every_machine() -> None:
    train, train_labels = render_split(SMALL, "train", 0, 40)
    val, val_labels = render_split(SMALL, "val", 0, 10)
    digest = hashlib.sha256()
    for array in (train, train_labels.astype("<i8"), val, val_labels.astype("<i8")):
        digest.update(array.tobytes())
    assert digest.hexdigest() == SMALL_SHA256


def test_the_bytes_are_the_same_without_vector_instructions() -> None:
    """numpy chooses its loops by the processor: here it may use only those that every processor has."""
    program = (
        "import hashlib; from alexnet_lab.fractals.collection import *;"
        "settings = FractalSettings(image_size=32, num_classes=5);"
        "print(hashlib.sha256(render_split(settings, 'train', 0, 40)[0].tobytes()).hexdigest())"
    )
    environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(__cpu_dispatch__), "PYTHONPATH": str(SOURCE)}
    plain = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    images, _ = render_split(SMALL, "train", 0, 40)
    assert plain.stdout.strip() == hashlib.sha256(images.tobytes()).hexdigest()


def test_an_image_does_not_depend_on_its_neighbours() -> None:
    together, labels = render_split(SMALL, "train", 0, 40)
    for first, last in ((0, 1), (7, 20), (33, 40)):
        alone, alone_labels = render_split(SMALL, "train", first, last)
        assert np.array_equal(alone, together[first:last])
        assert np.array_equal(alone_labels, labels[first:last])


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_changes_nothing(threads: int) -> None:
    settings = FractalSettings(image_size=96, num_classes=3, train_images_per_class=50)
    expected, expected_labels = render_split(settings, "train", 0, 150)
    next_start = 0
    for _, chunk in FractalSource(settings, threads).chunks({"train": 0}, "pixels"):
        start, next_start = next_start, next_start + chunk.taken
        assert chunk.content == expected[start:next_start].tobytes()
        assert np.array_equal(chunk.labels, expected_labels[start:next_start])
    assert next_start == 150


def test_seeds_splits_and_indices_give_different_images() -> None:
    train, _ = render_split(SMALL, "train", 0, 20)
    val, _ = render_split(SMALL, "val", 0, 20)
    other_seed, _ = render_split(FractalSettings(image_size=32, num_classes=5, seed=1), "train", 0, 20)
    images = np.concatenate([train, val, other_seed]).reshape(60, -1)
    assert len(np.unique(images, axis=0)) == 60


def test_a_class_is_the_same_whatever_the_number_of_classes() -> None:
    few, many = class_systems(0, 5), class_systems(0, 60)
    for name in few.__dataclass_fields__:
        assert np.array_equal(getattr(few, name), getattr(many, name)[:5])


def test_the_default_data_are_the_default_collection() -> None:
    """What `data=fractals` asks for is what FractalSettings() describes, and so what benchmarks and images show."""
    source = make_source(composed().data)
    assert source.settings() == FractalSource(FractalSettings()).settings()


def test_a_rectangle_lies_over_a_part_of_the_images() -> None:
    free, occluded = (FractalSettings(num_classes=2, occluded_fraction=part) for part in (0.0, 0.3))
    images = [render_split(settings, "train", 0, 200)[0].astype(int) for settings in (free, occluded)]
    covered = (images[0] != images[1]).any(axis=3).mean(axis=(1, 2))  # share of each image
    assert 0.2 < (covered > 0).mean() < 0.4
    assert 0.2 < covered[covered > 0].mean() < 0.8
    with pytest.raises(UserError, match="occlusion"):
        FractalSettings(occlusion=-1.0)


def test_clutter_lies_behind_the_shape_and_is_no_class() -> None:
    plain, cluttered = (
        render_split(FractalSettings(num_classes=2, clutter=shapes, occluded_fraction=0), "train", 0, 50)[0]
        for shapes in (0, 3)
    )
    changed = (plain != cluttered).any(axis=3).mean(axis=(1, 2))
    assert changed.min() > 0.02
    assert changed.max() < 0.8


def test_a_class_may_have_a_hue_of_its_own() -> None:
    """How far the colour of the middle lies from the border's tells the class where the class decides the hue."""
    errors = {}
    for part in (0.0, 1.0):
        settings = FractalSettings(32, 10, 100, class_colour=part, darker_fraction=0, occluded_fraction=0)
        images, labels = render_split(settings, "train", 0, 800)
        hue = images - images.mean(axis=3, keepdims=True)
        border = np.concatenate([hue[:, :2].mean(axis=(1, 2)), hue[:, -2:].mean(axis=(1, 2))]).reshape(2, 800, 3)
        errors[part] = nearest_mean_error(hue[:, 8:24, 8:24].mean(axis=(1, 2)) - border.mean(axis=0), labels)
    assert errors[0.0] > 0.85
    assert errors[1.0] < errors[0.0] - 0.1


def test_every_stretch_of_a_split_is_balanced() -> None:
    _, labels = render_split(SMALL, "train", 0, 50)
    assert np.bincount(labels).tolist() == [10] * 5


def test_shape_tells_the_class_and_colour_does_not() -> None:
    """Without variation of place and angle, the nearest class mean in brightness is right, in mean colour is not."""
    still = FractalSettings(
        class_colour=0,
        occluded_fraction=0,
        image_size=32,
        num_classes=20,
        rotation_degrees=0,
        mirrored_fraction=0,
        darker_fraction=0,
        scale_smallest=0.9,
        scale_largest=0.9,
        translation=0,
    )
    images, labels = render_split(still, "train", 0, 400)
    shapes = images.astype(np.float64).mean(axis=3).reshape(400, -1)
    shapes -= shapes.mean(axis=1, keepdims=True)
    colours = images.astype(np.float64).mean(axis=(1, 2))
    assert nearest_mean_error(shapes, labels) < 0.1
    assert nearest_mean_error(colours, labels) > 0.8


def nearest_mean_error(features: np.ndarray, labels: np.ndarray) -> float:
    """Error of the nearest class mean: means of the first half, tested on the second."""
    half = len(labels) // 2
    means = np.stack([features[:half][labels[:half] == label].mean(axis=0) for label in range(labels.max() + 1)])
    distances = ((features[half:, None] - means) ** 2).sum(axis=2)
    return float((distances.argmin(axis=1) != labels[half:]).mean())


@pytest.mark.parametrize("size", [16, 27, 100])
def test_any_size_from_16_pixels_shows_the_same_image(size: int) -> None:
    """Quarters of the image have the colours that they have at 64 pixels."""

    def quarters(side: int) -> np.ndarray:
        settings = FractalSettings(image_size=side, num_classes=4)
        images = render_split(settings, "train", 0, 8)[0].astype(np.float64)
        half = side // 2
        return np.stack([images[:, i:, j:][:, :half, :half].mean(axis=(1, 2)) for i in (0, half) for j in (0, half)])

    assert np.abs(quarters(size) - quarters(64)).mean() < 12


def test_rotation_is_a_rotation() -> None:
    degrees = np.linspace(-180.0, 180.0, 1441)
    cosines, sines = rotation(degrees)
    assert np.abs(cosines - [cos(radians(angle)) for angle in degrees]).max() < 1e-14
    assert np.abs(sines - [sin(radians(angle)) for angle in degrees]).max() < 1e-14


def test_random_numbers_are_uniform_and_their_streams_independent() -> None:
    draws = random_uniform(derive_keys(7, np.arange(2000)), 50)
    assert draws.min() >= 0
    assert draws.max() < 1
    assert np.abs(np.bincount((draws.ravel() * 10).astype(int)) / draws.size - 0.1).max() < 0.005
    assert abs(np.corrcoef(draws[0::2].ravel(), draws[1::2].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize(
    "wrong",
    [
        {"image_size": 15},
        {"num_classes": 0},
        {"seed": -1},
        {"rotation_degrees": 181},
        {"scale_smallest": 0.9, "scale_largest": 0.5},
        {"background_roughness": -0.1},
    ],
)
def test_a_setting_out_of_range_is_one_line(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError) as error:
        FractalSettings(**wrong)  # type: ignore[arg-type]
    assert next(iter(wrong)) in str(error.value)
    assert "\n" not in str(error.value)
