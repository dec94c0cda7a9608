"""What one sees of a trained network, as images: its kernels, its answers, its neighbours (figures 3 and 4)."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet_lab.core.files import write_bytes
from alexnet_lab.data.store import Store
from alexnet_lab.evaluation.kernels import conv1_kernels
from alexnet_lab.evaluation.measurement import ask, device
from alexnet_lab.evaluation.members import Member, load_members
from alexnet_lab.evaluation.neighbours import neighbours_of
from alexnet_lab.tracking import images

PANELS, QUERIES = 8, 5  # the paper's
SIDE, GAP = 96, 4  # pixels of a thumbnail and between two
MISTAKES = 24


def draw_figures(folder: Path, out: Path, wanted: list[str]) -> list[Path]:
    """Draw what is wanted, names in FIGURES, of a run, as PNG in `out`: the same bytes again. Returns the files."""
    [member], store = load_members([folder], "last", {}, trust=True)  # as in measure_run
    member.network.to(device())
    out.mkdir(parents=True, exist_ok=True)
    files = []
    for name in wanted:
        files.append(out / f"{name}.png")
        write_bytes(files[-1], FIGURES[name](member, store))
    return files


def _kernels(member: Member, store: Store) -> bytes:
    return images.kernels(*conv1_kernels(member.network), "").png


def _top5(member: Member, store: Store) -> bytes:
    numbers = spread_over_classes(store.labels("val"), PANELS)
    return images.top5_panels(_guesses(member, store, numbers), "").png


def _misclassified(member: Member, store: Store) -> bytes:
    answers = ask([member], store, "val", "centre")
    wrong = np.flatnonzero(answers.classes[:, 0] != answers.labels)
    surest = wrong[np.argsort(answers.probability[wrong], kind="stable")][:MISTAKES]
    return images.misclassified(_guesses(member, store, surest), "").png


def _confusion(member: Member, store: Store) -> bytes:
    answers = ask([member], store, "val", "centre")
    names = store.class_names
    flat = np.bincount(answers.labels * len(names) + answers.classes[:, 0], minlength=len(names) ** 2)
    return images.confusion_matrix(flat.reshape(len(names), len(names)), names, "").png


def _neighbours(member: Member, store: Store) -> bytes:
    """A row an image: a validation image, then the six training images that are nearest to it."""
    numbers = spread_over_classes(store.labels("val"), QUERIES)
    rows = [
        [*store.images("val")[np.array([number])], *store.images("train")[found]]
        for number, found in zip(numbers, neighbours_of(member, store, numbers, device()), strict=True)
    ]
    columns = max(map(len, rows))
    sheet = np.full((len(rows) * (SIDE + GAP), columns * (SIDE + GAP) + 3 * GAP, 3), 255, np.uint8)
    for row, shown in enumerate(rows):
        for column, image in enumerate(shown):
            tile = Image.fromarray(np.array(image)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            left = column * (SIDE + GAP) + (3 * GAP if column else 0)  # the image itself stands apart
            sheet[row * (SIDE + GAP) : row * (SIDE + GAP) + SIDE, left : left + SIDE] = np.asarray(tile)
    packed = io.BytesIO()
    Image.fromarray(sheet).save(packed, "PNG")
    return packed.getvalue()


FIGURES: dict[str, Callable[[Member, Store], bytes]] = {
    "kernels": _kernels,
    "top5": _top5,
    "neighbours": _neighbours,
    "confusion": _confusion,
    "misclassified": _misclassified,
}


def spread_over_classes(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Numbers of a few images of classes as different as there are."""
    by_class = np.argsort(labels, kind="stable")
    return by_class[np.unique(np.linspace(0, len(by_class) - 1, count).round().astype(np.int64))]


def _guesses(member: Member, store: Store, numbers: NDArray[np.int64]) -> list[images.Guess]:
    import torch

    from alexnet_lab.evaluation.views import probabilities, views_of

    if not len(numbers):
        return []
    shown = np.array(store.images("val")[numbers])
    batch = torch.from_numpy(shown).to(device())
    with torch.inference_mode():
        seen = views_of("centre", store.image_size, member.crop)
        found = probabilities(member.network, batch, member.pixel_mean.to(device()), member.crop, seen)
    found = found[:, member.columns.to(found.device)].cpu()
    values, classes = found.topk(min(5, found.shape[1]))
    names, labels = store.class_names, store.labels("val")[numbers]
    return [
        images.Guess(image, names[label], [names[each] for each in own], chance)
        for image, label, own, chance in zip(shown, labels, classes.tolist(), values.tolist(), strict=True)
    ]
