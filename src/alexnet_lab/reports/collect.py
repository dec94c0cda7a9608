"""From run folders to results by variant and seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alexnet_lab.claims.experiment import Experiment
from alexnet_lab.runs.paths import job_name
from alexnet_lab.runs.result import read_result, refuse_partial
from alexnet_lab.runs.same_images import check_same_images


def collect(folder: Path, experiment: Experiment, seeds: list[int]) -> dict[str, dict[int, dict[str, Any]]]:
    """The finished runs of a sweep, by variant and seed; what is missing is missing in the answer too.

    Raises UserError where a result.json is damaged, or two with the same settings are of other images, or
    a run saw a part of the data alone.
    """
    found: dict[Path, dict[str, Any]] = {}
    results: dict[str, dict[int, dict[str, Any]]] = {}
    for variant in experiment.variants:
        results[variant] = {}
        for seed in seeds:
            run_folder = folder / job_name(variant, [f"seed={seed}"])
            result = read_result(run_folder)
            if result is not None:
                refuse_partial(run_folder, result)
                results[variant][seed] = found[run_folder] = result
    check_same_images(found)
    return results
