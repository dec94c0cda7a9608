"""The rules of claims, written down before their runs are made: runs/<sweep>/registered.json."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from alexnet_lab.claims.experiment import Experiment
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.files import read_json, write_json
from alexnet_lab.runs.paths import experiment_jobs
from alexnet_lab.runs.result import RESULT_FILE

FILE = "registered.json"


def register(folder: Path, claims: Iterable[tuple[str, Experiment, str, int]]) -> None:
    """Write down the digest of each rule that is not there yet, with how many of the claim's runs were made by then.

    claims: name, experiment, scale and number of seeds. A rule that has changed since is added, not replaced.
    """
    kept = _read(folder)
    for name, experiment, scale, seeds in claims:
        rules = kept.setdefault(name, [])
        digest = experiment.digest(scale)
        if not rules or rules[-1]["digest"] != digest:
            rules.append({"digest": digest, "runs_before": _finished(folder, experiment, seeds)})
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FILE, kept)


def registration_in_words(folder: Path, name: str, digest: str) -> str:
    """When the rule with this digest was written down."""
    rules = _read(folder).get(name, [])
    matching = [rule for rule in rules if rule["digest"] == digest]
    if not matching:
        return "not registered"
    if len(rules) > 1:
        return f"changed after {rules[-1]['runs_before']} of its runs"
    return "before its runs" if not matching[0]["runs_before"] else f"after {matching[0]['runs_before']} of its runs"


def _finished(folder: Path, experiment: Experiment, seeds: int) -> int:
    return sum((folder / job / RESULT_FILE).exists() for job in experiment_jobs(experiment.trained, range(seeds)))


def _read(folder: Path) -> dict[str, list[dict[str, Any]]]:
    path = folder / FILE
    try:
        found = read_json(path)
        fits = isinstance(found, dict) and all(
            isinstance(rules, list)
            and all(isinstance(rule.get("digest"), str) and type(rule.get("runs_before")) is int for rule in rules)
            for rules in found.values()
        )
        if not fits:
            raise ValueError("it is no list of rules")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: is damaged ({error!s:.80}); remove it and run again") from None
    return found
