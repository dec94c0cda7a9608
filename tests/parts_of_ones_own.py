"""What somebody may bring: small classes that tests name in configurations."""

from __future__ import annotations

from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import Dataset


class SmallNetwork(nn.Module):
    """With dropout and batch normalization, whose state a run that is continued has to find again."""

    def __init__(self, num_classes: int, depth: int = 1, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 5, stride=4), nn.BatchNorm2d(width), nn.ReLU())
        self.hidden = nn.Sequential(*(nn.Conv2d(width, width, 3, padding=1) for _ in range(depth)))
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(width, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(self.stem(x)).mean((2, 3)))


class FiveAnswers(SmallNetwork):
    def __init__(self, num_classes: int) -> None:
        super().__init__(5)


class Failing(SmallNetwork):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("the stem is on fire")


class AsksForNumbers(SmallNetwork):
    """Cannot be asked without numbers, on the meta device."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (1.0 if float(x.sum()) == 0.0 else 0.5)


class Stripes(Dataset):
    """Stripes in six directions."""

    def __init__(self, split: str, images_per_class: int = 20) -> None:
        self.classes = [f"{angle} degrees" for angle in range(0, 180, 30)]
        self.first, self.number = (0 if split == "train" else 10**6), images_per_class * len(self.classes)

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> tuple[Any, int]:
        random, label = np.random.default_rng(self.first + index), index % len(self.classes)
        y, x = np.mgrid[:32, :32]
        angle = np.radians(30 * label)
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) / 2 + random.uniform(0, 6.28))
        return np.clip(128 + 60 * wave, 0, 255).astype(np.uint8), label


class Floats(Stripes):
    def __getitem__(self, index: int) -> tuple[Any, int]:
        image, label = super().__getitem__(index)
        return torch.from_numpy(image).float() / 255, label


class Counter(Callback):
    """Counts steps over all sessions of a run, and logs the count."""

    def __init__(self) -> None:
        self.steps = 0

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.steps += 1
        for logger in trainer.loggers:
            logger.log_metrics({"counted": float(self.steps)}, step=trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.steps = state_dict["steps"]


class Hoarder(Callback):
    """Keeps in checkpoints what cannot be read back without running code."""

    def state_dict(self) -> dict[str, Any]:
        return {"range": np.float64(0.5)}


class HalfInverted(nn.Module):
    """Inverts half of the images, by PyTorch's generator."""

    def forward(self, image: Tensor) -> Tensor:
        return 255 - image if torch.rand(()) < 0.5 else image
