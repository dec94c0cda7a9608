"""Training on real data against training on one resident batch: what the data path costs a run.

    python benchmarks/data_training.py [--rounds 16] [overrides of src/train.py]

`real` is training as src/train.py does it: batches out of the packed store, varied anew each time. `resident` is the
same loop of Lightning, network and optimizer on one batch that is ready in the device's memory, varied already. Each is
measured for an epoch a round, in one process, now the one first and now the other; images/s are medians, and the
share is the median of the rounds' shares, because a machine's speed changes from round to round. The network is mini on
a CPU, AlexNet at 224 pixels on a GPU; the images are fractals. The last line is JSON.
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra import compose, initialize_config_dir
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from alexnet_lab.config import schema
from alexnet_lab.config.checks import typed
from alexnet_lab.config.options import RunConfig
from alexnet_lab.core.memory import keep_freed_memory
from alexnet_lab.data.module import ImageData
from alexnet_lab.data.reader import Batch
from alexnet_lab.networks.build import build_network
from alexnet_lab.runs import paths
from alexnet_lab.training.module import Classifier
from alexnet_lab.training.ranks import Ranks

ROOT = Path(__file__).resolve().parents[1]
WARM_UP = 5  # steps of each round that are not counted


class Ready(nn.Module):
    """In place of the augmentation: one batch, as the network's first layer receives it."""

    def __init__(self, views: Tensor) -> None:
        super().__init__()
        self.views = views

    def forward(self, batch: Batch, epoch: int) -> Tensor:
        return self.views


class Same:
    """A loader that gives one batch over and over."""

    def __init__(self, batch: Batch, number: int) -> None:
        self.batch, self.number = batch, number

    def __len__(self) -> int:
        return self.number

    def __iter__(self) -> Iterator[Batch]:
        return (self.batch for _ in range(self.number))


class Clock(Callback):
    """Time of the steps after WARM_UP."""

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        if trainer.global_step in (WARM_UP, trainer.num_training_batches):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if trainer.global_step == WARM_UP:
                self.start = time.perf_counter()
            self.seconds = time.perf_counter() - self.start


def composed(overrides: list[str]) -> RunConfig:
    schema.register()
    paths.register_resolver()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return typed(compose("train", overrides))


def images_per_second(run: RunConfig, data: ImageData, resident: bool) -> float:
    """Of one epoch, with a network made anew."""
    lightning.seed_everything(run.seed, verbose=False)
    network = build_network(run.model, data.num_classes).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ranks = Ranks(Path(run.data.store_root), run.trainer.collective_timeout)
    classifier = Classifier(network, data.augmentation(), run.optim, run.model.input_size, run.seed, ranks)
    clock = Clock()
    trainer = lightning.Trainer(
        max_epochs=1, limit_val_batches=0, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False, callbacks=[clock],
    )  # fmt: skip
    data.trainer = trainer
    loader: Any = data.train_dataloader()
    if resident:
        device = trainer.strategy.root_device
        first = next(iter(loader)).each(lambda tensor: tensor.to(device))
        with torch.no_grad():
            views = data.augmentation().to(device)(first, 0).clone()
        classifier.augmentation = Ready(views)  # type: ignore[assignment]
        loader = Same(first, len(loader))
    trainer.fit(classifier, loader)
    return (len(loader) - WARM_UP) * data.batch_size / clock.seconds


def main() -> None:
    overrides = sys.argv[1:]
    rounds = int(overrides.pop(overrides.index("--rounds") + 1)) if "--rounds" in overrides else 16
    overrides = [text for text in overrides if text != "--rounds"]
    on_gpu = torch.cuda.is_available()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    keep_freed_memory()
    torch.set_flush_denormal(True)
    with tempfile.TemporaryDirectory() as folder:
        chosen = (
            ["model=alexnet", "data.train_images_per_class=1024"] if on_gpu else ["data.train_images_per_class=200"]
        )
        run = composed([*chosen, "data.val_images_per_class=1", f"data.store_root={folder}", *overrides])
        data = ImageData(run)
        data.prepare_data()
        rates: dict[str, list[float]] = {"real": [], "resident": []}
        for round_number in range(rounds + 1):
            for name in ("real", "resident") if round_number % 2 else ("resident", "real"):
                rate = images_per_second(run, data, name == "resident")
                if round_number:  # the first warms up
                    rates[name].append(rate)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    shares = [real / resident for real, resident in zip(rates["real"], rates["resident"], strict=True)]
    share, (low, _, high) = statistics.median(shares), statistics.quantiles(shares, n=4)
    device = torch.cuda.get_device_name() if on_gpu else f"CPU, {torch.get_num_threads()} threads"
    print(f"training {run.model.name} with batches of {data.batch_size} on {device}: {medians['real']:.1f} images/s on "
          f"real data, {medians['resident']:.1f} on one resident batch: {100 * share:.1f} % "
          f"(half of the rounds {100 * low:.1f} to {100 * high:.1f})")  # fmt: skip
    facts = {
        "rounds": rounds,
        "quartiles": [round(low, 4), round(high, 4)],
        "model": run.model.name,
        "batch": data.batch_size,
        "device": device,
        "torch": torch.__version__,
    }
    print(json.dumps({"real_over_resident": round(share, 4), "images_per_second": medians, **facts}))


if __name__ == "__main__":
    main()
