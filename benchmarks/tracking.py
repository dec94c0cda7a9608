"""What W&B costs a run without an account: at its start, a step, and at its end. Run by `make bench-tracking`.

Runs the same short training with logger=none, logger=wandb and Lightning's own WandbLogger (which draws no images) in
turns, each in a fresh process, and takes medians.
start: from the command to the first row of metrics.csv; end: from its last row to the end of the process. W&B's own
process starts during the first epoch. Validation and the images are counted into the steps before them.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from alexnet_lab.core.parallel import usable_cores

SOURCE = Path(__file__).parents[1] / "src"
LOGGERS = {
    "none": ["logger=none"],
    "wandb": ["logger=wandb"],
    "lightning": ["logger=own", "logger._target_=lightning.pytorch.loggers.WandbLogger", "logger.offline=true"],
}
PHASES = ("start", "a step of epoch 1, ms", "a later step, ms", "end", "in all")


def measure(folder: Path, logger: str, epochs: int) -> dict[str, float]:
    """Seconds of each phase (milliseconds of a step) of one run."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    sweep = f"{logger}-{time.monotonic_ns()}"
    small = ["data.num_classes=10", "data.train_images_per_class=400", "data.val_images_per_class=20"]
    arguments = [
        *small,
        f"trainer.max_epochs={epochs}",
        *LOGGERS[logger],
        f"sweep={sweep}",
        "trainer.accelerator=cpu",
    ]
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, str(SOURCE / "train.py"), *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    first = last = None
    size = 0
    while process.poll() is None:
        for path in folder.glob(f"runs/{sweep}/*/metrics.csv"):
            lines = path.read_bytes().count(b"\n")
            if lines > 1:
                first = first or time.monotonic()
            if lines != size:
                size, last = lines, time.monotonic()
        time.sleep(0.01)
    ended = time.monotonic()
    if process.returncode or first is None or last is None:
        sys.exit(f"the run with logger={logger} failed")
    [metrics] = folder.glob(f"runs/{sweep}/*/metrics.csv")
    with metrics.open(newline="") as file:
        ends = [(int(row["step"]), float(row["seconds"])) for row in csv.DictReader(file) if row["val_loss"]]
    steps, seconds = ends[0]
    later = (ends[-1][1] - seconds) / (ends[-1][0] - steps)
    values = (first - began, 1e3 * seconds / steps, 1e3 * later, ended - last, ended - began)
    return dict(zip(PHASES, values, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    asked = parser.parse_args()
    if asked.epochs < 2:
        parser.error("--epochs: at least 2")
    taken: dict[str, list[dict[str, float]]] = {logger: [] for logger in LOGGERS}
    with tempfile.TemporaryDirectory() as scratch:
        measure(Path(scratch), "none", 2)  # which makes the images
        for _ in range(asked.repeats):
            for logger, runs in taken.items():
                runs.append(measure(Path(scratch), logger, asked.epochs))
                print(f"logger={logger}: {runs[-1]['in all']:.1f} s", file=sys.stderr, flush=True)
    print(f"{date.today()}, {usable_cores()} cores of {platform.processor() or platform.machine()}, ", end="")
    print(f"medians of {asked.repeats} runs of {asked.epochs} epochs, images after epochs 1, 2, 4 and the last")
    print(f"{'seconds':22} {'logger=none':>12} {'logger=wandb':>13} {'WandbLogger':>12}")
    for phase in PHASES:
        without, ours, lightnings = (statistics.median(run[phase] for run in runs) for runs in taken.values())
        print(f"{phase:22} {without:12.2f} {ours:13.2f} {lightnings:12.2f}")


if __name__ == "__main__":
    main()
