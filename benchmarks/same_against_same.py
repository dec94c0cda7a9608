"""How often runs of one variant are said to differ from runs of the same variant: about one time in twenty is right.

python benchmarks/same_against_same.py runs/SWEEP [--variant base] [--n 3] [--comparisons 40] [--seed 0]

Draws, for each comparison, 2 n of the variant's seeds at random; n of them are compared with the other n as a table
compares a row with its base, in pairs, at 5 % and without a correction. Nothing is trained; the same runs give the same
answer. Comparisons share runs, so that their count strays more than that of independent ones would. Pairs here are of
different seeds: what pairing by seed adds is not tested.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from alexnet_lab.claims.statistics import LEVEL, Difference, Verdict, compare
from alexnet_lab.core.errors import UserError
from alexnet_lab.runs.result import read_result

METRICS = {"top-1": "val_top1_error", "top-5": "val_top5_error"}


@dataclass(frozen=True)
class Drawn:
    """Two sets of seeds and what is said of their difference."""

    seeds: list[int]
    base_seeds: list[int]
    difference: Difference

    @property
    def resolved(self) -> bool:
        return self.difference.verdict in (Verdict.WORSE, Verdict.BETTER)


def read_errors(folder: Path, variant: str, key: str) -> dict[int, float]:
    """The variant's errors in percent by seed, of the complete runs of a sweep."""
    errors = {}
    for place in sorted(folder.glob(f"{variant}_seed-*")):
        seed = re.fullmatch(re.escape(variant) + r"_seed-(\d+)", place.name)
        result = read_result(place) if seed else None
        if seed and result is not None:
            errors[int(seed[1])] = 100.0 * result["metrics"][key]
    return errors


def draw(errors: dict[int, float], n: int, comparisons: int, seed: int) -> list[Drawn]:
    """Random comparisons of n seeds with n others. Raises UserError where there are less than 2 n."""
    if len(errors) < 2 * n:
        raise UserError(f"has {len(errors)} complete runs, where comparing {n} with {n} others takes {2 * n}")
    chance, drawn = random.Random(seed), []  # noqa: S311 - nothing here is secret
    for _ in range(comparisons):
        seeds = chance.sample(sorted(errors), 2 * n)
        one, other = seeds[:n], seeds[n:]
        values = {"row": dict(enumerate(errors[s] for s in one)), "base": dict(enumerate(errors[s] for s in other))}
        found = compare(values, "base", margin=1.0, effects={}, seeds=n, comparisons=1)
        drawn.append(Drawn(one, other, found.differences["row"]))
    return drawn


def report(folder: Path, variant: str, n: int, comparisons: int, seed: int) -> list[str]:
    """For each metric, the count and then a line per comparison."""
    lines = []
    for metric, key in METRICS.items():
        drawn = draw(read_errors(folder, variant, key), n, comparisons, seed)
        resolved = sum(one.resolved for one in drawn)
        lines.append(f"{metric}: {resolved} of {comparisons} resolved; {LEVEL * comparisons:g} expected at {LEVEL:.0%}")
        for one in drawn:
            value, p = one.difference.estimate, one.difference.p
            assert value is not None
            interval = "" if value.half_width is None else f" ± {value.half_width:.2f}"
            words = f"p = {p:.3f}" if p is not None else "no interval"
            mark = "  resolved" if one.resolved else ""
            lines.append(f"  {one.seeds} against {one.base_seeds}: {value.mean:+.2f}{interval}, {words}{mark}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--variant", default="base")
    parser.add_argument("--n", type=int, default=3)
    parser.add_argument("--comparisons", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.n < 2 or asked.comparisons < 1:
        parser.error("--n must be 2 at least, --comparisons 1")
    try:
        print("\n".join(report(asked.folder, asked.variant, asked.n, asked.comparisons, asked.seed)))
    except UserError as error:
        sys.exit(f"error: {asked.folder}: {asked.variant} {error}")


if __name__ == "__main__":
    main()
