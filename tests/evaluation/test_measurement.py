"""What is measured of a finished run, against the run's own result and sums done by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.prepare import prepare_store
from alexnet_lab.data.sources import make_source
from alexnet_lab.evaluation import rivals
from alexnet_lab.evaluation.figures import draw_figures
from alexnet_lab.evaluation.kernels import RANDOM_HALVES, colour_numbers, colour_share
from alexnet_lab.evaluation.measurement import measure_run, measure_together
from alexnet_lab.evaluation.members import load_members
from alexnet_lab.evaluation.neighbours import nearest, neighbour_numbers
from alexnet_lab.evaluation.rivals import RIVALS, all_scores, fisher_vector, measure_rival, pooled_codes
from alexnet_lab.runs.measured import measured_file, read_answers, read_numbers
from alexnet_lab.runs.result import read_result
from config.test_config import composed
from leaf_images import leaf_run, make_leaves, trained
from networks.made import alexnet

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs on leaves, of two towers."""
    folder = tmp_path_factory.mktemp("measured")
    make_leaves(folder / "leaves")
    return [
        trained(
            leaf_run(folder, "model.towers=2", "model.pool_rounding=ceiling", "optim.epochs=2", f"seed={seed}"),
            folder / f"run_seed-{seed}",
        )
        for seed in (0, 1)
    ]


def test_answers_give_the_results_errors_and_are_measured_once(runs: list[Path]) -> None:
    wanted = ["val-centre", "val-ten-crop", "train-centre", "kernels", "neighbours"]
    assert measure_run(runs[0], wanted)
    metrics = read_result(runs[0])["metrics"]
    found = read_answers(runs[0], "val-centre")
    assert found.wrong(1).mean() == pytest.approx(100 * metrics["val_top1_error"], abs=1e-4)
    assert found.wrong(5).mean() == pytest.approx(100 * metrics["val_top5_error"], abs=1e-4)
    assert len(found.labels) == 30
    assert len(read_answers(runs[0], "train-centre").labels) == 120
    before = {path: path.read_bytes() for path in (runs[0] / "evaluation" / "measured").iterdir()}
    assert not measure_run(runs[0], wanted)
    for path in before:
        path.unlink()
    measure_run(runs[0], wanted)
    assert before == {path: path.read_bytes() for path in before}  # the same bytes when measured again


def test_two_runs_together_are_the_mean_of_their_softmax(runs: list[Path]) -> None:
    assert measure_together(runs, "centre", "together")
    members, store = load_members(runs, "last", {})
    images = torch.from_numpy(np.array(store.images("val")[:]))
    mean = 0.0
    with torch.no_grad():
        for member in members:
            views = (images.float() - member.pixel_mean)[:, 2:35, 2:35].permute(0, 3, 1, 2)
            mean = mean + member.network(views).double().softmax(1) / 2
    found = read_answers(runs[0], "together")
    assert np.array_equal(found.classes[:, 0], mean.argmax(1).numpy())
    truth = mean.gather(1, torch.from_numpy(store.labels("val"))[:, None])[:, 0]
    assert found.probability == pytest.approx(truth.numpy(), abs=1e-6)


def test_the_colour_share_of_kernels(runs: list[Path]) -> None:
    grey = np.ones((1, 3, 2, 2))
    red = np.zeros((1, 3, 2, 2))
    red[:, 0] = 1
    assert colour_share(np.concatenate([grey, red])) == pytest.approx([0, 2 / 3])

    network = alexnet(10, width=0.25)
    with torch.no_grad():
        network.conv1.conv.weight[:12] = network.conv1.conv.weight[:12, :1]  # the first tower sees no colours
    found = colour_numbers(network)
    assert found["tower_1"] == pytest.approx(0, abs=1e-9)
    assert found["gap"] == pytest.approx(found["tower_2"])
    assert found["p"] == 1 / (1 + RANDOM_HALVES)
    assert found["gap_above_random"] > 30
    untrained = colour_numbers(alexnet(10, width=0.25))
    assert abs(untrained["gap_above_random"]) < 3
    with pytest.raises(UserError, match=r"choose a network with model\.towers=2"):
        colour_numbers(alexnet(10, width=0.25, towers=1))


def test_the_nearest_are_those_of_a_loop_over_all(runs: list[Path]) -> None:
    draw = np.random.default_rng(0)
    asked, known = draw.normal(size=(5, 7)), draw.normal(size=(50, 7))
    by_hand = [sorted(range(50), key=lambda row: float(((known[row] - one) ** 2).sum()))[:6] for one in asked]
    assert nearest(torch.tensor(asked), torch.tensor(known)).tolist() == by_hand

    [member], store = load_members(runs[:1], "last", {})
    numbers = neighbour_numbers(member, store, torch.device("cpu"))
    assert numbers["precision_pixels"] > 90  # leaves differ in colour alone, which pixels tell


def test_figures_are_the_same_bytes_again(runs: list[Path], tmp_path: Path) -> None:
    names = ["kernels", "top5", "neighbours", "confusion", "misclassified"]
    files = [draw_figures(runs[0], tmp_path / out, names) for out in ("a", "b")]
    for one, other in zip(*files, strict=True):
        assert one.read_bytes().startswith(b"\x89PNG")
        assert one.read_bytes() == other.read_bytes()


def test_a_fisher_vector_is_the_gradient_of_the_likelihood() -> None:
    """By automatic differentiation of the mixture's log-likelihood, scaled by the Fisher information (Sanchez 2013)."""
    draw = np.random.default_rng(0)
    descriptors, means = draw.normal(size=(9, 4)), draw.normal(size=(3, 4))
    weights, variances = np.array([0.2, 0.3, 0.5]), draw.uniform(0.5, 2.0, (3, 4))
    mu = torch.tensor(means, requires_grad=True)
    sigma = torch.tensor(np.sqrt(variances), requires_grad=True)
    each = torch.distributions.Normal(mu, sigma).log_prob(torch.tensor(descriptors)[:, None]).sum(2)
    (each + torch.tensor(weights).log()).logsumexp(1).mean().backward()
    by_mean = mu.grad.numpy() * np.sqrt(variances) / np.sqrt(weights)[:, None]
    by_deviation = sigma.grad.numpy() * np.sqrt(variances) / np.sqrt(2 * weights)[:, None]
    raw = np.concatenate([by_mean.ravel(), by_deviation.ravel()])
    expected = np.sign(raw) * np.sqrt(np.abs(raw))
    found = fisher_vector(*(array.astype(np.float32) for array in (descriptors, weights, means, variances)))
    assert found == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)


def test_codes_are_pooled_over_the_image_and_its_quarters() -> None:
    codes = np.array([[1.0, 0.0], [0.0, -3.0], [2.0, 0.5]])
    places = np.array([[0.1, 0.1], [0.9, 0.1], [0.2, 0.8]])
    raw = np.array([2, 3, 1, 0, 0, 3, 2, 0.5, 0, 0])
    assert pooled_codes(codes, places) == pytest.approx(raw / np.linalg.norm(raw))


def test_scores_of_two_classes_come_as_one_column() -> None:
    assert all_scores(np.array([1.5, -2.0]), np.array([0, 2]), 3).tolist() == [[-1.5, -1e9, 1.5], [2.0, -1e9, -2.0]]


@pytest.mark.parametrize("name", sorted(RIVALS))
def test_a_rival_learns_and_is_asked_about_the_networks_images(
    name: str, runs: list[Path], tmp_path: Path, store_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for size, value in (("GAUSSIANS", 4), ("ATOMS", 16), ("SAMPLE", 2000)):
        monkeypatch.setattr(rivals, size, value)
    measure_run(runs[0], ["val-centre"])
    measure_rival(name, tmp_path / "rival", runs[0], ["val-centre", "val-ten-crop"])
    found, network = read_answers(tmp_path / "rival", "val-centre"), read_answers(runs[0], "val-centre")
    assert found.images == network.images
    assert np.array_equal(found.labels, network.labels)
    assert read_numbers(tmp_path / "rival", "rival")["C"] in rivals.PENALTIES
    first = measured_file(tmp_path / "rival", "val-ten-crop", "npz").read_bytes()
    assert first == measured_file(tmp_path / "rival", "val-centre", "npz").read_bytes()
    with pytest.raises(UserError, match="is measured of networks alone"):
        measure_rival(name, tmp_path / "other", runs[0], ["train-centre"])

    sizes = ("data.num_classes=6", "data.train_images_per_class=30", "data.val_images_per_class=10")
    data = composed(*sizes, f"data.store_root={store_root}").data
    store = prepare_store(store_root, make_source(data))
    answers, _ = rivals.train_and_ask(name, store, 0)
    assert answers.wrong(1).mean() < 100 * (1 - 1 / 6) - 10  # six shapes: better than guessing
