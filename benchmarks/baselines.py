"""Is the embedded data worth learning? What pixel methods make of it, beside the default network.

Run by `make baselines`. The linear classifier and the nearest neighbours see raw pixels, and are given the best of
several settings each, chosen on the validation set in their favour. The network is `python src/train.py` with its
defaults. The last line is JSON: errors in percent.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier

from alexnet_lab.data.fractals import FractalSource
from alexnet_lab.data.prepare import prepare_store
from alexnet_lab.fractals.settings import FractalSettings

ROOT = Path(__file__).parents[1]


def main() -> None:
    store = prepare_store(Path("datasets"), FractalSource(FractalSettings()))
    train, val = (store.images(split).reshape(len(store.labels(split)), -1) for split in ("train", "val"))
    labels = {split: np.asarray(store.labels(split)) for split in ("train", "val")}
    mean = train.mean(axis=0, dtype=np.float64).astype(np.float32)
    x, v = ((pixels.astype(np.float32) - mean) / 64 for pixels in (train, val))

    def error(model: object) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # logistic regression stops at its limit of iterations, as it may
            return 100 * (1 - model.fit(x, labels["train"]).score(v, labels["val"]))  # type: ignore[attr-defined]

    errors = {
        "linear (ridge)": min(error(RidgeClassifier(alpha)) for alpha in (1e2, 1e4, 1e6)),
        "linear (logistic)": error(LogisticRegression(C=1e-3, max_iter=30)),
        "nearest neighbours": min(error(KNeighborsClassifier(k)) for k in (1, 5, 20)),
    }
    for name, value in errors.items():
        print(f"{name:20s} {value:5.1f} %", flush=True)

    sweep = "baselines"
    command = [sys.executable, str(ROOT / "src" / "train.py"), f"sweep={sweep}", "logger=none"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    [folder] = Path("runs", sweep).iterdir()
    result = json.loads((folder / "result.json").read_text())
    errors["default network"] = 100 * result["metrics"]["val_top1_error"]
    print(f"{'default network':20s} {errors['default network']:5.1f} %")
    p, n = errors["default network"] / 100, len(labels["val"])
    errors["standard error"] = 100 * (p * (1 - p) / n) ** 0.5
    print(json.dumps({name: round(value, 2) for name, value in errors.items()}))


if __name__ == "__main__":
    main()
