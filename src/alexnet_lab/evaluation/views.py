"""The parts of a stored image that a network classifies (sections 4.1 and 6 of the paper)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class View(NamedTuple):
    """Crop offset, in pixels, and whether the view is mirrored left to right."""

    top: int
    left: int
    mirrored: bool


def views_of(views: str, side: int, crop: int) -> list[View]:
    """The views of images of `side` pixels: the centre, or four corners and the centre, each mirrored too."""
    last, centre = side - crop, (side - crop) // 2
    if views == "centre":
        return [View(centre, centre, False)]
    corners = [(0, 0), (0, last), (last, 0), (last, last), (centre, centre)]
    return [View(top, left, mirrored) for mirrored in (False, True) for top, left in corners]


def take(images: Tensor, mean: Tensor, crop: int, view: View) -> Tensor:
    """uint8 (N, H, H, 3) minus the mean image (H, H, 3), as float32 (N, 3, crop, crop) in channels_last layout."""
    rows, columns = slice(view.top, view.top + crop), slice(view.left, view.left + crop)
    seen = images[:, rows, columns].float() - mean[rows, columns]
    return (seen.flip(2) if view.mirrored else seen).permute(0, 3, 1, 2)


def probabilities(network: nn.Module, images: Tensor, mean: Tensor, crop: int, views: list[View]) -> Tensor:
    """float64 (N, classes): the network's softmax, averaged over the views."""
    each = [network(take(images, mean, crop, view)).double().softmax(1) for view in views]
    return torch.stack(each).mean(0)
