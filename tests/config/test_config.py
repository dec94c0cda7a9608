"""Every option of every group composes into a checked configuration; the schema declares each option once."""

from __future__ import annotations

import dataclasses
from itertools import product
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from alexnet_lab.claims.experiment import load_experiment
from alexnet_lab.config import schema
from alexnet_lab.config.checks import epochs_between_validations, typed
from alexnet_lab.config.options import CHOICES, GROUPS, RunConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.paths import CONF, EXPERIMENTS
from alexnet_lab.networks.build import build_network
from alexnet_lab.runs import paths


def composed(*overrides: str) -> RunConfig:
    schema.register()
    paths.register_resolver()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return typed(compose("train", list(overrides)))


def options(group: str) -> list[str]:
    return sorted(
        file.stem for file in (CONF / group).glob("*.yaml") if file.stem != "own"
    )  # which has to be told more


def test_every_option_says_what_it_means() -> None:
    chosen = {group: list(classes.values()) for group, (_, classes) in CHOICES.items()}
    for group in GROUPS:
        for kind in (type(getattr(RunConfig(), group)), *chosen.get(group, [])):
            assert all(item.metadata.get("meaning") for item in dataclasses.fields(kind)), kind


TWO_TOWERS = ("mini", "alexnet", "alexnet_paper", "alexnet_caffe")  # presets that have all that the paper takes away

# Parameters with 1000 classes, each known from elsewhere: arithmetic, torchvision's and Keras's own counts.
PARAMETERS = {
    "alexnet": 60_965_224,
    "alexnet_paper": 60_965_224,
    "alexnet_caffe": 60_965_224,
    "alexnet_torchvision": 61_100_840,
    "alexnet_keras": 62_378_344,
    "mini": 2_286_920,
    "mini_fashion": 2_483_528,
    "lenet5": 146_156,
    "cifar10_net": 1_104_328,
    "cifar10_local_net": 2_257_960,
    "vgg11": 132_863_336,
    "vgg16": 138_357_544,
    "googlenet": 6_624_904,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
}


@pytest.mark.parametrize("model", TWO_TOWERS)
def test_every_variant_composes_at_every_scale(model: str) -> None:
    for variant in load_experiment("ablations").variants.values():
        run = composed(f"model={model}", *variant.overrides)
        for override in variant.overrides:
            key, value = override.split("=")
            assert str(OmegaConf.select(OmegaConf.structured(run), key)).lower() == value


@pytest.mark.parametrize("model", options("model"))
def test_every_network_is_built_with_the_parameters_that_it_is_known_for(model: str) -> None:
    run = composed(f"model={model}")
    assert run.model.name == model
    with torch.device("meta"):
        network = build_network(run.model, 1000)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[model]


def test_every_option_of_the_other_groups_composes(tmp_path: Path) -> None:
    for optim, trainer, logger in product(options("optim"), options("trainer"), options("logger")):
        run = composed(f"optim={optim}", f"trainer={trainer}", f"logger={logger}", "trainer.accelerator=cpu")
        assert run.trainer.max_epochs == run.optim.epochs
    assert composed("data=digits", "model=lenet5").data.image_size == 32
    for data in set(options("data")) - {"fractals", "digits"}:
        assert composed(f"data={data}", f"data.root={tmp_path}", "model=alexnet").data.image_size == 256


def test_the_real_network_comes_with_its_recipe_unless_another_is_asked_for() -> None:
    assert composed("model=alexnet").optim.name == "original"
    assert composed("model=alexnet", "optim=paper").optim.name == "paper"
    assert composed().optim.name == "mini"


def test_a_configuration_file_of_a_run_is_the_schema_again() -> None:
    run = composed("model.lrn=false", "data.flip=false")
    again = OmegaConf.merge(
        OmegaConf.structured(RunConfig), OmegaConf.create(OmegaConf.to_yaml(OmegaConf.structured(run)))
    )
    assert typed(again) == run


@pytest.mark.parametrize("name", sorted(file.stem for file in EXPERIMENTS.glob("*.yaml")))
def test_every_experiment_can_be_read(name: str) -> None:
    experiment = load_experiment(name)
    assert experiment.base in experiment.variants
    assert experiment.command


def test_an_experiment_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(UserError, match="choose from ablations"):
        load_experiment("ablation")


def test_validations_are_equally_spread_and_end_with_the_run() -> None:
    assert epochs_between_validations(48, 12) == 4
    assert epochs_between_validations(50, 12) == 2  # 4 does not divide 50
    assert epochs_between_validations(3, 12) == 1
    assert epochs_between_validations(90, None) == 1


def test_a_plateau_goes_with_every_number_of_epochs_that_are_all_validated() -> None:
    plateau = ("optim.schedule=plateau", "optim.validations=6")
    assert composed(*plateau, "optim.epochs=13").optim.validations == 6  # 13 is prime: each epoch is validated
    with pytest.raises(UserError, match="needs a validation after each epoch"):
        composed(*plateau, "optim.epochs=12")
