"""What cannot be done with a tower on each of two devices is refused in one line."""

from __future__ import annotations

import re

import pytest

from alexnet_lab.core.errors import UserError
from config.test_config import composed

AVERAGE = "+callbacks.mean={_target_: lightning.pytorch.callbacks.WeightAveraging}"

REFUSED = {
    "model.towers=1": "model.towers=1: trainer=towers puts two towers on two devices; use trainer=ddp",
    "model=lenet5": "model=lenet5: has no towers to put on two devices; use trainer=ddp",
    "model=alexnet_torchvision": "model.towers=1: trainer=towers puts two towers",
    "trainer.devices=3": "trainer.devices=3: trainer=towers needs two devices for each network; say an even number",
    "trainer.devices=1": "trainer.devices=1: trainer=towers needs two devices",
    "trainer.devices=6": "optim.batch_size=32: cannot be shared equally by 3 pairs of devices",
    "trainer.precision=16-mixed": "each tower would scale its gradients by itself; use bf16-mixed or 32-true",
    "optim=own optim._target_=torch.optim.Adafactor": "choose from torch.optim's SGD, Adam, AdamW",
    AVERAGE: "callbacks.mean: keeps weights of its own",
}


@pytest.mark.parametrize("overrides", REFUSED)
def test_what_cannot_be_done_is_refused(overrides: str) -> None:
    said = overrides.split() if overrides != AVERAGE else [overrides]
    with pytest.raises(UserError, match=re.escape(REFUSED[overrides])):
        composed("trainer=towers", "optim.batch_size=32", *said)


def test_lightnings_name_for_it_says_what_it_is_called_here() -> None:
    with pytest.raises(UserError, match="trainer=towers puts the towers of a network on devices of their own"):
        composed("trainer=ddp", "trainer.strategy=model_parallel")


def test_a_tower_with_others_and_a_batch_for_all() -> None:
    assert composed("trainer=towers").trainer.shares == 1
    assert composed("trainer=towers", "trainer.devices=4").trainer.shares == 2
    assert composed("trainer=towers", "trainer.devices=1", "trainer.num_nodes=2").trainer.shares == 1
    assert composed("trainer=towers", "optim=own", "optim._target_=torch.optim.AdamW").trainer.shares == 1
    assert composed("trainer=towers", "model=alexnet", "model.communicating=false").trainer.shares == 1
    assert composed("trainer=ddp", "trainer.devices=4").trainer.shares == 4
