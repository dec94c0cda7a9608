"""A trained network that answers for images: from a run, a checkpoint or a file of weights, in one call."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.image import UnreadableImage, read_square, square_of
from alexnet_lab.evaluation.views import View, probabilities, take, views_of
from alexnet_lab.runs.checkpoints import FOLDER
from alexnet_lab.weights.importing import import_weights
from alexnet_lab.weights.run_folder import CHECKPOINTS, load_run
from alexnet_lab.weights.trained_network import TrainedNetwork

BATCH = 64  # images at a time
STORED_TO_CROP = 256 / 224  # sides, in the paper; of weights that do not say how large their images were

AnImage = str | PathLike[str] | Image.Image


class Prediction(NamedTuple):
    """A class and how probable the network says it is, from 0 to 1."""

    name: str
    probability: float


class ImageClassifier(nn.Module):
    """A trained network in evaluation mode, with all that it takes to ask it.

    Calling it maps float32 (N, 3, input_size, input_size), as `transforms` gives it, to logits (N, classes).
    class_names: in the order of the logits; numbers where a file of weights does not know them.
    pixel_mean: float32 (image_size, image_size, 3), or (3,), on 0..255, None where it is not known.
    """

    pixel_mean: Tensor | None

    def __init__(self, trained: TrainedNetwork, source: str) -> None:
        super().__init__()
        self.source, self.options, self.num_classes = source, trained.model, trained.num_classes
        self.class_names = trained.class_names or [str(number) for number in range(trained.num_classes)]
        self.input_size = trained.model.input_size
        mean = trained.pixel_mean
        whole = mean is not None and mean.dim() == 3
        self.image_size = len(mean) if mean is not None and whole else round(self.input_size * STORED_TO_CROP)
        self.network = trained.network
        self.register_buffer("pixel_mean", mean)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def forward_features(self, x: Tensor) -> Tensor:
        """The last hidden layer's activations, (N, units), of images as `transforms` gives them.

        create_feature_extractor of torchvision.models.feature_extraction takes any layer: ["network.conv5"].
        """
        features = getattr(self.network, "features", None)
        if features is None:
            raise UserError(
                f"{self.options.name}: names no layer of features; create_feature_extractor of "
                "torchvision.models.feature_extraction takes any layer by its name"
            )
        return features(x)

    @torch.inference_mode()
    def features(self, images: AnImage | Iterable[AnImage] | Tensor, layer: str) -> Tensor:
        """What a layer gives for images, by path, as PIL has them, or as `transforms` gives them: "fc7" is (N, units),
        "conv5" (N, channels, height, width). Raises UserError for a layer that the network has not, naming the nearest.
        """
        layers = {name: part for name, part in self.network.named_modules() if name}
        name = layer.removeprefix("network.")
        if name not in layers:
            near = difflib.get_close_matches(name, layers, n=1)
            there = (
                f"did you mean {near[0]}?" if near else f"there are {', '.join(dict(self.network.named_children()))}"
            )
            raise UserError(f"layer={layer}: {self.options.name} has none of this name; {there}")
        kept: list[Tensor] = []
        hook = layers[name].register_forward_hook(lambda module, given, answer: kept.append(answer))
        try:
            for batch in [images] if isinstance(images, Tensor) else _batches(_listed(images)):
                self(batch if isinstance(batch, Tensor) else self.transforms(batch))
        finally:
            hook.remove()
        if not kept or not all(isinstance(answer, Tensor) for answer in kept):
            raise UserError(f"layer={layer}: gives no tensor of its own in {self.options.name}; name another")
        return torch.cat(kept)

    def transforms(self, images: AnImage | Iterable[AnImage]) -> Tensor:
        """What the network sees of images, as in validation: float32 (N, 3, input_size, input_size).

        Upright RGB, the shorter side resized to image_size, the centre taken, the mean image subtracted. Raises
        UserError for what is no image, or where the mean is not known.
        """
        return take(self._squares(_listed(images)), self._mean(), self.input_size, self._centre())

    @torch.inference_mode()
    def predict(self, images: AnImage | Iterable[AnImage], top: int = 5) -> list[list[Prediction]]:
        """The `top` most probable classes of each image, by path or as PIL has it, most probable first.

        Raises UserError for what is no image, naming it.
        """
        if top < 1:
            raise UserError(f"top={top}: must be 1 or more")
        answers = []
        for batch in _batches(_listed(images)):
            view = [self._centre()]
            each = probabilities(self.network, self._squares(batch), self._mean(), self.input_size, view)
            values, classes = each.topk(min(top, self.num_classes), dim=1)
            if not torch.isfinite(values).all():
                raise UserError(f"{self.source}: its network answers NaN; its training had diverged")
            for row, numbers in zip(values.tolist(), classes.tolist(), strict=True):
                pairs = zip(numbers, row, strict=True)
                answers.append([Prediction(self.class_names[number], value) for number, value in pairs])
        return answers

    def __prepare_scriptable__(self) -> NoReturn:
        raise UserError(
            "torch.jit.script: cannot take this network, whose normalization chooses its kernels in Python; use "
            "torch.export.export(model, (x,)), torch.jit.trace, or python src/export.py format=onnx"
        )

    def _centre(self) -> View:
        return views_of("centre", self.image_size, self.input_size)[0]

    def _mean(self) -> Tensor:
        if self.pixel_mean is None:
            raise UserError(
                f"{self.source}: does not say which mean its network subtracts from images; subtract it yourself and "
                "call the model on (N, 3, input_size, input_size)"
            )
        return self.pixel_mean.expand(self.image_size, self.image_size, 3)

    def _squares(self, images: Sequence[AnImage]) -> Tensor:
        """uint8 (N, image_size, image_size, 3), where the network is."""
        squares = [_square(image, self.image_size) for image in images]
        return torch.from_numpy(np.stack(squares)).to(next(self.network.parameters()).device)


def load(source: str | PathLike[str], checkpoint: str = "best", trust: bool = False) -> ImageClassifier:
    """The network of a run's folder, of its checkpoint file, or of a file of weights, in evaluation mode on the CPU.

    checkpoint: "best" (lowest validation top-1 error) or "last", of a folder. trust: whether a network that is not
    built in may be made, which runs its code (SECURITY.md). Raises UserError for what is none of these, or is damaged.
    """
    path = Path(source).expanduser()
    if path.suffix == ".ckpt":
        if path.parent.name != FOLDER or path.stem not in CHECKPOINTS:
            raise UserError(f"{path}: must be RUN/{FOLDER}/best.ckpt or last.ckpt; RUN/config.yaml says what is in it")
        trained = load_run(path.parent.parent, path.stem, trust)
    elif path.is_dir():
        trained = load_run(path, checkpoint, trust)
    else:
        trained = import_weights(path, trust)
    return ImageClassifier(trained, str(path))


def _listed(images: AnImage | Iterable[AnImage]) -> list[AnImage]:
    found = [images] if isinstance(images, (str, PathLike, Image.Image)) else list(images)
    if not found:
        raise UserError("no image is given; name one or more")
    return found


def _batches(images: Sequence[AnImage]) -> Iterator[Sequence[AnImage]]:
    for start in range(0, len(images), BATCH):
        yield images[start : start + BATCH]


def _square(image: AnImage, side: int) -> np.ndarray:
    try:
        return square_of(image, side) if isinstance(image, Image.Image) else read_square(Path(image), side)
    except (UnreadableImage, TypeError) as error:
        raise UserError(f"{image!s:.200}: {error}") from None
