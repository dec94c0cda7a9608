"""AlexNet's successors as torchvision builds them, without weights."""

from __future__ import annotations

from typing import Any

import torchvision
from torch import Tensor, nn

from alexnet_lab.config.architectures import TorchvisionConfig, TorchvisionDropoutConfig


class TorchvisionNetwork(nn.Module):
    """A network of torchvision under this project's convention for pixels.

    Input: (N, 3, H, H), raw pixels 0..255 minus their mean over the training set; output: (N, num_classes)
    logits, in training too: GoogLeNet comes without its auxiliary classifiers, of which batch normalization,
    which torchvision adds to it, has no need.
    """

    def __init__(self, num_classes: int, options: TorchvisionConfig) -> None:
        super().__init__()
        own: dict[str, Any] = {}
        if isinstance(options, TorchvisionDropoutConfig):
            own["dropout"] = options.dropout
        if options.architecture == "googlenet":
            own |= {"aux_logits": False, "init_weights": True}
        self.pixel_scale = options.pixel_scale
        self.network = torchvision.models.get_model(options.architecture, weights=None, num_classes=num_classes, **own)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x * self.pixel_scale)
