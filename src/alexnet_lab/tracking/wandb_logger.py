"""W&B as a callback knows it: Lightning's Logger, with an `experiment` that takes what a run of wandb's takes."""

from __future__ import annotations

import base64
import io
import logging
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from alexnet_lab.runs.metrics import LOGGED
from alexnet_lab.tracking.histogram import bins_of

log = logging.getLogger(__name__)

PLAIN = (bool, int, float, str, type(None))

Keep = Callable[[str, dict[str, Any]], None]  # under "config" or "summary"
Tell = Callable[..., None]  # of a row's values, and of what is drawn beside them: bins=, png=


class WandbLogger(Logger):
    """Hands on what a module or a callback logs; the run's own rows come another way (`Tracker.row`).

    tell: of values at the step that the run is at.
    """

    def __init__(self, name: str, folder: Path, tell: Tell, keep: Keep) -> None:
        super().__init__()
        self._name, self._folder, self._experiment = name, folder, Experiment(tell, keep)

    @property
    def save_dir(self) -> str:
        """The run folder, which a trainer's log_dir then is."""
        return str(self._folder)

    @property
    def name(self) -> str:
        """The project."""
        return self._name

    @property
    def version(self) -> str | None:
        """The run's id, once there is one."""
        return self._experiment.id

    @property
    @rank_zero_experiment
    def experiment(self) -> Experiment:
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._experiment.log({key: value for key, value in metrics.items() if key not in (*LOGGED, "epoch")})

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *arguments: Any, **options: Any) -> None:
        """Beside the run's configuration, which W&B has in any case."""
        self._experiment.config.update(vars(params) if isinstance(params, Namespace) else params)

    @rank_zero_only
    def log_image(
        self, key: str, images: Sequence[Any], step: int | None = None, caption: Sequence[str] | None = None
    ) -> None:
        """As the WandbLogger of Lightning: images of PIL, matplotlib or wandb under one key."""
        for number, image in enumerate(images):
            name = key if len(images) == 1 else f"{key}/{number}"
            self._experiment.log({name: image}, captions={name: caption[number]} if caption else {})


class Experiment:
    """What of wandb's Run a callback uses: log, config, summary, id. The run itself is in another process."""

    def __init__(self, tell: Tell, keep: Keep) -> None:
        self._tell = tell
        self._said: set[str] = set()
        self.id: str | None = None
        self.config, self.summary = Kept("config", keep), Kept("summary", keep)

    def log(
        self,
        data: Mapping[str, Any],
        step: int | None = None,
        commit: bool | None = None,
        captions: Mapping[str, str] | None = None,
    ) -> None:
        """Numbers and text as they are, arrays and tensors as histograms, images of PIL, matplotlib and wandb.

        They belong to the step that the run is at: W&B takes no other, so `step` and `commit` mean nothing here.
        """
        values, bins, png = {}, {}, {}
        for key, value in data.items():
            caption = (captions or {}).get(key) or getattr(value, "_caption", None)
            if (single := _single(value)) is not None:
                values[key] = single[0]
            elif (image := _image(value)) is not None:
                png[key] = {"png": base64.b64encode(image).decode(), "caption": caption}
            elif (counted := _counted(value)) is not None:
                bins[key] = counted
            elif key not in self._said:
                self._said.add(key)
                text = "%s, which a callback logs, is left out (%s): trackers get numbers, text, arrays and images"
                log.warning(text, key, type(value).__name__)
        if values or bins or png:
            self._tell(values, bins=bins, png=png)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{name}: is not available here, where another process speaks with W&B (docs/wandb.md)")


class Kept:
    """A run's config or summary, which can be added to."""

    def __init__(self, kind: str, keep: Keep) -> None:
        self._kind, self._keep = kind, keep

    def update(self, values: Mapping[str, Any], allow_val_change: bool = True) -> None:
        found = {str(key): _single(value) for key, value in values.items()}
        self._keep(
            self._kind, {key: str(values[key]) if single is None else single[0] for key, single in found.items()}
        )

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})


def _single(value: Any) -> tuple[Any] | None:
    """A value that is one number, text, or a list or dictionary of them; None where it is not."""
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        return (value.item(),) if value.size == 1 or (isinstance(value, torch.Tensor) and value.numel() == 1) else None
    if isinstance(value, PLAIN):
        return (value,)
    if isinstance(value, Mapping):
        inner = {str(key): _single(one) for key, one in value.items()}
        return None if None in inner.values() else ({key: one[0] for key, one in inner.items() if one},)
    if isinstance(value, (list, tuple)):
        parts = [_single(one) for one in value]
        return None if None in parts else ([one[0] for one in parts if one],)
    return None


def _counted(value: Any) -> list[Any] | None:
    """Counts, lowest and highest of an array, or those of a histogram of wandb's; None where it is neither."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        value = torch.from_numpy(np.asarray(value, np.float32))
    if isinstance(value, torch.Tensor):
        return bins_of(value)
    counts, edges = getattr(value, "histogram", None), getattr(value, "bins", None)
    return (
        None
        if counts is None or edges is None
        else [[int(count) for count in counts], float(edges[0]), float(edges[-1])]
    )


def _image(value: Any) -> bytes | None:
    """An image's PNG; None where it is none."""
    file = io.BytesIO()
    image = value if isinstance(value, Image.Image) else getattr(value, "image", None)  # of wandb.Image
    if isinstance(image, Image.Image):
        image.save(file, "PNG")
    elif hasattr(value, "savefig"):  # a figure of matplotlib
        value.savefig(file, format="png")
    else:
        return None
    return file.getvalue()
