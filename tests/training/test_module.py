"""The training module without src/train.py, as a library has it."""

from __future__ import annotations

from pathlib import Path

import lightning
import numpy as np
import torch
from continued_runs import own_signals, tiny  # noqa: F401
from torch import nn
from torchmetrics.classification import MulticlassAccuracy

from alexnet_lab.data.augmentation import Augmentation
from alexnet_lab.data.module import ImageData
from alexnet_lab.networks.build import build_network
from alexnet_lab.training.module import Classifier
from alexnet_lab.training.ranks import Ranks


def test_it_is_validated_before_it_is_fitted(store_root: Path, tmp_path: Path) -> None:
    run = tiny(store_root)
    data = ImageData(run)
    data.prepare_data()
    network, side = build_network(run.model, data.num_classes), run.model.input_size
    classifier = Classifier(network, data.augmentation(), run.optim, side, 0, Ranks(tmp_path, 10))
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    [before] = trainer.validate(classifier, data, verbose=False)
    assert before.keys() == {"val_loss", "val_top1_error", "val_top5_error"}  # nothing has been trained
    trainer.fit(classifier, data)
    after = trainer.callback_metrics
    assert after["train_loss"] > 0
    assert after["val_loss"] != before["val_loss"]
    assert set(trainer.validate(classifier, data, verbose=False)[0]) == set(before)


def test_training_metrics_of_an_earlier_version_are_taken_up(store_root: Path, tmp_path: Path) -> None:
    """Its checkpoints have torchmetrics' counts of right and wrong answers."""
    run = tiny(store_root)
    augmentation = Augmentation(run.model.input_size, np.zeros((64, 64, 3)))
    classifier = Classifier(nn.Linear(1, 7), augmentation, run.optim, run.model.input_size, 0, Ranks(tmp_path, 10))
    classifier.trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    logits, labels = torch.randn(90, 7), torch.randint(0, 7, (90,))
    accuracy = MulticlassAccuracy(7, average="micro")
    accuracy.update(logits, labels)
    loss = {"mean_value": torch.tensor(0.0), "weight": torch.tensor(0.0)}
    kept = {"train_loss": loss, "train_top1": dict(accuracy.metric_state)}
    classifier.on_load_checkpoint({"training_metrics": [kept]})
    assert torch.equal(classifier.train_top1.compute(), accuracy.compute())
