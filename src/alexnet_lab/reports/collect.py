"""From run folders to results by variant and seed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from alexnet_lab.errors import UserError
from alexnet_lab.experiments.experiment import Experiment
from alexnet_lab.experiments.run_folders import readable
from alexnet_lab.training.result import read_result


def collect(folder: Path, experiment: Experiment, seeds: list[int]) -> dict[str, dict[int, dict[str, Any]]]:
    """The finished runs of a sweep, by variant and seed; what is missing is missing in the answer too.

    Raises UserError where a result.json cannot be read.
    """
    results: dict[str, dict[int, dict[str, Any]]] = {}
    for variant in experiment.variants:
        results[variant] = {}
        for seed in seeds:
            run = folder / run_name(variant, seed)
            try:
                result = read_result(run)
            except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
                raise UserError(
                    f"{run / 'result.json'}: cannot be read ({error}); remove that folder and run again"
                ) from None
            if result is not None:
                results[variant][seed] = result
    return results


def run_name(variant: str, seed: int) -> str:
    """The folder of a variant's run with a seed, as the sweeper names it."""
    return readable(f"{variant}_seed-{seed}")
