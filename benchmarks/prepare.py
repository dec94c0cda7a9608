"""Time of preparing photographs, against only decoding them with torchvision.io; both on all usable cores.

    python benchmarks/prepare.py [--repeats 3]

Run by `make bench-prepare`. The images are made of scikit-learn's two photographs: parts of them, of the size that is
most frequent in ImageNet (500 x 375) and of cameras (1600 x 1200, 4000 x 3000), saved as JPEGs of quality 92; those of
500 x 375 also at 98, with which they have as many bytes as ImageNet's have on average (138 GB, 1.28 million).
`prepare` is all of it: starting the processes, reading, decoding, resizing to 256 pixels, statistics, checksums,
writing and syncing the store. `torchvision` reads and decodes to full size in threads, and drops the pixels.
The two take turns; figures are medians in images/s. The last line is JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.io import ImageReadMode, decode_image, read_file

from alexnet_lab.core.parallel import usable_cores
from alexnet_lab.data.image_source import ImageSource
from alexnet_lab.data.layouts.tree import train_val_tree
from alexnet_lab.data.prepare import prepare_store

ROOT = Path(__file__).resolve().parents[1]
KINDS = {  # width, height, quality, number
    "500x375": (500, 375, 92, 9600),
    "500x375, ImageNet's bytes": (500, 375, 98, 9600),
    "1600x1200": (1600, 1200, 92, 1920),
    "4000x3000": (4000, 3000, 92, 240),
}
DIFFERENT = 48  # files; the others are links to them


def make_figures(root: Path, width: int, height: int, quality: int, count: int) -> list[Path]:
    """Parts of two photographs, in folders as data=folder takes them."""
    photographs = [Image.fromarray(array) for array in load_sample_images().images]
    generator = np.random.default_rng(0)
    files: list[Path] = []
    for index in range(count):
        folder = root / ("val" if index % 20 == 0 else "train") / "ab"[index // 20 % 2]
        folder.mkdir(parents=True, exist_ok=True)
        files.append(folder / f"{index:05d}.jpg")
        if index >= DIFFERENT:
            files[-1].hardlink_to(files[index % DIFFERENT])
            continue
        photograph = photographs[index % 2]
        share = generator.uniform(0.7, 1.0)
        part = share * min(photograph.width, photograph.height * width / height)
        left, top = (
            generator.uniform(0, photograph.width - part),
            generator.uniform(0, photograph.height - part * height / width),
        )
        box = (left, top, left + part, top + part * height / width)
        photograph.resize((width, height), Image.Resampling.BICUBIC, box=box).save(files[-1], quality=quality)
    return files


def seconds_to_prepare(root: Path) -> float:
    with tempfile.TemporaryDirectory(dir=root.parent) as stores, contextlib.redirect_stderr(io.StringIO()):
        begin = time.perf_counter()
        prepare_store(Path(stores), ImageSource(lambda: train_val_tree(root), root, 256))
        return time.perf_counter() - begin


def seconds_to_decode(files: list[Path]) -> float:
    def decode(file: Path) -> int:
        return decode_image(read_file(str(file)), ImageReadMode.RGB).shape[1]

    with ThreadPoolExecutor(usable_cores()) as threads:
        begin = time.perf_counter()
        list(threads.map(decode, files))
        return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (width, height, quality, count) in KINDS.items():
            root = Path(folder) / name
            files = make_figures(root, width, height, quality, count)
            size = statistics.mean(file.stat().st_size for file in files)
            print(f"{name}: {count} images of {size / 1000:.0f} kB on {usable_cores()} cores", flush=True)
            times = [(seconds_to_decode(files), seconds_to_prepare(root)) for _ in range(repeats)]
            decode, prepare = (count / statistics.median(column) for column in zip(*times, strict=True))
            print(f"  torchvision {decode:.0f} images/s, prepare {prepare:.0f} images/s: {prepare / decode:.2f} times")
            results[name] = {
                "torchvision": round(decode),
                "prepare": round(prepare),
                "times": round(prepare / decode, 2),
            }
    print(json.dumps({"cores": usable_cores(), "torch": torch.__version__, "images_per_second": results}))


if __name__ == "__main__":
    main()
