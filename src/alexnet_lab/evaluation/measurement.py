"""Measures finished runs for the claims: answers to images, kernels, neighbours. What is there stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.progress import ImageProgress
from alexnet_lab.data.store import Store
from alexnet_lab.evaluation.kernels import colour_numbers
from alexnet_lab.evaluation.members import Member, load_members
from alexnet_lab.evaluation.neighbours import neighbour_numbers
from alexnet_lab.evaluation.views import probabilities, views_of
from alexnet_lab.runs.measured import Answers, measured_file, write_answers, write_numbers

BATCH = 128
MOST_IMAGES = {"val": 1_000_000, "train": 50_000}  # of a split; more say no more of a training error


def measure_run(folder: Path, wanted: Sequence[str]) -> bool:
    """Measure what is wanted of a finished run: SPLIT-VIEWS, "kernels", "neighbours". Returns whether there was any.

    Raises UserError where the run's images have changed, or its checkpoint is damaged.
    """
    missing = [what for what in wanted if not _is_there(folder, what)]
    if not missing:
        return False
    [member], store = load_members([folder], "last", {}, trust=True)  # its sweep found that it was made as asked
    member.network.to(device())
    for what in missing:
        if what == "kernels":
            write_numbers(folder, what, colour_numbers(member.network))
        elif what == "neighbours":
            write_numbers(folder, what, neighbour_numbers(member, store, device()))
        else:
            split, _, views = what.partition("-")
            write_answers(folder, what, ask([member], store, split, views))
    return True


def measure_together(folders: Sequence[Path], views: str, name: str) -> bool:
    """Measure what the runs say together, the mean of their softmax, into the first one's folder."""
    if _is_there(folders[0], name):
        return False
    members, store = load_members(folders, "last", {}, trust=True)
    for member in members:
        member.network.to(device())
    write_answers(folders[0], name, ask(members, store, "val", views))
    return True


def ask(members: Sequence[Member], store: Store, split: str, views: str) -> Answers:
    """What the networks say together of a split's images, or of 50,000 training images at equal distances."""
    numbers = image_numbers(store, split)
    here, labels = device(), store.labels(split)[numbers]
    classes, probability = [], []
    with torch.inference_mode(), ImageProgress(f"Asking about {split} images", len(numbers)) as progress:
        for rows, images in image_batches(store, split, numbers):
            batch, together = images.to(here), torch.zeros((), dtype=torch.float64, device=here)
            for member in members:
                seen = views_of(views, store.image_size, member.crop)
                mean = member.pixel_mean.to(here)
                columns = member.columns.to(here)
                together = together + probabilities(member.network, batch, mean, member.crop, seen)[:, columns]
            if not torch.isfinite(together).all():
                raise UserError(f"run={members[0].folder}: a network answers NaN; its training had diverged")
            together = (together / len(members)).cpu()
            classes.append(_most_probable(together))
            probability.append(together.gather(1, torch.from_numpy(labels[rows])[:, None])[:, 0].numpy())
            progress.advance(len(batch))
    return Answers(
        np.concatenate(classes),
        np.concatenate(probability).astype(np.float32),
        labels.astype(np.int32),
        store.identity,
    )


def image_numbers(store: Store, split: str) -> NDArray[np.int64]:
    """The numbers of the images of a split that are asked about: all, or as many as are enough at equal distances."""
    images = len(store.labels(split))
    return np.unique(np.linspace(0, images - 1, min(images, MOST_IMAGES[split])).round().astype(np.int64))


def image_batches(store: Store, split: str, numbers: NDArray[np.int64]) -> Iterator[tuple[slice, Tensor]]:
    """Which of the numbers, and these images, uint8 (N, H, H, 3)."""
    images = store.images(split)
    for start in range(0, len(numbers), BATCH):
        rows = slice(start, start + BATCH)
        yield rows, torch.from_numpy(np.array(images[numbers[rows]]))


def _most_probable(answers: Tensor) -> NDArray[np.int32]:
    """int32 (N, 5); of equally probable classes the lower number is first."""
    order = answers.sort(dim=1, descending=True, stable=True).indices
    return order[:, :5].numpy().astype(np.int32)


def _is_there(folder: Path, what: str) -> bool:
    return any(measured_file(folder, what, kind).exists() for kind in ("npz", "json"))


def device() -> torch.device:
    """Where networks are asked: a GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
