"""Values and combinations: what cannot work is refused in one line, before anything is written.

Ranges come from the declarations in options.py; the combinations that cannot work are here. Loads neither torch
nor Lightning.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from alexnet_lab.config.geometry import feature_map_sizes, scaled_kernels, stem_edges
from alexnet_lab.config.options import (
    ARCHITECTURES,
    COMMON_OPTIONS,
    ENSEMBLES,
    SINGLE,
    DataConfig,
    ModelConfig,
    RunConfig,
)
from alexnet_lab.core.errors import UserError

UNLIMITED = float("inf")
FETCHED = ("cifar10", "fashion_mnist", "imagenette", "imagewoof", "tiny_imagenet")  # where data.root does not hold them
OF_FILES = ("imagenette", "imagewoof", "tiny_imagenet", "imagenet", "folder")  # collections of image files
NETWORKS_WITH_CONV1 = ("alexnet", "lenet5", "cifar10_net")  # whose first layer is named as the paper names it
SMALLEST_INPUT = {"lenet5": 12, "cifar10_net": 8}  # pixels; torchvision's networks divide the side by 32


class UnknownKeyError(UserError):
    """A key that no option has; its message is the key."""


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
        if isinstance(value, str) and not value.strip():
            raise UserError(f"{key}={value!r}: must not be empty")
        choices, unit = item.metadata.get("choices"), item.metadata.get("unit")
        low, high = item.metadata.get("minimum"), item.metadata.get("maximum")
        if choices is not None and value not in choices:
            raise UserError(f"{key}={value!s}: must be one of {', '.join(map(str, choices))}")
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                if isinstance(value, list) and not isinstance(number, str):
                    raise UserError(f"{key}={value!s:.80}: must be a list of single values")
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
    name = run.sweep
    if name is not None and (
        not name.strip() or name != name.strip() or name.startswith(".") or any(c in name for c in "/\\\0\n\"'")
    ):
        raise UserError(f"sweep={name!r}: must be a plain folder name, without slashes or quotes")
    if name in (ENSEMBLES, SINGLE):
        raise UserError(f"sweep={name}: is the name of a folder for other things in runs/; choose another")


def _check_network(run: RunConfig) -> None:
    model = run.model
    if model.architecture == "alexnet":
        _check_alexnet(model)
    else:
        _check_neighbour(run)
    if model.input_size > run.data.image_size:
        raise UserError(
            f"model.input_size={model.input_size}: is larger than the stored images, "
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
    """An option that the chosen network does not have would otherwise be ignored without a word."""
    model, defaults = run.model, ModelConfig()
    known = (*COMMON_OPTIONS, *(ARCHITECTURES[model.architecture] or ()))
    for item in dataclasses.fields(model):
        value = getattr(model, item.name)
        if item.name not in known and value != getattr(defaults, item.name):
            raise UserError(f"model.{item.name}={value!s}: {model.architecture} has no such option; AlexNet has")
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


def typed_data(config: DictConfig) -> DataConfig:
    """The data group alone of a resolved configuration, for programs that train nothing; raises as `typed` does."""
    _check_keys(config, RunConfig, "")
    run = OmegaConf.to_object(config)
    assert isinstance(run, RunConfig)
    _check_ranges(run, "")
    _check_collection(run.data)
    return run.data


def _check_data(run: RunConfig) -> None:
    data = run.data
    _check_collection(data)
    if data.source == "fractals":
        check_top5(data.num_classes or 0)
        images = (data.num_classes or 0) * (data.train_images_per_class or 0)
        check_batch(run, images)


def _check_collection(data: DataConfig) -> None:
    if data.source == "fractals":
        if data.root is not None:
            raise UserError(f"data.root={data.root}: data=fractals is made here and reads no folder; drop data.root")
        if None in (data.num_classes, data.train_images_per_class, data.val_images_per_class):
            raise UserError("data=fractals: needs num_classes, train_images_per_class and val_images_per_class")
    elif data.source == "digits":
        if data.root is not None:
            raise UserError(f"data.root={data.root}: data=digits comes with scikit-learn; drop data.root")
    elif data.root is not None:
        root = Path(data.root).expanduser()
        is_to_be_made = data.source in FETCHED and not os.path.lexists(root) and root.parent.is_dir()
        if not root.is_dir() and not is_to_be_made:
            raise UserError(f"data.root={data.root}: no such folder")
        if root.exists() and not os.access(root, os.R_OK | os.X_OK):
            raise UserError(f"data.root={data.root}: may not be read; check its permissions")
    elif data.source not in FETCHED:
        raise UserError(f"data={data.source}: needs data.root=DIR, the folder that holds the images")
    _check_selection(data)


def _check_selection(data: DataConfig) -> None:
    """An option that the source does not have would otherwise be ignored without a word."""
    for key, sources in (
        ("classes", OF_FILES),
        ("train_fraction", (*OF_FILES, "fashion_mnist")),
        ("val_fraction", (*OF_FILES, "digits")),
        ("split_seed", (*OF_FILES, "digits", "fashion_mnist")),
        ("layout", ("imagenet", "folder")),
        ("url", FETCHED),
    ):
        if data.source not in sources and getattr(data, key) != getattr(DataConfig(), key):
            raise UserError(f"data.{key}: data={data.source} has no such choice; {', '.join(sources)} have")
    if len(set(data.classes)) < len(data.classes):
        raise UserError(f"data.classes={data.classes}: names a class twice")
    if len(data.classes) == 1:
        raise UserError(f"data.classes={data.classes}: names one class; there is nothing to tell apart")
    if data.url is not None and not data.url.startswith(("http://", "https://")):
        raise UserError(f"data.url={data.url}: must begin with http:// or https://")


def check_top5(num_classes: int) -> None:
    """Raise UserError where a top-5 error would say nothing: with five classes or fewer it is always 0."""
    if num_classes <= 5:
        raise UserError(f"{num_classes} classes: top-5 error needs at least 6, with fewer it is always 0")


def check_batch(run: RunConfig, images: int) -> None:
    """Raise UserError where the training set does not fill one batch."""
    if run.optim.batch_size > images:
        raise UserError(f"optim.batch_size={run.optim.batch_size}: is larger than the training set, {images} images")


def epochs_between_validations(epochs: int, validations: int | None) -> int:
    """The most epochs that divide the run equally and give it no fewer validations than asked for."""
    most = 1 if validations is None else max(1, epochs // validations)
    return next(every for every in range(most, 0, -1) if epochs % every == 0)


def _check_trainer(run: RunConfig) -> None:
    trainer = run.trainer
    ranks = trainer.devices * trainer.num_nodes
    if ranks > 1 and trainer.strategy != "ddp":
        raise UserError(f"trainer.devices={trainer.devices}: several devices need trainer=ddp")
    if run.optim.batch_size % ranks:
        raise UserError(f"optim.batch_size={run.optim.batch_size}: cannot be shared equally by {ranks} devices")
    if trainer.precision == "16-mixed" and trainer.accelerator == "cpu":
        raise UserError("trainer.precision=16-mixed: needs a GPU; on a CPU use bf16-mixed or 32-true")
    if run.optim.schedule == "plateau" and epochs_between_validations(trainer.max_epochs, run.optim.validations) > 1:
        raise UserError(
            f"optim.validations={run.optim.validations}: optim.schedule=plateau needs a validation after each epoch; "
            "use optim.validations=null"
        )
    if sorted(run.optim.conv1_milestones) != run.optim.conv1_milestones:
        raise UserError(f"optim.conv1_milestones={run.optim.conv1_milestones}: must be in rising order")
    if run.optim.schedule == "milestones" and sorted(run.optim.milestones) != run.optim.milestones:
        raise UserError(f"optim.milestones={run.optim.milestones}: must be in rising order")
    if not run.optim.divide_bias_rate and (run.optim.schedule in ("linear", "cosine") or run.optim.warmup):
        raise UserError(
            "optim.divide_bias_rate=false: keeps the biases' rate constant, which goes with schedule=milestones or "
            "plateau and warmup=0"
        )
