"""Images of what a network has learned, drawn with Pillow and packed as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

PAPER, INK, MUTED = (255, 255, 255), (30, 30, 30), (110, 110, 110)
RIGHT, WRONG, OTHER = (46, 125, 50), (198, 40, 40), (144, 164, 190)
TEXT = 13  # pixels
MARGIN = 12


@dataclass(frozen=True)
class Drawing:
    """A PNG with its name on the tracker and a line about it; one of photographs may be kept as a JPEG."""

    name: str
    caption: str
    png: bytes
    of_photographs: bool = False


@dataclass(frozen=True)
class Guess:
    """One image, uint8 (H, H, 3), its true class, and the most probable classes with their probabilities."""

    image: NDArray[np.uint8]
    truth: str
    names: list[str]
    probabilities: list[float]


@dataclass(frozen=True)
class Predictions:
    """What a network says of validation images: counts (K, K) by true and predicted class, K class names, and N
    images, of which the first few are for the panels and the rest for the mistakes.

    images (N, H, H, 3), uint8; labels (N,); most probable classes and their probabilities (N, 5), or fewer; conv1's
    kernels (C, 3, S, S) and in how many towers they are, C = 0 where there is no conv1.
    """

    after: str  # when, in words
    names: list[str]
    counts: NDArray[np.int64]
    panels: int
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    kernels: NDArray[np.float32]
    towers: int


def draw(shown: Predictions) -> list[Drawing]:
    """The images of predictions, and conv1's kernels where there are any."""
    guesses = [
        Guess(image, shown.names[label], [shown.names[each] for each in classes], probabilities.tolist())
        for image, label, classes, probabilities in zip(
            shown.images, shown.labels, shown.classes, shown.probabilities, strict=True
        )
    ]
    right = f"{np.trace(shown.counts)} of {shown.counts.sum()} right"
    drawn = [
        confusion_matrix(shown.counts, shown.names, f"confusion matrix {shown.after}: {right}"),
        top5_panels(guesses[: shown.panels], f"five most probable classes {shown.after}"),
        misclassified(guesses[shown.panels :], f"surest mistakes {shown.after}"),
    ]
    if len(shown.kernels):
        drawn.append(kernels(shown.kernels, shown.towers, f"conv1 kernels {shown.after}, one block per tower"))
    return drawn


def kernels(weight: NDArray[np.float32], towers: int, caption: str) -> Drawing:
    """conv1's kernels, (K, 3, S, S), as in figure 3 of the paper: one block per tower, each scaled by itself."""
    number, side = len(weight), weight.shape[2]
    zoom = max(2, 44 // side)
    cell, gap, between = side * zoom, 3, 14
    share = number // towers
    columns = min(16, share)
    rows = -(-share // columns)
    block = rows * (cell + gap)
    sheet = np.full((towers * block + (towers - 1) * between + gap, columns * (cell + gap) + gap, 3), 255, np.uint8)
    largest = np.abs(weight).reshape(number, -1).max(1).clip(1e-12)[:, None, None, None]
    tiles = np.round(127.5 + 127.5 * weight / largest).astype(np.uint8).transpose(0, 2, 3, 1)
    for index, tile in enumerate(tiles):
        tower, position = divmod(index, share) if share * towers == number else (0, index)
        top = tower * (block + between) + gap + position // columns * (cell + gap)
        left = gap + position % columns * (cell + gap)
        sheet[top : top + cell, left : left + cell] = tile.repeat(zoom, 0).repeat(zoom, 1)
    return _image("conv1_kernels", caption, Image.fromarray(sheet))


def confusion_matrix(counts: NDArray[np.int64], names: Sequence[str], caption: str) -> Drawing:
    """Counts by true class (rows) and predicted class (columns), shaded by the share of each row."""
    number = len(counts)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    cell = max(1, min(36, 800 // number))
    labelled = cell >= TEXT + 3
    words = [_fitted(name, 120) for name in names] if labelled else []
    edge = MARGIN + (max(int(_length(word)) for word in words) + 6 if labelled else 0)
    head = 30
    # White to blue; the square root shows single mistakes beside a strong diagonal.
    depth = np.sqrt(share)[..., None]
    shades = np.round(255 - depth * (255 - np.array([13, 71, 161]))).astype(np.uint8)
    side = number * cell
    canvas = Image.new("RGB", (max(edge + side, 330) + MARGIN, head + side + MARGIN + 20), PAPER)
    canvas.paste(Image.fromarray(shades.repeat(cell, 0).repeat(cell, 1)), (edge, head))
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, 8), "rows: true class; columns: predicted, same order", MUTED, _font())
    draw.rectangle((edge - 1, head - 1, edge + side, head + side), outline=MUTED)
    for row in range(number if labelled else 0):
        middle = head + row * cell + cell / 2
        draw.text((edge - 6, middle), words[row], INK, _font(), anchor="rm")
        for column in np.flatnonzero(counts[row]) if cell >= 24 else []:
            color = PAPER if share[row, column] > 0.35 else INK
            center = (edge + column * cell + cell / 2, middle)
            draw.text(center, str(counts[row, column]), color, _font(11), anchor="mm")
    draw.text(
        (MARGIN, head + side + 6), f"{number} classes, {counts.sum()} images, {np.trace(counts)} right", INK, _font()
    )
    return _image("confusion_matrix", caption, canvas)


def top5_panels(guesses: Sequence[Guess], caption: str) -> Drawing:
    """Images with their five most probable classes, the true one in green, as figure 4 (left) of the paper."""
    columns, side, line = min(4, len(guesses)), 160, 19
    most = max(len(guess.names) for guess in guesses)
    width, height = side + 2 * MARGIN, side + 2 * MARGIN + 24 + most * line
    canvas = Image.new("RGB", (columns * width, -(-len(guesses) // columns) * height), PAPER)
    draw = ImageDraw.Draw(canvas)
    for index, guess in enumerate(guesses):
        left, top = index % columns * width + MARGIN, index // columns * height + MARGIN
        canvas.paste(_resized(guess.image, side), (left, top))
        draw.text((left + side / 2, top + side + 13), _fitted(guess.truth, side), INK, _font(), anchor="mm")
        for rank, (name, probability) in enumerate(zip(guess.names, guess.probabilities, strict=True)):
            y = top + side + 26 + rank * line
            color = RIGHT if name == guess.truth else WRONG if rank == 0 else OTHER
            draw.rectangle((left, y, left + max(1, round(probability * side)), y + line - 4), fill=_pale(color))
            draw.text((left + 4, y + (line - 4) / 2), _fitted(name, side - 50), INK, _font(), anchor="lm")
            percent = f"{100 * probability:.0f} %"
            draw.text((left + side, y + (line - 4) / 2), percent, MUTED, _font(), anchor="rm")
    return _image("top5", caption, canvas, of_photographs=True)


def misclassified(guesses: Sequence[Guess], caption: str) -> Drawing:
    """A gallery of mistakes: what it is, and below in red what the network took it for."""
    columns, side = min(6, max(1, len(guesses))), 120
    width, height = side + MARGIN, side + 40 + MARGIN
    rows = max(1, -(-len(guesses) // columns))
    canvas = Image.new("RGB", (max(columns * width + MARGIN, 260), rows * height + MARGIN), PAPER)
    draw = ImageDraw.Draw(canvas)
    if not guesses:
        draw.text((MARGIN, MARGIN), "no image is misclassified", INK, _font())
    for index, guess in enumerate(guesses):
        left, top = MARGIN + index % columns * width, MARGIN + index // columns * height
        canvas.paste(_resized(guess.image, side), (left, top))
        draw.text((left, top + side + 3), _fitted(guess.truth, side), INK, _font())
        percent = f" {100 * guess.probabilities[0]:.0f} %"
        said = _fitted(guess.names[0], side - _length(percent)) + percent
        draw.text((left, top + side + 20), said, WRONG, _font())
    return _image("misclassified", caption, canvas, of_photographs=True)


def _image(name: str, caption: str, canvas: Image.Image, of_photographs: bool = False) -> Drawing:
    packed = io.BytesIO()
    canvas.save(packed, "PNG", optimize=not of_photographs)
    return Drawing(name, caption, packed.getvalue(), of_photographs)


def _font(size: int = TEXT) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _length(text: str) -> float:
    return _font().getlength(text)


def _fitted(text: str, width: float) -> str:
    """As much of the text as is no wider than this."""
    if _length(text) <= width:
        return text
    while text and _length(text + "…") > width:
        text = text[:-1]
    return text + "…"


def _resized(image: NDArray[np.uint8], side: int) -> Image.Image:
    return Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)


def _pale(color: tuple[int, int, int]) -> tuple[int, int, int]:
    red, green, blue = ((value + 2 * 255) // 3 for value in color)
    return red, green, blue
