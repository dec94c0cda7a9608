"""From run folders to results by variant and seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alexnet_lab.experiments.experiment import Experiment
from alexnet_lab.experiments.run_folders import job_name
from alexnet_lab.training.result import read_result


def collect(folder: Path, experiment: Experiment, seeds: list[int]) -> dict[str, dict[int, dict[str, Any]]]:
    """The finished runs of a sweep, by variant and seed; what is missing is missing in the answer too.

    Raises UserError where a result.json is damaged.
    """
    results: dict[str, dict[int, dict[str, Any]]] = {}
    for variant in experiment.variants:
        results[variant] = {}
        for seed in seeds:
            result = read_result(folder / job_name(variant, [f"seed={seed}"]))
            if result is not None:
                results[variant][seed] = result
    return results
