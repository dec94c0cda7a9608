"""Transforms of training images of one's own, besides the paper's variation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from alexnet_lab.config.options import RunConfig
from alexnet_lab.config.own import TARGET
from alexnet_lab.config.parts import failed, make
from alexnet_lab.core.errors import UserError


def own_transforms(run: RunConfig) -> list[Callable[[Tensor], Tensor]]:
    """The transforms of `augmentation`, in their order. Raises UserError where one cannot be made."""
    return [make(f"augmentation.{name}", part) for name, part in run.augmentation.items()]


def check_transforms(run: RunConfig) -> None:
    """Raise UserError where a transform does not make of a crop, uint8 (3, S, S), another."""
    side = run.model.input_size
    for (name, part), transform in zip(run.augmentation.items(), own_transforms(run), strict=True):
        key, image = f"augmentation.{name}", torch.zeros(3, side, side, dtype=torch.uint8)
        try:
            with torch.random.fork_rng(devices=[]):
                changed = transform(image)
        except Exception as error:  # of somebody's code, as many kinds as there are
            raise failed(key, f"{part[TARGET]} of an image uint8 {tuple(image.shape)}", error) from error
        if not isinstance(changed, Tensor) or changed.shape != image.shape or changed.dtype != image.dtype:
            given = f"{changed.dtype} {tuple(changed.shape)}" if isinstance(changed, Tensor) else type(changed).__name__
            raise UserError(
                f"{key}: {part[TARGET]} must make of an image uint8 {tuple(image.shape)} another, and makes {given}; "
                "mean and scale are applied afterwards"
            )
