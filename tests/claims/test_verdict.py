"""From run folders to a verdict, by the rule in a claim's YAML, and into the table of all claims."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from alexnet_lab.claims import experiment as definitions
from alexnet_lab.claims.experiment import claim_names, load_experiment
from alexnet_lab.claims.measures import epochs_until, together_name
from alexnet_lab.claims.registration import register, registration_in_words
from alexnet_lab.claims.statistics import Judgement
from alexnet_lab.claims.tuning import tuned_overrides, tuning_job
from alexnet_lab.claims.verdict import ClaimVerdict, verdict_on
from alexnet_lab.core.errors import UserError
from alexnet_lab.reports.claims_table import write_claims
from alexnet_lab.runs.measured import measured_file, write_answers, write_numbers
from claims.made_runs import answers, make_run, make_runs

SEEDS = [0, 1, 2]
WORSE = {"base": (0.20, 0.22, 0.21), "no-lrn": (0.30, 0.33, 0.31)}


def verdict(name: str, folder: Path, scale: str = "mini", seeds: list[int] = SEEDS) -> ClaimVerdict:
    return verdict_on(name, load_experiment(name), scale, folder, seeds)


def test_a_claim_agrees_where_its_rule_says_so(tmp_path: Path) -> None:
    make_runs(tmp_path, WORSE)
    found = verdict("lrn", tmp_path)
    assert found.judgement is Judgement.AGREES
    top1 = found.rows[0]
    assert top1.mean.mean == pytest.approx(100 * (0.94 - 0.63) / 3)
    assert (top1.mean.n, top1.mean.images) == (3, 400)
    assert found.rows[1].judged is None  # top-5 does not decide
    assert found.reason == load_experiment("lrn").scales["mini"].differs
    assert verdict("lrn", tmp_path, "paper").reason == ""


def test_other_images_are_named_and_grey_ones_tell_nothing_of_colour(tmp_path: Path) -> None:
    make_runs(tmp_path, WORSE)
    found = verdict_on("lrn", load_experiment("lrn"), "mini", tmp_path, SEEDS, "fashion_mnist")
    assert (found.judgement, found.reason) == (Judgement.AGREES, "the network of scale mini, on fashion_mnist")
    for seed in SEEDS:
        write_numbers(tmp_path / f"base_seed-{seed}", "kernels", {"gap_above_random": 5.0 + seed})
    assert verdict("kernels", tmp_path).judgement is Judgement.AGREES
    found = verdict_on("kernels", load_experiment("kernels"), "mini", tmp_path, SEEDS, "fashion_mnist")
    assert (found.judgement, found.reason) == (Judgement.CANNOT_TELL, "fashion_mnist has no colour")


def test_a_claim_is_contradicted_by_the_opposite_and_open_where_runs_differ_too_much(tmp_path: Path) -> None:
    make_runs(tmp_path / "a", {"base": WORSE["no-lrn"], "no-lrn": WORSE["base"]})
    assert verdict("lrn", tmp_path / "a").judgement is Judgement.CONTRADICTS

    make_runs(tmp_path / "b", {"base": (0.20, 0.30, 0.20), "no-lrn": (0.28, 0.22, 0.25)})
    found = verdict("lrn", tmp_path / "b")
    assert found.judgement is Judgement.CANNOT_TELL
    assert "seeds would show the paper's" in found.reason


def test_a_claim_whose_runs_are_not_all_there_is_not_judged(tmp_path: Path) -> None:
    make_runs(tmp_path, {"base": WORSE["base"], "no-lrn": WORSE["no-lrn"][:2]})
    found = verdict("lrn", tmp_path)
    assert (found.judgement, found.rows[0].mean) == (Judgement.INCOMPLETE, None)


def test_epochs_to_a_training_error_are_compared_as_a_ratio(tmp_path: Path) -> None:
    assert epochs_until([1, 2, 3], [80, 40, 20], 25) == pytest.approx(2.75)
    assert epochs_until([3, 6], [20, 10], 25) == 3
    assert epochs_until([1, 2], [80, 40], 25) == float("inf")
    curves = {"relu": [0.8, 0.4, 0.2, 0.1, 0.1, 0.1], "tanh": [0.8, 0.7, 0.6, 0.5, 0.4, 0.2]}
    for variant, curve in curves.items():
        for seed in SEEDS:
            shaken = [error * (1 + 0.01 * seed * (variant == "tanh")) for error in curve]
            make_run(tmp_path, variant, seed, 0.2, shaken)
    found = verdict("relu", tmp_path)
    assert found.judgement is Judgement.AGREES
    assert found.rows[0].on_scale(found.rows[0].mean.mean) == pytest.approx(5.75 / 2.75, rel=0.02)


def test_a_run_that_never_gets_there_makes_the_ratio_a_lower_bound_or_leaves_it_open(tmp_path: Path) -> None:
    slow, fast = [0.8, 0.7, 0.6, 0.5, 0.45, 0.4], [0.8, 0.2, 0.2, 0.2, 0.2, 0.2]
    for folder, relu, tanh in (("a", fast, slow), ("b", slow, fast)):
        for seed in SEEDS:
            make_run(tmp_path / folder, "relu", seed, 0.2, [error + 0.01 * seed for error in relu])
            make_run(tmp_path / folder, "tanh", seed, 0.2, tanh)
    bound = verdict("relu", tmp_path / "a")
    assert (bound.judgement, bound.rows[0].at_least) == (Judgement.AGREES, True)
    never = verdict("relu", tmp_path / "b")
    assert never.judgement is Judgement.CANNOT_TELL
    assert "never got to 25" in never.reason


def test_overfitting_is_validation_minus_training_error(tmp_path: Path) -> None:
    for seed in SEEDS:
        make_run(tmp_path, "base", seed, 0.20, train_centre=0.15)
        make_run(tmp_path, "no-crops", seed, 0.30 + 0.01 * seed, train_centre=0.05)
    found = verdict("crops", tmp_path)
    assert found.rows[0].mean.mean == pytest.approx(26 - 5)
    assert found.judgement is Judgement.AGREES


def test_an_ensemble_is_compared_with_its_members_image_by_image(tmp_path: Path) -> None:
    folders = [make_run(tmp_path, "base", seed, 0.20, val_ten_crop=0.2) for seed in SEEDS]
    assert verdict("table-2", tmp_path).judgement is Judgement.INCOMPLETE
    write_answers(folders[0], together_name("val-ten-crop", SEEDS), answers(0.05, 0))
    found = verdict("table-2", tmp_path)
    assert found.rows[0].mean.mean == pytest.approx(5 - 20)
    assert found.judgement is Judgement.AGREES


def test_where_a_scale_is_no_evidence_nothing_agrees(tmp_path: Path) -> None:
    for seed in SEEDS:
        make_run(tmp_path, "one-device", seed)
        folder = make_run(tmp_path, "two-devices", seed)
        made = json.loads((folder / "result.json").read_text()) | {"train_images_per_second": 150.0 + seed}
        (folder / "result.json").write_text(json.dumps(made))
    assert verdict("two-gpu-time", tmp_path, "paper").judgement is Judgement.AGREES
    found = verdict("two-gpu-time", tmp_path)
    assert found.judgement is Judgement.CANNOT_TELL
    assert "two processes of one CPU" in found.reason


def test_kernels_and_neighbours_come_from_what_was_measured_of_each_run(tmp_path: Path) -> None:
    for seed in SEEDS:
        folder = make_run(tmp_path, "base", seed)
        write_numbers(folder, "kernels", {"gap_above_random": 20.0 + seed})
        write_numbers(folder, "neighbours", {"precision_features": 80.0 + seed, "precision_pixels": 30.0})
    assert verdict("kernels", tmp_path).rows[0].mean.mean == pytest.approx(21)
    assert verdict("neighbours", tmp_path).rows[0].mean.mean == pytest.approx(51)


def test_answers_about_other_images_or_of_another_checkpoint_are_refused(tmp_path: Path) -> None:
    make_runs(tmp_path / "a", WORSE)
    write_answers(tmp_path / "a" / "no-lrn_seed-1", "val-centre", answers(0.33, 1, images="b" * 64))
    with pytest.raises(UserError, match="was asked about other images"):
        verdict("lrn", tmp_path / "a")
    make_runs(tmp_path / "b", WORSE)
    write_answers(tmp_path / "b" / "no-lrn_seed-1", "val-centre", answers(0.5, 1))
    with pytest.raises(UserError, match="not of one run"):
        verdict("lrn", tmp_path / "b")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x93NUMPY"])
def test_damaged_answers_end_in_one_line(tmp_path: Path, content: bytes) -> None:
    make_runs(tmp_path, WORSE)
    measured_file(tmp_path / "base_seed-0", "val-centre", "npz").write_bytes(content)
    with pytest.raises(UserError, match=r"val-centre\.npz: is damaged"):
        verdict("lrn", tmp_path)


def test_the_rule_is_registered_once_and_a_changed_one_is_said(tmp_path: Path) -> None:
    claim = load_experiment("lrn")
    register(tmp_path, [("lrn", claim, "mini", 3)])
    make_runs(tmp_path, WORSE)
    register(tmp_path, [("lrn", claim, "mini", 3)])
    digest = claim.digest("mini")
    assert registration_in_words(tmp_path, "lrn", digest) == "before its runs"
    claim.rows["top1"].expected = "below 0"
    assert claim.digest("mini") != digest
    register(tmp_path, [("lrn", claim, "mini", 3)])
    assert registration_in_words(tmp_path, "lrn", claim.digest("mini")) == "changed after 6 of its runs"
    assert registration_in_words(tmp_path, "towers", digest) == "not registered"


def test_words_and_figures_of_the_paper_are_no_part_of_a_rule() -> None:
    claim = load_experiment("lrn")
    digest = claim.digest("mini")
    claim.rows["top1"].label, claim.title = "other words", "another title"
    assert claim.digest("mini") == digest
    assert claim.digest("paper") != digest


def test_a_tuned_option_takes_the_value_that_got_there_first(tmp_path: Path) -> None:
    claim = load_experiment("relu")
    late, soon, never = [0.8, 0.6, 0.2], [0.8, 0.2, 0.1], [0.8, 0.7, 0.6]
    with pytest.raises(UserError, match="has no result, and relu is tuned by it"):
        tuned_overrides(claim, "mini", tmp_path)
    for variant, curves in (("relu", (late, soon, never)), ("tanh", (never, never, late))):
        for value, curve in zip(claim.tuning.values, curves, strict=True):
            for seed in claim.tuning.seeds:
                folder = make_run(tmp_path, variant, seed, 0.2, curve)
                folder.rename(tmp_path / tuning_job(variant, f"optim.learning_rate={value}", seed))
    assert {name: own[-1] for name, own in tuned_overrides(claim, "mini", tmp_path).items()} == {
        "relu": "optim.learning_rate=0.003",
        "tanh": "optim.learning_rate=0.01",
    }


def test_the_table_of_claims_is_the_same_bytes_again_and_says_everything_in_four_ways(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    make_runs(runs, WORSE)
    found = [verdict(name, runs) for name in ("lrn", "pool", "ten-crop")]
    for name in ("a", "b"):
        write_claims(tmp_path / name, runs, found, {"lrn": ["6 runs."]})
    files = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}
    assert files.keys() == {"claims.md", "claims.csv", "claims.json", "claims.tex"}

    page = files["claims.md"].decode()
    assert "3 claims: 1 agree, 2 not complete." in page
    assert "| lrn | 3.3 | no normalization: top-1 | +1.4 points | +10.3 [" in page
    document = json.loads(files["claims.json"])
    assert document["claims"][0]["rule_digest"] == load_experiment("lrn").digest("mini")
    assert document["claims"][0]["rule_registered"] == "not registered"
    rows = list(csv.DictReader(files["claims.csv"].decode().splitlines()))
    assert float(rows[0]["mean"]) == document["claims"][0]["rows"][0]["mean"]
    tex = files["claims.tex"].decode()
    assert tex.count(r"\toprule") == tex.count(r"\bottomrule") == 1
    assert r"$+$10.3 [$+$" in tex
    assert "_" not in tex.replace(r"\_", "")


def test_a_new_claim_is_a_file_and_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "EXPERIMENTS", tmp_path)
    (tmp_path / "flips.yaml").write_text(
        """
title: Mirror images
claim: Mirror images alone lower the error.
section: not in the paper
base: base
command: python src/reproduce.py experiment=flips
scales:
  mini: {seeds: 3, minutes: 8, hardware: two CPU cores}
variants:
  base: {label: mirrored by half}
  no-flips: {label: never mirrored, overrides: [data.flip=false]}
rows:
  top1: {label: "never mirrored: top-1", measure: top1_error, of: no-flips, against: base, expected: above 0}
"""
    )
    make_runs(tmp_path / "runs", {"base": WORSE["base"], "no-flips": WORSE["no-lrn"]})
    assert claim_names() == ["flips"]
    found = verdict("flips", tmp_path / "runs")
    assert found.judgement is Judgement.AGREES
    write_claims(tmp_path / "reports", tmp_path / "runs", [found], {})
    page = (tmp_path / "reports" / "claims.md").read_text()
    assert "| flips | not in the paper | never mirrored: top-1 | above 0 |" in page


ROW = "{label: l, measure: top1_error, of: a, against: base, expected: above 0}"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (ROW.replace("top1_error", "top9_error"), "measure=top9_error: must be one of top1_error"),
        (ROW.replace("of: a", "of: b"), "b is not among the variants"),
        (ROW.replace("above 0", "higher"), "expected=higher: must be above X, below X or within X"),
        (ROW.replace("above 0", "within 0"), "must be within more than 0"),
        (ROW.replace("label", "how: ratio, label"), "a ratio is above 0"),
        (ROW.replace("label", "how: value, label"), "how=value has no variant to stand against"),
        (ROW.replace("label", "level: 3, label"), "has no level"),
        (ROW.replace("top1_error", "epochs_to_training_error"), "needs a level"),
        (ROW.replace("label", "decides: false, label"), "has no row that decides"),
        (ROW.replace("label", "contradicted: 0, label"), "larger than no effect"),
    ],
)
def test_a_wrong_row_ends_in_one_line(row: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "EXPERIMENTS", tmp_path)
    variants = "{base: {label: b}, a: {label: a}}"
    head = "title: t\nclaim: c\nsection: s\nbase: base\nseeds: 3\ncommand: x\n"
    text = f"{head}variants: {variants}\nrows: {{r: {row}}}\n"
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        load_experiment("mine")
    assert len(str(caught.value).splitlines()) == 1


def test_a_share_of_images_is_counted_as_it_was_made() -> None:
    made = answers(0.25, 0)
    assert (made.wrong(1).mean(), made.wrong(5).mean()) == (25.0, 0.0)
    assert set(np.unique(made.wrong(1))) == {0.0, 100.0}
