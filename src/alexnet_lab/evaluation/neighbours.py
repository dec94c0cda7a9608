"""Training images that are nearest to an image by the last hidden layer, and by its pixels (section 6.1, figure 4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.store import Store
from alexnet_lab.evaluation.members import Member
from alexnet_lab.evaluation.views import take, views_of

NEAREST = 6  # the paper's
QUERIES, GALLERY = 2000, 50_000  # images of each split, at equal distances
LARGEST_PIXELS = 64  # side; larger images are averaged down to it before their pixels are compared
CHUNK = 256


def neighbour_numbers(member: Member, store: Store, device: torch.device) -> dict[str, float]:
    """In percent: of the six nearest training images those of the true class, by features and by pixels."""
    queries, gallery = _numbers(store, "val", QUERIES), _numbers(store, "train", GALLERY)
    truth, labels = store.labels("val")[queries], store.labels("train")[gallery]
    found = {}
    for name, describe in (("features", _features(member)), ("pixels", _pixels(member))):
        asked = _described(store, "val", queries, describe, member, device)
        known = _described(store, "train", gallery, describe, member, device)
        found[f"precision_{name}"] = 100.0 * float((labels[nearest(asked, known)] == truth[:, None]).mean())
    return found


def neighbours_of(member: Member, store: Store, queries: NDArray[np.int64], device: torch.device) -> NDArray[np.int64]:
    """Numbers (Q, 6) of the training images nearest to validation images (Q,), by features."""
    gallery = _numbers(store, "train", GALLERY)
    asked = _described(store, "val", queries, _features(member), member, device)
    return gallery[nearest(asked, _described(store, "train", gallery, _features(member), member, device))]


def nearest(asked: Tensor, known: Tensor, count: int = NEAREST) -> NDArray[np.int64]:
    """Places (Q, count) of the rows of known (G, D) nearest to each row of asked (Q, D) by L2, nearest first."""
    squares = (known**2).sum(1)
    found = [
        (squares - 2 * asked[start : start + CHUNK] @ known.T).topk(min(count, len(known)), largest=False).indices
        for start in range(0, len(asked), CHUNK)
    ]
    return torch.cat(found).cpu().numpy()


def _features(member: Member) -> Callable[[Tensor], Tensor]:
    network: Any = member.network
    if not hasattr(network, "features"):
        raise UserError(f"run={member.folder}: its network does not give its last hidden layer")
    return lambda views: network.features(views)


def _pixels(member: Member) -> Callable[[Tensor], Tensor]:
    side = min(member.crop, LARGEST_PIXELS)
    return lambda views: F.adaptive_avg_pool2d(views, side) if side < member.crop else views


@torch.inference_mode()
def _described(
    store: Store,
    split: str,
    numbers: NDArray[np.int64],
    describe: Callable[[Tensor], Tensor],
    member: Member,
    device: torch.device,
) -> Tensor:
    """float32 (N, D), of the centre view of each image."""
    images, mean = store.images(split), member.pixel_mean.to(device)
    [centre] = views_of("centre", store.image_size, member.crop)
    found = []
    for start in range(0, len(numbers), CHUNK):
        batch = torch.from_numpy(np.array(images[numbers[start : start + CHUNK]])).to(device)
        found.append(describe(take(batch, mean, member.crop, centre)).flatten(1).float())
    return torch.cat(found)


def _numbers(store: Store, split: str, most: int) -> NDArray[np.int64]:
    images = len(store.labels(split))
    return np.unique(np.linspace(0, images - 1, min(images, most)).round().astype(np.int64))
