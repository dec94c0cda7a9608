"""From the model group of a configuration to a network."""

from __future__ import annotations

import dataclasses

from torch import nn

from alexnet_lab.config import ModelConfig
from alexnet_lab.networks.alexnet import AlexNet

NOT_THE_NETWORKS = ("name", "stored_size")  # knobs of the group that the network itself does not have


def build_network(model: ModelConfig, num_classes: int) -> nn.Module:
    """The network that the configuration describes, freshly initialized from torch's random state."""
    knobs = {item.name: getattr(model, item.name) for item in dataclasses.fields(model)}
    return AlexNet(num_classes, **{name: value for name, value in knobs.items() if name not in NOT_THE_NETWORKS})
