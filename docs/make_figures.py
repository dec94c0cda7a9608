"""What docs/ shows. Run by `make figures`.

docs/fractals.png: the README's image of the embedded data. docs/results/NAME/index.html: the page over each folder of
claims.json and tables that is kept there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from alexnet_lab.core.paths import RUNS
from alexnet_lab.fractals.collection import render_split
from alexnet_lab.fractals.settings import FractalSettings
from alexnet_lab.reports.page import write_page

DOCS = Path(__file__).parent
CLASSES, EXAMPLES, ZOOM, GAP = 10, 10, 1, 3


def main() -> None:
    draw_fractals()
    for claims in sorted(DOCS.glob("results/*/claims.json")):
        print(write_page(RUNS / claims.parent.name, claims.parent))


def draw_fractals() -> None:
    """One row per class, the first training images of each, on a light ground."""
    settings = FractalSettings()
    images, labels = render_split(settings, "train", 0, settings.num_classes * EXAMPLES)
    side = settings.image_size * ZOOM
    sheet = np.full((CLASSES * (side + GAP) + GAP, EXAMPLES * (side + GAP) + GAP, 3), 245, dtype=np.uint8)
    for row in range(CLASSES):
        for column, image in enumerate(images[labels == row]):
            top, left = GAP + row * (side + GAP), GAP + column * (side + GAP)
            sheet[top : top + side, left : left + side] = image.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
    Image.fromarray(sheet).save(DOCS / "fractals.png", optimize=True)
    print(DOCS / "fractals.png")


if __name__ == "__main__":
    main()
