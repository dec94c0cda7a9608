"""How long saving AlexNet keeps it from training: 61 million weights and their velocities.

PYTHONPATH=src python benchmarks/checkpoint.py [FOLDER]     FOLDER: on the disk to be measured
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

import torch

from alexnet_lab.runs import checkpoint_file
from alexnet_lab.runs.checkpoints import LAST
from alexnet_lab.training.checkpoints import Checkpoints

WEIGHTS = 60_965_224
TIMES = 4


def main() -> None:
    weights = {"network.weight": torch.randn(WEIGHTS)}
    velocity = {"state": {0: {"momentum_buffer": torch.randn(WEIGHTS)}}}
    checkpoint = {name: kind() for name, kind in checkpoint_file.PARTS.items()}
    checkpoint |= {"state_dict": weights, "optimizer_states": [velocity]}
    folder = Path(tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None))
    try:
        checkpoints = Checkpoints(folder)
        for _ in range(TIMES):
            started = time.monotonic()
            checkpoints.save_checkpoint(checkpoint)
            standstill = time.monotonic() - started
            checkpoints.wait()
            print(f"training stands still for {standstill:.2f} s, on the disk {time.monotonic() - started:.2f} s after")
        started = time.monotonic()
        checkpoint_file.read(checkpoints.folder / LAST)
        print(f"checked and read in {time.monotonic() - started:.2f} s")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
