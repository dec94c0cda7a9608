"""The lines above a table: which runs it is made of, where they ran, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def describe(results: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> str:
    """From result.json contents, by variant and seed, to one sentence: the same however often the sweep was ended."""
    runs = [result for by_seed in results.values() for result in by_seed.values()]
    config, versions = runs[0]["config"], runs[0]["versions"]
    pictures = config["data"]["source"]
    epochs = sorted({run["epochs"] for run in runs})
    machines = sorted({_machine(run["hardware"]) for run in runs})
    return (
        f"{len(runs)} runs: model {config['model']['name']}, data {pictures} at {config['data']['image_size']} px, "
        f"{' or '.join(map(str, epochs))} epochs, on {'; '.join(machines)}; "
        f"torch {versions['torch']}, lightning {versions['lightning']}."
    )


def cost(results: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> str:
    """The time that the runs took, one after the other."""
    hours = sum(run["wall_seconds"] for by_seed in results.values() for run in by_seed.values()) / 3600
    return f"{hours:.2f} hours of computing in all."


def _machine(hardware: Mapping[str, Any]) -> str:
    if hardware["gpus"]:
        return f"{hardware['devices']} x {hardware['gpus'][0]}"
    return f"{hardware['processor']}, {hardware['threads']} of {hardware['cores']} cores a run"
