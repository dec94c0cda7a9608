"""Images/s of ready batches of 224 pixels: this project's data path against its peers, and training on real data.

    python benchmarks/data.py [--images 2048] [--seconds 6] [--peers DIR] [--only NAME ...] [--no-training]

Made once, in a temporary folder and not counted: JPEGs of 500 x 375 pixels with the spectrum of photographs, and from
them our packed store, .npy files of the same 256 x 256 pixels, and what each peer makes of them itself. Everything is
read from the page cache. Each pipeline runs alone in a process of its own; data_pipelines.py says what counts.
Peers are installed into an environment of their own (--peers, default .peers), which sees this project's packages;
what does not install or run is reported with the reason. The last line is JSON; with several rounds, medians.
Training on real data is compared with training on one resident batch by data_training.py.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_pipelines import PIPELINES

HERE = Path(__file__).resolve().parent
WIDTH, HEIGHT, CLASSES = 500, 375, 16
# Which need nothing that this project lacks.
OURS = ("ours", "memory filled", "ImageFolder", "ours, bytes", "ImageFolder, bytes")
INSTALLED_AS = {"DALI": "nvidia-dali-cuda120", "FFCV": "ffcv"}


def make_figures(folder: Path, images: int) -> int:
    """JPEGs in train/<class>/ and a few in val/<class>/; returns their mean size in bytes.

    Amplitudes fall with frequency as those of photographs do; luminance varies more than colour.
    """
    generator = np.random.default_rng(0)
    y, x = np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None]
    falloff = 1 / np.maximum(np.hypot(y, x), 1 / WIDTH)
    fields = []
    for _ in range(24):
        field = np.fft.irfft2(falloff * np.fft.rfft2(generator.normal(size=(HEIGHT, WIDTH))), s=(HEIGHT, WIDTH))
        fields.append(field / field.std())

    def make(number: int) -> int:
        own = np.random.default_rng(number)
        light, red, blue = (
            np.roll(fields[own.integers(len(fields))], own.integers((HEIGHT, WIDTH)), (0, 1)) for _ in range(3)
        )
        channels = [light + 0.3 * red, light - 0.15 * (red + blue), light + 0.3 * blue]
        pixels = np.clip(120 + 55 * np.stack(channels, 2), 0, 255).astype(np.uint8)
        split = "train" if number < images else "val"
        file = folder / split / f"class_{number % CLASSES:02}" / f"{number:06}.jpg"
        Image.fromarray(pixels).save(file, quality=90)
        return file.stat().st_size

    for split in ("train", "val"):
        for number in range(CLASSES):
            (folder / split / f"class_{number:02}").mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        return int(statistics.mean(pool.map(make, range(images + CLASSES))))


def pack(folder: Path) -> None:
    """Our store of 256 x 256 pixels in store/, and its training images as single files in npy/."""
    from alexnet_lab.config.image_sources import FolderConfig
    from alexnet_lab.config.options import RunConfig
    from alexnet_lab.data.module import ImageData

    data = FolderConfig(root=str(folder / "jpeg"), store_root=str(folder / "store"), image_size=256)
    images = ImageData(RunConfig(data=data))
    images.prepare_data()
    (folder / "npy").mkdir()
    for number, image in enumerate(images.store.images("train")):
        np.save(folder / "npy" / f"{number:06}.npy", image)


def install(peers: Path, name: str) -> str | None:
    """Install one peer into the environment `peers`, which is made where it is not there; the reason if it fails."""
    python = peers / "bin" / "python"
    if not python.exists():
        venv.create(peers, with_pip=True)
        [site] = peers.glob("lib/python*/site-packages")
        (site / "project.pth").write_text("".join(f"{path}\n" for path in sys.path if path.endswith("site-packages")))
    package = name.split(",")[0]
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        INSTALLED_AS.get(package, package),
    ]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    except subprocess.TimeoutExpired:
        return "took more than 15 minutes"
    return None if answer.returncode == 0 else _reason(answer.stdout + answer.stderr)


def measure(name: str, folder: Path, seconds: float, peers: Path) -> dict[str, Any]:
    """{"images_per_second", "package", "version"} of a pipeline, or {"failed": reason}."""
    python = Path(sys.executable) if name in OURS else peers / "bin" / "python"
    command = [str(python), str(HERE / "data_pipelines.py"), name, str(folder), str(seconds)]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": "took more than 10 minutes"}
    lines = answer.stdout.strip().splitlines()
    if answer.returncode or not lines:
        return {"failed": _reason(answer.stderr)}
    return json.loads(lines[-1])


def _reason(output: str) -> str:
    """The most telling line of what a program printed as it failed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    raised = [line for line in lines if re.match(r"[\w.]*(Error|Exception): ", line)]
    telling = [line for line in lines if "error" in line.lower() and "subprocess" not in line]
    return (raised or telling or lines or ["no output"])[-1][:200]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement, after warming up")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peers", type=Path, default=HERE.parent / ".peers", help="environment of the peers")
    parser.add_argument("--only", nargs="*", choices=PIPELINES, default=list(PIPELINES))
    parser.add_argument("--no-training", action="store_true")
    arguments = parser.parse_args()

    failed: dict[str, str] = {}
    for name in arguments.only:
        if name not in OURS and (reason := install(arguments.peers.resolve(), name)):
            failed[name] = f"does not install: {reason}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        size = make_figures(folder / "jpeg", arguments.images)
        pack(folder)
        print(f"{arguments.images} JPEGs of {WIDTH} x {HEIGHT} pixels, {size / 1000:.0f} kB each, on "
              f"{len(os.sched_getaffinity(0))} cores; ready: float32 batches of 128 x 3 x 224 x 224")  # fmt: skip
        rates: dict[str, list[float]] = {}
        versions: dict[str, str] = {}
        for _ in range(arguments.rounds):
            for name in [name for name in arguments.only if name not in failed]:
                answer = measure(name, folder, arguments.seconds, arguments.peers.resolve())
                if "failed" in answer:
                    failed[name] = f"does not run: {answer['failed']}"
                    continue
                rates.setdefault(name, []).append(answer["images_per_second"])
                versions[answer["package"]] = answer["version"]
                print(
                    f"  {name:18}{rates[name][-1]:12.1f} images/s   {answer['package']} {answer['version']}", flush=True
                )
    for name, reason in failed.items():
        print(f"  {name:18}{'-':>12}            {reason}")
    medians = {name: statistics.median(values) for name, values in rates.items()}
    result: dict[str, Any] = {"images_per_second": medians, "not_measured": failed, "versions": versions}
    peers = {name: rate for name, rate in medians.items() if name == "ImageFolder" or name not in OURS}
    if "ours" in medians and "ImageFolder" in medians:
        best = max(peers, key=lambda name: peers[name])
        result["times_imagefolder"] = round(medians["ours"] / medians["ImageFolder"], 2)
        result["times_best_peer"] = round(medians["ours"] / peers[best], 2)
        result["best_peer"] = best
    if "ours, bytes" in medians and "ImageFolder, bytes" in medians:
        result["times_imagefolder_as_bytes"] = round(medians["ours, bytes"] / medians["ImageFolder, bytes"], 2)
    if not arguments.no_training:
        answer = subprocess.run(
            [sys.executable, str(HERE / "data_training.py")], stdout=subprocess.PIPE, text=True, check=True
        )
        print(answer.stdout.rsplit("\n", 2)[0])
        result["training"] = json.loads(answer.stdout.strip().splitlines()[-1])
    print(json.dumps(result))


if __name__ == "__main__":
    main()
