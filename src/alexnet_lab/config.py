"""Every knob of a training run: its type, default, unit and range, declared once.

Hydra fills these classes from `conf/` and the command line; `check` then refuses, in one line and
before anything is written, a value outside its range or a combination that cannot work.
No knob's meaning is declared anywhere else, and this file loads neither torch nor Lightning.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from alexnet_lab.errors import UserError
from alexnet_lab.networks.geometry import (
    KERNELS_CONV1_TO_CONV5,
    UNITS_FC6_AND_FC7,
    feature_map_sizes,
    scaled_kernels,
    stem_edges,
)

UNLIMITED = float("inf")

# Knobs of ModelConfig that every architecture has, and those that each has besides; None: all of them.
COMMON_KNOBS = ("name", "architecture", "input_size", "stored_size", "pixel_scale")
ARCHITECTURES: dict[str, tuple[str, ...] | None] = {
    "alexnet": None,
    "lenet5": ("activation",),
    "cifar10_net": ("activation", "lrn"),
    "vgg11": ("dropout",),
    "vgg16": ("dropout",),
    "googlenet": ("dropout",),
    "resnet18": (),
    "resnet50": (),
}
NETWORKS_WITH_CONV1 = ("alexnet", "lenet5", "cifar10_net")  # whose first layer is named as the paper names it
SMALLEST_INPUT = {"lenet5": 12, "cifar10_net": 8}  # pixels; torchvision's networks divide the side by 32


class UnknownKeyError(UserError):
    """A key that no knob has; its message is the key."""


def knob(
    default: Any,
    meaning: str,
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[Any, ...] | None = None,
) -> Any:
    """One setting of a configuration class, with what it means and what it may be."""
    metadata = {"meaning": meaning, "unit": unit, "minimum": minimum, "maximum": maximum, "choices": choices}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass
class ModelConfig:
    """The network: what the paper's section 3 chooses, and what the original program chose."""

    name: str = knob("mini", "the preset's name, for tables and logs")
    architecture: str = knob("alexnet", "which network the other knobs describe", choices=tuple(ARCHITECTURES))
    towers: int = knob(2, "independent halves of the convolutional layers (section 3.2)", choices=(1, 2))
    communicating: bool = knob(True, "towers see each other at conv3 and fc6 (false: joined at fc8 alone)")
    half_kernels: bool = knob(
        False, "one tower with half the kernels in conv1 to conv4 (run 145-half of the original program)"
    )
    kernels: list[int] = knob(
        list(KERNELS_CONV1_TO_CONV5), "of conv1 to conv5, both towers together", unit="kernels", minimum=1
    )
    units: list[int] = knob(list(UNITS_FC6_AND_FC7), "of fc6 and fc7", unit="units", minimum=1)
    width: float = knob(
        0.25, "factor on the kernels of every convolution and the units of fc6 and fc7", minimum=0.01, maximum=8.0
    )
    without: str = knob(
        "none",
        "a layer to leave out; its activation and normalization go too, its pooling stays (section 7)",
        choices=("none", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"),
    )
    sixth_convolution: bool = knob(
        False, "conv6 over the last pooling layer, as large as conv5, seeing both towers (section 6.1's CNN*)"
    )
    lrn: bool = knob(True, "normalize across kernels (section 3.3)")
    lrn_layers: list[int] = knob([1, 2], "convolutions that lrn follows, 1 to 5; [] is lrn=false", minimum=1, maximum=5)
    lrn_per_tower: bool = knob(True, "no window leaves its tower (false: over all kernels, as Caffe does)")
    lrn_size: int = knob(5, "neighbouring kernels in one window", unit="kernels", minimum=1, maximum=255)
    lrn_alpha: float = knob(1e-4, "scale of the summed squares; lrn_alpha_convention says how", minimum=0.0)
    lrn_alpha_convention: str = knob(
        "per_window",
        "per_window: lrn_alpha / lrn_size times the sum (the original, Caffe, nn.LocalResponseNorm); "
        "per_element: lrn_alpha times the sum (the paper's formula)",
        choices=("per_window", "per_element"),
    )
    lrn_beta: float = knob(0.75, "exponent of the normalization", minimum=0.0, maximum=10.0)
    lrn_k: float = knob(2.0, "constant added to the summed squares", minimum=1e-6)
    spatial_normalization: bool = knob(
        True, "the original program's 5 x 5 normalization within each map of conv2; goes with conv2's lrn"
    )
    overlapping_pool: bool = knob(True, "pool 3 x 3 with stride 2 (section 3.4); false: 2 x 2 with stride 2")
    layer_order: str = knob(
        "original",
        "original: conv1 LRN-pool-ReLU, conv5 pool-ReLU; paper: ReLU-LRN-pool everywhere; caffenet: ReLU-pool-LRN",
        choices=("original", "paper", "caffenet"),
    )
    activation: str = knob(
        "relu",
        "nonlinearity of every hidden layer (section 3.1)",
        choices=("relu", "tanh", "leaky_relu", "gelu", "silu"),
    )
    dropout: float = knob(0.5, "probability of dropping a unit of fc6 and fc7 (section 4.2)", minimum=0.0, maximum=0.95)
    dropout_place: str = knob(
        "after", "drop what fc6 and fc7 give (section 4.2), or before them what they see", choices=("after", "before")
    )
    input_size: int = knob(48, "side of the crop that the network sees", unit="pixels", minimum=1, maximum=4096)
    stored_size: int = knob(64, "side of the stored picture that crops come from", unit="pixels", minimum=1)
    pixel_scale: float = knob(1.0, "factor on the pixels (0..255 minus their mean) before conv1", minimum=1e-6)
    stem_kernel_size: int = knob(5, "side of conv1's kernels", unit="pixels", minimum=1, maximum=63)
    stem_stride: int = knob(2, "stride of conv1", unit="pixels", minimum=1, maximum=63)
    stem_padding: str = knob(
        "ceiling",
        "around the picture: ceiling (the last window of conv1 hangs over the edge, as the original's does), none, "
        "or pixels on all sides (torchvision: 2)",
    )
    initialization: str = knob(
        "normal",
        "normal: init_std and init_bias (section 5); glorot: Keras's default; pytorch: PyTorch's",
        choices=("normal", "glorot", "pytorch"),
    )
    init_std: list[float] = knob(
        [0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01],
        "standard deviation of the initial weights, conv1 to fc8 (conv6 as conv5)",
        minimum=0.0,
    )
    init_bias: list[float] = knob([0, 1, 0, 1, 1, 1, 1, 0], "initial bias, conv1 to fc8 (conv6 as conv5)")


@dataclass
class DataConfig:
    """Where the pictures come from and how they are varied in training (section 4.1)."""

    source: str = knob(
        "fractals",
        "what kind of collection is read",
        choices=("fractals", "imagenet", "imagenette", "cifar10", "folder"),
    )
    root: str | None = knob(None, "folder of the collection, for every source but fractals")
    store_root: str = knob("datasets", "folder in which prepared collections are kept")
    image_size: int = knob(64, "side of the stored pictures", unit="pixels", minimum=16, maximum=1024)
    num_classes: int | None = knob(20, "classes (fractals alone; elsewhere counted)", minimum=2, maximum=100_000)
    train_images_per_class: int | None = knob(400, "training pictures a class (fractals)", minimum=1)
    val_images_per_class: int | None = knob(150, "validation pictures a class (fractals)", minimum=1)
    collection_seed: int = knob(0, "which collection of fractals", minimum=0, maximum=2**31)
    random_crop: bool = knob(True, "train on random crops (false: on the centre)")
    flip: bool = knob(True, "mirror half of the training pictures, left to right")
    color_noise: float = knob(
        0.1, "standard deviation of the noise along the principal colours; 0 switches it off", minimum=0.0, maximum=10.0
    )


@dataclass
class OptimizationConfig:
    """The recipe (section 5): v = 0.9 v - lr (gradient + decay w); w += v."""

    name: str = knob("mini", "the preset's name, for tables and logs")
    learning_rate: float = knob(0.01, "of the weights", minimum=0.0, maximum=100.0)
    bias_learning_rate_factor: float = knob(2.0, "the biases' learning rate over the weights'", minimum=0.0)
    momentum: float = knob(0.9, "of the velocity", minimum=0.0, maximum=0.9999)
    weight_decay: float = knob(5e-4, "on weights, not on biases", minimum=0.0, maximum=1.0)
    batch_size: int = knob(128, "training pictures a step, over all devices", unit="pictures", minimum=1)
    epochs: int = knob(90, "passes over the training set", unit="epochs", minimum=1)
    schedule: str = knob(
        "milestones",
        "divide the learning rate at fixed milestones, or when validation error stops improving",
        choices=("milestones", "plateau", "constant"),
    )
    milestones: list[float] = knob(
        [], "where the learning rate is divided, as fractions of the run", minimum=0.0, maximum=1.0
    )
    plateau_patience: int = knob(
        3, "epochs without a better validation error before a division", unit="epochs", minimum=0
    )
    divisor: float = knob(10.0, "what the learning rate is divided by", minimum=1.0)
    divisions: int = knob(3, "how often a plateau may divide it", minimum=0)
    divide_bias_rate: bool = knob(True, "the biases' rate is divided too (false: it stays, as in the original's runs)")
    conv1_milestones: list[float] = knob(
        [], "where conv1's rate alone is divided once more, as fractions of the run", minimum=0.0, maximum=1.0
    )
    freeze_conv1_at: float = knob(
        1.0, "where conv1's rate becomes 0, as a fraction of the run; 1: nowhere", minimum=0.0, maximum=1.0
    )
    color_noise_until: float = knob(
        1.0, "where data.color_noise ends, as a fraction of the run, to the next epoch", minimum=0.0, maximum=1.0
    )


@dataclass
class TrainerConfig:
    """Where and how long a run computes."""

    accelerator: str = knob("auto", "kind of device", choices=("auto", "cpu", "gpu"))
    devices: int = knob(1, "devices of one machine that share a run", minimum=1, maximum=1024)
    num_nodes: int = knob(1, "machines that share a run", minimum=1, maximum=4096)
    strategy: str = knob("auto", "how devices share the work", choices=("auto", "ddp"))
    precision: str = knob("32-true", "arithmetic", choices=("32-true", "16-mixed", "bf16-mixed", "64-true"))
    max_epochs: int = knob(1, "passes over the training set", unit="epochs", minimum=1)
    deterministic: bool = knob(False, "only algorithms that give the same bits each time")
    log_every_n_steps: int = knob(
        10, "steps between two rows of metrics.csv (each of the first 50 has one)", unit="steps", minimum=1
    )
    collective_timeout: int = knob(600, "how long ranks wait for each other", unit="seconds", minimum=1)
    progress_bar: bool = knob(True, "show a progress bar where there is a terminal")


@dataclass
class LoggerConfig:
    """Who else is told of the metrics. The run folder's metrics.csv is written in any case."""

    name: str = knob("none", "the tracker", choices=("none", "csv", "wandb"))
    project: str = knob("alexnet-lab", "project of the tracker (wandb)")


@dataclass
class RunConfig:
    """One training run."""

    seed: int = knob(
        0, "of the initial weights, the order and variation of pictures, and dropout", minimum=0, maximum=2**32 - 1
    )
    sweep: str | None = knob(None, "a sweep's name; its folder is runs/<sweep>/")
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimizationConfig = field(default_factory=OptimizationConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)


def register() -> None:
    """Make the classes known to Hydra under the names that `conf/` refers to."""
    store = ConfigStore.instance()
    store.store(name="run_schema", node=RunConfig)
    for group, node in (
        ("model", ModelConfig),
        ("data", DataConfig),
        ("optim", OptimizationConfig),
        ("trainer", TrainerConfig),
        ("logger", LoggerConfig),
    ):
        store.store(group=group, name="schema", node=node)


def typed(config: DictConfig) -> RunConfig:
    """The resolved configuration as plain dataclasses.

    Raises UserError when a value is missing, outside its range, or cannot work with the others.
    """
    _check_keys(config, RunConfig, "")
    run = OmegaConf.to_object(config)
    assert isinstance(run, RunConfig)
    check(run)
    return run


def check(run: RunConfig) -> None:
    """Raise UserError, in one line, for the first thing that cannot work."""
    _check_ranges(run, "")
    _check_names(run)
    _check_network(run)
    _check_data(run)
    _check_trainer(run)


def _check_keys(config: DictConfig, schema: type, prefix: str) -> None:
    """Refuse keys that the schema does not have, which Hydra's + adds without asking."""
    fields = {item.name: item.default_factory for item in dataclasses.fields(schema)}
    for key in map(str, config):
        if key not in fields:
            raise UnknownKeyError(prefix + key)
        child = fields[key]
        if isinstance(child, type) and dataclasses.is_dataclass(child):
            _check_keys(config[key], child, f"{prefix}{key}.")


def _check_ranges(node: Any, prefix: str) -> None:
    for item in dataclasses.fields(node):
        key, value = prefix + item.name, getattr(node, item.name)
        if dataclasses.is_dataclass(value):
            _check_ranges(value, key + ".")
            continue
        choices, unit = item.metadata.get("choices"), item.metadata.get("unit")
        low, high = item.metadata.get("minimum"), item.metadata.get("maximum")
        if choices is not None and value not in choices:
            raise UserError(f"{key}={value!s}: must be one of {', '.join(map(str, choices))}")
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                continue
            low_end = -UNLIMITED if low is None else low
            high_end = UNLIMITED if high is None else high
            # Written so that "not a number" fails too; infinity is never a usable setting.
            if not (low_end <= number <= high_end) or abs(number) == UNLIMITED:
                limits = f"at least {low}" if high is None else f"from {low} to {high}"
                if low is None and high is None:
                    limits = "a finite number"
                raise UserError(f"{key}={number}: must be {limits}{' ' + unit if unit else ''}")


def _check_names(run: RunConfig) -> None:
    for key, value in (("sweep", run.sweep),):
        if value is not None and (
            not value.strip()
            or value != value.strip()
            or value.startswith(".")
            or any(c in value for c in "/\\\0\n\"'")
        ):
            raise UserError(f"{key}={value!r}: must be a plain folder name, without slashes or quotes")


def _check_network(run: RunConfig) -> None:
    model = run.model
    if model.architecture == "alexnet":
        _check_alexnet(model)
    else:
        _check_neighbour(run)
    if model.input_size > run.data.image_size:
        raise UserError(
            f"model.input_size={model.input_size}: is larger than the stored pictures, "
            f"data.image_size={run.data.image_size}"
        )


def _check_alexnet(model: ModelConfig) -> None:
    for key, meant in (
        ("init_std", "conv1 to fc8"),
        ("init_bias", "conv1 to fc8"),
        ("kernels", "conv1 to conv5"),
        ("units", "fc6 and fc7"),
    ):
        needed, found = {"kernels": 5, "units": 2}.get(key, 8), len(getattr(model, key))
        if found != needed:
            raise UserError(f"model.{key}: needs {needed} numbers, {meant}; got {found}")
    if len(set(model.lrn_layers)) != len(model.lrn_layers):
        raise UserError(f"model.lrn_layers={model.lrn_layers}: names a layer twice")
    if model.half_kernels and model.towers != 1:
        raise UserError("model.half_kernels=true: is defined for one tower; add model.towers=1")
    if not model.communicating and model.towers == 1:
        raise UserError("model.communicating=false: needs model.towers=2; one tower has nobody to talk to")
    counts = scaled_kernels(model.width, model.half_kernels, model.communicating, model.kernels, model.units)
    names = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
    for name, count in zip(names, counts, strict=True):
        if count < 1 or count % model.towers:
            raise UserError(
                f"model.width={model.width}: gives {name} {count} kernels, which {model.towers} towers cannot share"
            )
    try:
        stem_edges(model.input_size, model.stem_kernel_size, model.stem_stride, model.stem_padding)
    except ValueError as error:
        raise UserError(f"model.stem_padding={model.stem_padding}: {error}") from None
    try:
        feature_map_sizes(
            model.input_size,
            model.stem_kernel_size,
            model.stem_stride,
            model.overlapping_pool,
            model.stem_padding,
            model.without,
        )
    except ValueError as error:
        raise UserError(f"model.input_size={model.input_size}: {error}") from None


def _check_neighbour(run: RunConfig) -> None:
    """A knob that the chosen network does not have would otherwise be ignored without a word."""
    model, defaults = run.model, ModelConfig()
    known = (*COMMON_KNOBS, *(ARCHITECTURES[model.architecture] or ()))
    for item in dataclasses.fields(model):
        value = getattr(model, item.name)
        if item.name not in known and value != getattr(defaults, item.name):
            raise UserError(f"model.{item.name}={value!s}: {model.architecture} has no such knob; AlexNet has")
    smallest = SMALLEST_INPUT.get(model.architecture, 32)
    if model.input_size < smallest:
        raise UserError(
            f"model.input_size={model.input_size}: is too small for {model.architecture}, which needs {smallest}"
        )
    if model.architecture not in NETWORKS_WITH_CONV1 and (run.optim.conv1_milestones or run.optim.freeze_conv1_at < 1):
        raise UserError(
            f"optim.freeze_conv1_at={run.optim.freeze_conv1_at}: {model.architecture} has no layer conv1; "
            "add optim.freeze_conv1_at=1 and optim.conv1_milestones=[], or choose another recipe"
        )


def _check_data(run: RunConfig) -> None:
    data = run.data
    if data.source == "fractals":
        if data.root is not None:
            raise UserError(f"data.root={data.root}: data=fractals is made here and reads no folder; drop data.root")
        if None in (data.num_classes, data.train_images_per_class, data.val_images_per_class):
            raise UserError("data=fractals: needs num_classes, train_images_per_class and val_images_per_class")
        check_top5(data.num_classes or 0)
        pictures = (data.num_classes or 0) * (data.train_images_per_class or 0)
        check_batch(run, pictures)
    else:
        if data.root is None:
            raise UserError(f"data={data.source}: needs data.root=DIR, the folder that holds the pictures")
        root = Path(data.root).expanduser()
        if not root.is_dir():
            raise UserError(f"data.root={data.root}: no such folder")
        if not os.access(root, os.R_OK | os.X_OK):
            raise UserError(f"data.root={data.root}: may not be read; check its permissions")


def check_top5(num_classes: int) -> None:
    """Raise UserError where a top-5 error would say nothing: with five classes or fewer it is always 0."""
    if num_classes <= 5:
        raise UserError(f"{num_classes} classes: top-5 error needs at least 6, with fewer it is always 0")


def check_batch(run: RunConfig, pictures: int) -> None:
    """Raise UserError where the training set does not fill one batch."""
    if run.optim.batch_size > pictures:
        raise UserError(
            f"optim.batch_size={run.optim.batch_size}: is larger than the training set, {pictures} pictures"
        )


def _check_trainer(run: RunConfig) -> None:
    trainer = run.trainer
    ranks = trainer.devices * trainer.num_nodes
    if ranks > 1 and trainer.strategy != "ddp":
        raise UserError(f"trainer.devices={trainer.devices}: several devices need trainer=ddp")
    if run.optim.batch_size % ranks:
        raise UserError(f"optim.batch_size={run.optim.batch_size}: cannot be shared equally by {ranks} devices")
    if trainer.precision == "16-mixed" and trainer.accelerator == "cpu":
        raise UserError("trainer.precision=16-mixed: needs a GPU; on a CPU use bf16-mixed or 32-true")
    if sorted(run.optim.conv1_milestones) != run.optim.conv1_milestones:
        raise UserError(f"optim.conv1_milestones={run.optim.conv1_milestones}: must be in rising order")
    if run.optim.schedule == "milestones" and sorted(run.optim.milestones) != run.optim.milestones:
        raise UserError(f"optim.milestones={run.optim.milestones}: must be in rising order")
