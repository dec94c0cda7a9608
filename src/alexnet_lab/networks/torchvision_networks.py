"""AlexNet's successors as torchvision builds them, without weights."""

from __future__ import annotations

from typing import Any

import torchvision
from torch import Tensor, nn


class TorchvisionNetwork(nn.Module):
    """A network of torchvision under this project's convention for pixels.

    Input: (N, 3, H, H), raw pixels 0..255 minus their mean over the training set; output: (N, num_classes)
    logits, in training too: GoogLeNet comes without its auxiliary classifiers, of which batch normalization,
    which torchvision adds to it, has no need. dropout None keeps the builder's own.
    """

    def __init__(
        self, builder: str, num_classes: int, *, pixel_scale: float = 1.0, dropout: float | None = None
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {} if dropout is None else {"dropout": dropout}
        if builder == "googlenet":
            options |= {"aux_logits": False, "init_weights": True}
        self.pixel_scale = pixel_scale
        self.network = torchvision.models.get_model(builder, weights=None, num_classes=num_classes, **options)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x * self.pixel_scale)
