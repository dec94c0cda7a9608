"""The training module without src/train.py, as a library has it."""

from __future__ import annotations

from pathlib import Path

import lightning
from continued_runs import own_signals, tiny  # noqa: F401

from alexnet_lab.data.module import ImageData
from alexnet_lab.networks.build import build_network
from alexnet_lab.training.module import Classifier
from alexnet_lab.training.ranks import Ranks


def test_it_is_validated_before_it_is_fitted(store_root: Path, tmp_path: Path) -> None:
    run = tiny(store_root)
    data = ImageData(run)
    data.prepare_data()
    network, side = build_network(run.model, data.num_classes), run.model.input_size
    classifier = Classifier(network, data.augmentation(), run.optim, data.num_classes, side, 0, Ranks(tmp_path, 10))
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
