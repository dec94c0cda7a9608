"""A claim from its command line to its verdict, with real runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pages import ROOT

pytestmark = pytest.mark.slow


def test_a_claim_is_run_measured_judged_and_the_same_again(program, small: tuple[str, ...], tmp_path: Path) -> None:
    typo = program("reproduce.py", "experiment=kernels", "seeds=2", *small, "model.lnr=true")
    assert typo.returncode == 2
    assert "did you mean model.lrn?" in typo.stderr
    assert len(typo.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())

    made = [program("reproduce.py", "experiment=kernels", "seeds=2", *small)]
    written = {path: path.read_bytes() for path in (tmp_path / "reports").rglob("*") if path.is_file()}
    made.append(program("reproduce.py", "experiment=kernels", "seeds=2", *small))
    assert [answer.returncode for answer in made] == [0, 0], made[0].stderr
    assert "2 of 2 jobs are complete already" in made[1].stderr
    assert written == {path: path.read_bytes() for path in written}
    assert {"claims.md", "claims.csv", "claims.json", "claims.tex", "kernels.png"} == {path.name for path in written}

    claims = {one["claim"]: one for one in json.loads((tmp_path / "reports" / "claims.json").read_text())["claims"]}
    assert len(claims) >= 19
    assert claims["kernels"]["rule_registered"] == "before its runs"
    assert claims["kernels"]["rows"][0]["n"] == 2
    assert claims["towers"]["verdict"] == "so far"

    # Another claim needs the same runs, and makes none of its own.
    shared = program("reproduce.py", "experiment=neighbours", "seeds=2", *small)
    assert shared.returncode == 0, shared.stderr
    assert "2 of 2 jobs are complete already" in shared.stderr
    after = {one["claim"]: one for one in json.loads((tmp_path / "reports" / "claims.json").read_text())["claims"]}
    assert after["kernels"] == claims["kernels"]  # judged by two seeds still
    assert after["neighbours"]["verdict"] != "so far"
    assert len(list((tmp_path / "runs" / "mini").glob("*_seed-*"))) == 2
    other = program("reproduce.py", "experiment=neighbours", "seeds=2", *small, "model.dropout=0.1")
    assert other.returncode == 2
    assert "was made with model.dropout=0.5, not 0.1; choose another sweep=NAME" in other.stderr


def test_a_variant_begins_with_the_runs_of_another(program, small: tuple[str, ...], tmp_path: Path) -> None:
    tiny = ("model.width=0.0625", "model.dropout=0", "data.train_images_per_class=8")
    made = [program("reproduce.py", "experiment=cnn-star", "seeds=1", *small, *tiny) for _ in range(2)]
    assert [answer.returncode for answer in made] == [0, 0], made[0].stderr
    assert "2 of 2 jobs are complete already" in made[1].stderr
    results = {
        name: json.loads((tmp_path / "runs" / "mini" / f"{name}_seed-0" / "result.json").read_text())
        for name in ("pretrained", "cnn-star")
    }
    assert results["cnn-star"]["began_with"]["from"] == "runs/mini/pretrained_seed-0"
    assert results["cnn-star"]["began_with"]["new"] == ["fc8.bias", "fc8.weight"]
    assert [results[name]["images"]["classes"] for name in ("pretrained", "cnn-star")] == [40, 7]


def test_a_claim_in_a_file_of_ones_own_has_its_verdict(program, small: tuple[str, ...], tmp_path: Path) -> None:
    """The one of docs/claims.md."""
    [text] = re.findall(r"```yaml\n(title: .*?)```", (ROOT / "docs" / "claims.md").read_text(), re.DOTALL)
    (tmp_path / "flips.yaml").write_text(text)
    made = program("reproduce.py", "experiment=flips.yaml", "seeds=2", *small)
    assert made.returncode == 0, made.stderr
    told = json.loads((tmp_path / "reports" / "flips" / "claims.json").read_text())["claims"]
    assert [(one["claim"], one["rows"][0]["n"]) for one in told] == [("flips.yaml", 2)]
