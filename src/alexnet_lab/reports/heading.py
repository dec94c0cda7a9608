"""The lines about a table's runs: which they are, where they ran, in what they differ, and what they cost."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Results = Mapping[str, Mapping[int, Mapping[str, Any]]]  # result.json contents, by variant and seed


def about(results: Results) -> list[str]:
    """What the runs are and, a line for each, in what they differ: the same however often the sweep was ended."""
    return [describe(results), *ended_early(results), *differing(results)]


def describe(results: Results) -> str:
    """The runs in one sentence, with all that occurs where they are not alike."""
    runs = [result for by_seed in results.values() for result in by_seed.values()]

    def each(values: Iterable[object]) -> str:
        return " or ".join(sorted({plain(value) for value in values}))

    return (
        f"{len(runs)} runs: model {each(run['config']['model']['name'] for run in runs)}, "
        f"data {each(run['config']['data']['source'] for run in runs)} "
        f"at {each(run['config']['data']['image_size'] for run in runs)} px, "
        f"{' or '.join(map(str, sorted({run['epochs'] for run in runs})))} epochs, "
        f"on {'; '.join(sorted({machine(run['hardware']) for run in runs}))}; "
        f"torch {each(run['versions']['torch'] for run in runs)}, "
        f"lightning {each(run['versions']['lightning'] for run in runs)}."
    )


def ended_early(results: Results) -> list[str]:
    """How many runs a callback ended before their last epoch."""
    runs = [run for by_seed in results.values() for run in by_seed.values()]
    planned = [run["config"].get("trainer", {}).get("max_epochs", run["epochs"]) for run in runs]
    early = sum(run["epochs"] < epochs for run, epochs in zip(runs, planned, strict=True))
    return [f"{early} of {len(runs)} runs were ended by a callback before their last epoch."] if early else []


def differing(results: Results) -> list[str]:
    """A line for each thing beside the variant and the seed in which rows, runs of a row, or parts of a run differ."""
    lines = []
    for what, of in WHAT_MAY_DIFFER.items():
        rows: dict[str, list[str]] = {}
        for name, by_seed in results.items():
            for value in sorted({plain(of(part)) for run in by_seed.values() for part in _parts(run)}):
                rows.setdefault(value, []).append(name)
        if len(rows) > 1:
            found = "; ".join(f"{value} ({', '.join(names)})" for value, names in rows.items())
            lines.append(f"Rows differ in {what}: {found}.")
    return lines


def cost(results: Results) -> str:
    """The time that the runs took, one after the other."""
    hours = sum(run["wall_seconds"] for by_seed in results.values() for run in by_seed.values()) / 3600
    return f"{hours:.2f} hours of computing in all."


def _parts(run: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What computed the run, one after the other; of a run of version 1 the last alone is known."""
    last = {**run["hardware"], "versions": run["versions"], "commit": run.get("commit") or "unknown"}
    return run.get("parts") or [last]


def machine(hardware: Mapping[str, Any]) -> str:
    """What computed a run, in a few words."""
    if hardware["gpus"]:
        return f"{hardware['devices']} x {plain(hardware['gpus'][0])}"
    return f"{plain(hardware['processor'])}, {hardware['threads']} of {hardware['cores']} cores a run"


def plain(value: object) -> str:
    """What a result says as a short text that is safe on a terminal and means nothing in Markdown."""
    return re.sub(r"[^\w .,;:()+@/-]", "?", str(value))[:80]


WHAT_MAY_DIFFER: dict[str, Callable[[Mapping[str, Any]], object]] = {
    # The first 8 digits, with "+changes" where there were any.
    "commit": lambda part: re.sub(r"^([0-9a-f]{8})[0-9a-f]{32}", r"\1", part["commit"]),
    "code of one's own": lambda part: part.get("own_code", "none"),
    "torch": lambda part: part["versions"].get("torch", "unknown"),
    "lightning": lambda part: part["versions"].get("lightning", "unknown"),
    "Python": lambda part: part["versions"].get("python", "unknown"),
    "processor": lambda part: part["processor"],
    "GPU": lambda part: part["gpus"][0] if part["gpus"] else "none",
    "devices": lambda part: part["devices"],
    "threads": lambda part: part["threads"],
}
