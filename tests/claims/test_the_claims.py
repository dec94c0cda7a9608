"""Every claim of the paper: its file composes at both scales, shares its runs, and takes its first steps."""

from __future__ import annotations

import io
import tarfile

import pytest

from alexnet_lab.claims.experiment import (
    Experiment,
    claim_names,
    experiment_names,
    load_experiment,
    scale_definition,
    scale_names,
)
from alexnet_lab.cli.preflight import check_machine
from alexnet_lab.cli.reproduction_request import read_requests
from alexnet_lab.config.options import RunConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.paths import EXPERIMENTS
from config.test_config import composed
from data.made_collections import cifar_archive
from leaf_images import make_leaves, trained

# FACTS of the paper, one id for each claim that can be measured, and the run that it leaves out.
CLAIMS = {
    "towers", "two-gpu-time", "relu", "lrn", "lrn-cifar", "pool", "crops", "pca", "ten-crop", "dropout", "weight-decay",
    "schedule", "table-1", "table-2", "depth", "kernels", "top5", "neighbours", "run150",
}  # fmt: skip
# What makes 20 steps a matter of a second: the geometry, the recipe and the data path stay.
TINY = ("optim.batch_size=10", "trainer=cpu", "logger=none")
NARROW = ("model.width=0.0625", "model.units=[512,512]")
STEPS = 20
WNIDS = ("n01440764", "n01443537", "n01484850", "n02119789", "n03095699", "n03792782")


def overrides(experiment: Experiment, scale: str, variant: str) -> list[str]:
    """What a run of a variant composes, its option tuned to the first of the values."""
    tuned = [] if experiment.tuning is None else [f"{experiment.tuning.option}={experiment.tuning.values[0]}"]
    data = experiment.data_at(scale)
    common = [f"data={data}", *experiment.common_overrides(scale, data)]
    return [*common, *experiment.overrides_of(variant, scale), *tuned]


@pytest.fixture(scope="session")
def collections(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Overrides that name a miniature of each collection."""
    folder = tmp_path_factory.mktemp("collections")
    make_leaves(folder / "imagenet", WNIDS)
    (folder / "cifar").mkdir()
    with tarfile.open(fileobj=io.BytesIO(cifar_archive()[0])) as archive:
        archive.extractall(folder / "cifar", filter="data")
    store = f"data.store_root={folder / 'datasets'}"
    return {
        "imagenet": [f"data.root={folder / 'imagenet'}", store],
        "cifar10": [f"data.root={folder / 'cifar'}", store],
        "fractals": [store],
    }


def test_there_is_a_file_for_every_claim() -> None:
    assert set(claim_names()) >= CLAIMS


@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_a_file_opens_with_the_paper_what_is_expected_the_time_and_the_command(name: str) -> None:
    text = (EXPERIMENTS / f"{name}.yaml").read_text()
    head = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    for words in ("paper", "# Expected: ", "mini: two CPU cores, ", "paper: ", f"#   make reproduce CLAIM={name}\n"):
        assert words in head
    assert load_experiment(name).command == f"make reproduce CLAIM={name}"
    assert set(load_experiment(name).scales) == set(scale_names())


@pytest.mark.parametrize("scale", ["mini", "paper"])
@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_every_variant_composes_at_both_scales(name: str, scale: str, collections: dict[str, list[str]]) -> None:
    experiment = load_experiment(name)
    own = collections[experiment.data_at(scale)]
    for variant in experiment.trained:
        run = composed(*overrides(experiment, scale, variant), *own)
        assert run.model.number_of_parameters(10) > 0


@pytest.mark.parametrize("scale", ["mini", "paper"])
def test_runs_of_one_name_are_the_same_run_in_every_claim(scale: str) -> None:
    """Claims of a scale share a folder: a variant of the same name is trained once, so it must be the same."""
    found: dict[str, list[str]] = {}
    for name in experiment_names():
        experiment = load_experiment(name)
        for variant in experiment.trained:
            made = overrides(experiment, scale, variant)
            assert found.setdefault(variant, made) == made, f"{name}: {variant}"
    assert len(found) >= 20


def test_the_cheapest_claims_come_first_and_none_takes_more_than_twenty_minutes() -> None:
    requests = read_requests(["experiment=all"])
    minutes = [request.experiment.scales["mini"].minutes for request in requests]
    assert minutes == sorted(minutes)
    assert max(minutes) <= 20
    alone = {name for request in requests for name in request.experiment.trained}
    assert len(alone) < sum(len(request.experiment.trained) for request in requests) / 1.5  # much is shared


def test_the_requests_at_a_scale_share_a_folder_and_cifar_stays_where_it_is() -> None:
    requests = {one.experiment_name: one for one in read_requests(["experiment=all", "scale=paper", "data.root=/d"])}
    assert {one.sweep for one in requests.values()} == {"paper"}
    assert requests["towers"].passed_on == ["data.root=/d"]
    assert (requests["relu"].data, requests["relu"].passed_on) == ("cifar10", [])
    [fashion] = read_requests(["experiment=towers", "data=fashion_mnist", "data.root=/d"])
    assert (fashion.scale, fashion.sweep) == ("mini", "mini-fashion_mnist")
    assert fashion.overrides()[2:6] == ["data=fashion_mnist", *scale_definition("mini")["overrides"]["fashion_mnist"]]
    [photographs] = read_requests(["experiment=towers", "data=imagenet"])
    assert (photographs.scale, photographs.sweep) == ("paper", "paper")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("experiment=towers scale=huge", "scale=huge: no such scale; choose from mini, paper"),
        ("experiment=ablations seeds=auto", "has no rows"),
        ("experiment=towers minutes=5", "minutes=: is the budget of seeds=auto"),
        ("experiment=towers seeds=0", "seeds=0: must be a whole number"),
        ("experiment=all model.lrn=true,false", "one value for all of its runs"),
    ],
)
def test_what_cannot_be_asked_ends_in_one_line(arguments: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_requests(arguments.split())


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CLAIMS - {"two-gpu-time"}))
def test_every_variant_takes_its_first_steps_at_the_papers_scale(
    name: str, collections: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With a miniature of its collection, through the preflight check; a variant that claims share is run once."""
    experiment = load_experiment(name)
    data = experiment.data_at("paper")
    for variant in experiment.trained:
        made = overrides(experiment, "paper", variant)
        if (key := tuple(made)) in _DONE:
            continue
        narrow = NARROW if "model=alexnet" in made else ()
        images = 6 * 20 if data == "imagenet" else 50
        run: RunConfig = composed(*made, *collections[data], *TINY, *narrow, f"optim.epochs={-(-STEPS * 10 // images)}")
        folder = tmp_path_factory.mktemp(variant)
        check_machine(run, folder)
        trained(run, folder)
        assert (folder / "result.json").exists()
        _DONE.add(key)


_DONE: set[tuple[str, ...]] = set()
