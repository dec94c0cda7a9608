"""Values and combinations: what cannot work is refused in one line, before anything is written.

Ranges come from the declarations of the options, and what cannot work within a group from its class; the other
combinations that cannot work are here. Loads neither torch nor Lightning.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from alexnet_lab.config.architectures import AlexNetConfig
from alexnet_lab.config.image_sources import FractalsConfig
from alexnet_lab.config.options import (
    CHOICES,
    ENSEMBLES,
    GROUPS,
    OWN,
    SINGLE,
    LoggerConfig,
    OptimizationConfig,
    OwnOptimizerConfig,
    RunConfig,
    named_parts,
    schema_of,
    with_arguments,
    without_others,
)
from alexnet_lab.config.own import ARGUMENTS, TARGET, OwnPart, is_own
from alexnet_lab.core.errors import UserError

UNLIMITED = float("inf")
# Optimizers that treat each weight by itself, so that a step of two halves of a layer is a step of the layer.
OF_EACH_WEIGHT = tuple(
    f"torch.optim.{name}"
    for name in ("SGD", "Adam", "AdamW", "Adagrad", "Adadelta", "Adamax", "ASGD", "NAdam", "RAdam", "RMSprop", "Rprop")
)
AVERAGES_WEIGHTS = ("StochasticWeightAveraging", "WeightAveraging", "EMAWeightAveraging")  # of Lightning's callbacks
ONE_VALUE = {"int", "float", "bool", "str", "None"}  # types of options that have one value


class UnknownKeyError(UserError):
    """A key that the run does not have; its message is the key."""


def typed(config: DictConfig, chosen: Mapping[str, Any] | None = None) -> RunConfig:
    """The resolved configuration as plain dataclasses.

    chosen: by group, the name of the option that was chosen, by which parts of one's own are called.
    Raises UserError when a value is missing, outside its range, or cannot work with the others.
    """
    run = _with_classes(config)
    _name_own_parts(run, chosen or {})
    check(run)
    return run


def _with_classes(config: DictConfig) -> RunConfig:
    schema = schema_of(config)
    _refuse_two_classes(config)
    settings: Any = OmegaConf.to_container(config)
    if any(OmegaConf.get_type(config, group) is not type(getattr(schema, group)) for group in CHOICES):
        # Where a preset of somebody's own begins with the schema of another option than it then chooses.
        settings = without_others(settings)
    config = OmegaConf.create(with_arguments(settings))
    _check_keys(config, schema, "")
    run = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), config))
    assert isinstance(run, RunConfig)
    _refuse_whole_groups(run, "")
    for options in (run, *(getattr(run, group) for group in GROUPS)):
        _take_aliases(options)
    run.trainer.settle()
    if isinstance(run.logger, LoggerConfig):
        run.logger.settle()
    return run


def _refuse_whole_groups(node: Any, prefix: str) -> None:
    """Refuse an option whose value refers to a group or a list where it is one value, as KEY=${model} does."""
    for item in dataclasses.fields(node):
        key, value, kind = prefix + item.name, getattr(node, item.name), str(item.type).replace(" ", "")
        if kind.endswith("Config"):
            _refuse_whole_groups(value, f"{key}.")
        elif dataclasses.is_dataclass(value) or (isinstance(value, (dict, list)) and set(kind.split("|")) <= ONE_VALUE):
            raise UserError(f"{key}: refers to more than a value of its own; say {key}=VALUE")


def _refuse_two_classes(config: DictConfig) -> None:
    """Refuse a class of one's own on top of a built-in option, whose own options would then mean nothing."""
    for group, kind in OWN.items():
        if OmegaConf.is_missing(config[group], TARGET):
            raise UserError(f"{group}: needs {group}.{TARGET}=package.module.Class, and its arguments")
        chosen = OmegaConf.get_type(config, group)
        if is_own(config[group]) and dataclasses.is_dataclass(chosen) and chosen not in (*kind.__mro__, kind):
            raise UserError(
                f"{group}.{TARGET}={config[group][TARGET]!s:.80}: cannot be put onto an option that is built in; say "
                f"{group}=own {group}.{TARGET}=... and its arguments"
            )


def _name_own_parts(run: RunConfig, chosen: Mapping[str, Any]) -> None:
    """Parts of one's own are called as their option is, unless that is the one for a command line alone."""
    for group, key in (("model", "name"), ("data", "source"), ("optim", "name"), ("logger", "name")):
        part, name = getattr(run, group), chosen.get(group)
        if isinstance(part, OwnPart) and not getattr(part, key):
            setattr(part, key, name if name and name != "own" else part._target_.rpartition(".")[2])


def _take_aliases(options: Any) -> None:
    """Values under other programs' names get the name that they have here."""
    for item in dataclasses.fields(options):
        value = getattr(options, item.name)
        for alias, name in item.metadata.get("aliases", {}).items():
            if value == alias and type(value) is type(alias):
                setattr(options, item.name, name)


def check(run: RunConfig) -> None:
    """Raise UserError, in one line, for the first thing that cannot work."""
    _check_form(run)
    for group, (key, classes) in CHOICES.items():
        part = getattr(run, group)
        if not isinstance(part, OwnPart) and (chosen := getattr(part, key)) not in classes:
            raise UserError(f"{group}.{key}={chosen}: must be one of {', '.join(classes)}")
    run.trainer.check_devices()
    _check_ranges(run, "")
    _check_names(run)
    _check_network(run)
    _check_data(run)
    _check_trainer(run)
    run.logger.check()


def _check_form(run: RunConfig) -> None:
    """Raise UserError for what names no class, or says something of none. Imports nothing."""
    if run.loss and not is_own(run.loss):
        raise UserError(f"loss.{next(iter(run.loss))}: says nothing without loss._target_=package.module.Class")
    if not isinstance(run.optim.schedule, str) and not is_own(run.optim.schedule):
        raise UserError(f"optim.schedule={run.optim.schedule!s:.80}: must be a word, or have a {TARGET}")
    if run.freeze is not None and run.freeze != "features" and not run.freeze.startswith("up-to-"):
        raise UserError(f"freeze={run.freeze!s:.80}: must be features, none, or up-to-NAME as in up-to-conv3")
    if run.freeze is not None and run.init_from is None:
        raise UserError(f"freeze={run.freeze}: would keep random weights; name trained ones with init_from=RUN")
    for group in ("callbacks", "augmentation"):
        for name, part in getattr(run, group).items():
            if not is_own(part):
                raise UserError(f"{group}.{name}: needs a {TARGET}, as in {group}.{name}.{TARGET}=package.module.Class")
    for key, target in named_parts(run):
        words = target.split(".") if isinstance(target, str) else []
        if len(words) < 2 or not all(word.isidentifier() for word in words):
            raise UserError(f"{key}.{TARGET}={target!s:.80}: must name a class or function as package.module.Name")


def _check_keys(config: DictConfig, schema: Any, prefix: str) -> None:
    """Refuse keys that the schema does not have, which Hydra's + adds without asking."""
    for key in map(str, config):
        if key not in schema.__dataclass_fields__:
            raise UnknownKeyError(prefix + key)
        if dataclasses.is_dataclass(child := getattr(schema, key)):
            _check_keys(config[key], child, f"{prefix}{key}.")


def _check_ranges(node: Any, prefix: str) -> None:
    for item in dataclasses.fields(node):
        key, value = prefix + item.name, getattr(node, item.name)
        if dataclasses.is_dataclass(value):
            _check_ranges(value, key + ".")
            continue
        if isinstance(value, str) and not value.strip():
            raise UserError(f"{key}={value!r}: must not be empty")
        if item.name == ARGUMENTS or isinstance(value, dict):
            continue  # of a part of one's own, which knows what it takes
        if isinstance(value, str) and (advice := item.metadata.get("instead", {}).get(value)):
            raise UserError(f"{key}={value}: {advice}")
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
    model.check()
    paper = run.optim if isinstance(run.optim, OptimizationConfig) else None
    if paper is not None and not model.HAS_CONV1 and (paper.conv1_milestones or paper.freeze_conv1_at < 1):
        raise UserError(
            f"optim.freeze_conv1_at={paper.freeze_conv1_at}: {model.name} has no layer conv1; "
            "add optim.freeze_conv1_at=1 and optim.conv1_milestones=[], or choose another recipe"
        )
    if model.input_size > run.data.image_size:
        raise UserError(
            f"model.input_size={model.input_size}: is larger than the stored images, "
            f"data.image_size={run.data.image_size}"
        )


def typed_data(config: DictConfig, chosen: Mapping[str, Any] | None = None) -> RunConfig:
    """As `typed`, with the data group alone checked, for programs that train nothing."""
    run = _with_classes(config)
    _name_own_parts(run, chosen or {})
    _check_form(run)
    _check_ranges(run, "")
    run.data.check()
    return run


def _check_data(run: RunConfig) -> None:
    data = run.data
    data.check()
    if isinstance(data, FractalsConfig):
        check_batch(run, data.num_classes * data.train_images_per_class)


def check_batch(run: RunConfig, images: int) -> None:
    """Raise UserError where the training set does not fill one batch."""
    if run.optim.batch_size > images:
        raise UserError(f"optim.batch_size={run.optim.batch_size}: is larger than the training set, {images} images")


def epochs_between_validations(epochs: int, validations: int | None, asked: int | None = None) -> int:
    """The most epochs that divide the run equally and give it no fewer validations than asked for.

    asked: as trainer.check_val_every_n_epoch has it, which comes first.
    """
    most = min(asked, epochs) if asked is not None else 1 if validations is None else max(1, epochs // validations)
    return next(every for every in range(most, 0, -1) if epochs % every == 0)


def _check_trainer(run: RunConfig) -> None:
    trainer = run.trainer
    trainer.check()
    ranks = trainer.devices * trainer.num_nodes
    if ranks > 1 and trainer.strategy == "auto":
        raise UserError(f"trainer.devices={trainer.devices}: several devices need trainer=ddp")
    if trainer.strategy == "towers":
        _check_towers(run)
    if run.optim.batch_size % trainer.shares:
        among = f"{ranks} devices" if trainer.shares == ranks else f"{trainer.shares} pairs of devices"
        raise UserError(f"optim.batch_size={run.optim.batch_size}: cannot be shared equally by {among}")
    if trainer.precision == "16-mixed" and trainer.accelerator == "cpu":
        raise UserError("trainer.precision=16-mixed: needs a GPU; on a CPU use bf16-mixed or 32-true")
    every = epochs_between_validations(trainer.max_epochs, run.optim.validations, trainer.check_val_every_n_epoch)
    if run.optim.schedule == "plateau" and every > 1:
        key, value = "optim.validations", run.optim.validations
        if trainer.check_val_every_n_epoch is not None:
            key, value = "trainer.check_val_every_n_epoch", trainer.check_val_every_n_epoch
        raise UserError(f"{key}={value}: optim.schedule=plateau needs a validation after each epoch; use {key}=null")
    if sorted(run.optim.milestones) != run.optim.milestones:
        raise UserError(f"optim.milestones={run.optim.milestones}: must be in rising order")
    if isinstance(run.optim, OptimizationConfig):
        _check_rates_of_their_own(run.optim)
    elif run.optim.learning_rate_rule != "none" and getattr(run.optim, "learning_rate", None) is None:
        raise UserError(
            f"optim.learning_rate_rule={run.optim.learning_rate_rule}: needs the rate that it is to change; say "
            "optim.learning_rate=..."
        )


def _check_towers(run: RunConfig) -> None:
    """Refuse what has no two towers, and what would need more than a process has of the network."""
    trainer, optim = run.trainer, run.optim
    if not isinstance(run.model, AlexNetConfig):
        raise UserError(f"model={run.model.name}: has no towers to put on two devices; use trainer=ddp")
    if run.model.towers != 2:
        raise UserError("model.towers=1: trainer=towers puts two towers on two devices; use trainer=ddp")
    if trainer.devices * trainer.num_nodes % 2:
        raise UserError(
            f"trainer.devices={trainer.devices}: trainer=towers needs two devices for each network; say an even number"
        )
    if trainer.precision == "16-mixed":
        raise UserError(
            "trainer.precision=16-mixed: each tower would scale its gradients by itself; use bf16-mixed or 32-true"
        )
    if isinstance(optim, OwnOptimizerConfig) and optim._target_ not in OF_EACH_WEIGHT:
        names = ", ".join(target.rpartition(".")[2] for target in OF_EACH_WEIGHT)
        raise UserError(
            f"optim._target_={optim._target_}: may look at more of a layer than one tower has of it; with "
            f"trainer=towers choose from torch.optim's {names}, or use trainer=ddp"
        )
    for name, part in run.callbacks.items():
        if part[TARGET].rpartition(".")[2] in AVERAGES_WEIGHTS:
            raise UserError(
                f"callbacks.{name}: keeps weights of its own, of which a process with one tower has half; use "
                "trainer=ddp"
            )


def _check_rates_of_their_own(optim: OptimizationConfig) -> None:
    if optim.earlier_layers_rate_factor != 1 and (
        optim.conv1_milestones or optim.freeze_conv1_at < 1 or not optim.divide_bias_rate
    ):
        raise UserError(
            f"optim.earlier_layers_rate_factor={optim.earlier_layers_rate_factor}: goes with the rates of conv1 and of "
            "biases that the schedule sets; drop conv1_milestones, freeze_conv1_at and divide_bias_rate=false"
        )
    if sorted(optim.conv1_milestones) != optim.conv1_milestones:
        raise UserError(f"optim.conv1_milestones={optim.conv1_milestones}: must be in rising order")
    if not optim.divide_bias_rate and (optim.schedule not in ("milestones", "plateau", "constant") or optim.warmup):
        raise UserError(
            "optim.divide_bias_rate=false: keeps the biases' rate constant, which goes with schedule=milestones or "
            "plateau and warmup=0"
        )
