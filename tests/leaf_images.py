"""A small collection of image files, and runs on it in this process."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from alexnet_lab.config.options import RunConfig
from alexnet_lab.core.signals import ASKS_TO_END
from alexnet_lab.data.prepare import prepare_store
from alexnet_lab.data.sources import make_source
from alexnet_lab.data.store import Store
from alexnet_lab.training.run import train
from config.test_config import composed

CLASSES = ("ash", "birch", "elm", "fir", "oak", "yew")


def make_leaves(folder: Path, classes: Sequence[str] = CLASSES) -> None:
    """20 training and 5 validation images of each class; the classes differ in colour: black, blue, green ..."""
    random = np.random.default_rng(0)
    for split, number in (("train", 20), ("val", 5)):
        for name, colour in zip(classes, product((60, 180), repeat=3), strict=False):
            (folder / split / name).mkdir(parents=True)
            for index in range(number):
                pixels = np.clip(random.normal(colour, 20, (32, 32, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{index}.png")


def leaf_run(folder: Path, *overrides: str) -> RunConfig:
    """Four epochs of twelve steps on the images in folder/leaves, prepared in folder/datasets: enough to learn them."""
    return composed(
        "optim.learning_rate=0.008",
        *("data=folder", f"data.root={folder / 'leaves'}", f"data.store_root={folder / 'datasets'}"),
        *("model.input_size=33", "model.stored_size=37", "model.width=0.1", "model.towers=1", "model.lrn=false"),
        *("model.dropout=0", "model.init_std=[0.1633,0.13,0.1,0.1,0.1,0.1,0.07,0.07]", "optim.schedule=constant"),
        *("optim.batch_size=10", "optim.epochs=4", "trainer.accelerator=cpu", "logger=none", *overrides),
    )


def prepared(run: RunConfig) -> Store:
    return prepare_store(Path(run.data.store_root), make_source(run.data))


def prepared_anew(run: RunConfig) -> Store:
    shutil.rmtree(run.data.store_root)
    return prepared(run)


def trained(run: RunConfig, folder: Path) -> Path:
    """The folder of a run that is done, or continued, here: its signals are given back, and it takes one thread."""
    before, threads = {number: signal.getsignal(number) for number in ASKS_TO_END}, torch.get_num_threads()
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        train(run, folder, [])
    finally:
        torch.set_num_threads(threads)
        for number, handler in before.items():
            signal.signal(number, handler)
    return folder
