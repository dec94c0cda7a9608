"""Whether runs of one variant, which differ in their seeds alone, have converged: numbers, and their learning curves.

python benchmarks/convergence.py runs/SWEEP [--svg docs/converged.svg] [--json]
python benchmarks/convergence.py runs/mini/base_seed-*

Prints, for each epoch that was validated, the mean of the validation's top-1 error and its standard deviation over the
seeds; how much the error of each run changes in the last tenth of the epochs; and the first of these epochs at which
the training loss of every run is more than 1 % below ln(classes), that of guessing. Draws the curves of all runs as an
SVG. Nothing is trained; the same runs give the same answer, and the same bytes.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.files import write_bytes
from alexnet_lab.reports.figures import FAINT, OURS, SETTINGS, TEXT
from alexnet_lab.runs.metrics import read_epochs
from alexnet_lab.runs.result import read_result

LARGE_CHANGE = 0.5  # points of the error
LEFT = 0.99  # times ln(classes): a training loss below this has left it


@dataclass(frozen=True)
class Curve:
    """A run, at the end of each epoch that was validated (counted from 1)."""

    epochs: list[int]
    errors: list[float]  # of the validation, top-1, in percent
    losses: list[float]  # of the epoch's training images


@dataclass(frozen=True)
class Convergence:
    """What runs of one variant have in common; errors and changes are in points."""

    classes: int
    epochs: list[int]
    mean: list[float]
    deviation: list[float] | None  # none of a single run
    last_tenth: list[int]  # the first and the last epoch of what is compared
    changes: dict[int, float]  # of the error within it, by seed
    mean_change: float  # of their sizes, as the next
    largest_change: float
    large_changes: int
    left_guessing: int | None  # the first epoch at which every run has


def run_folders(places: list[Path]) -> list[Path]:
    """The places that are run folders, and the run folders in those that are not."""
    return [
        run for place in places for run in ([place] if _is_run(place) else filter(_is_run, sorted(place.glob("*"))))
    ]


def _is_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("progress.json", "metrics.csv", "result.json"))


def read_runs(places: list[Path]) -> tuple[int, dict[int, Curve]]:
    """The number of classes, and the curves by seed.

    Raises UserError where a run is not complete, or where they differ in more than their seeds.
    """
    results: dict[Path, dict[str, Any]] = {}
    for folder in run_folders(places):
        result = read_result(folder)
        if result is None:
            raise UserError(f"{folder}: the run is not complete; finish it, or leave it out")
        results[folder] = result
    if not results:
        raise UserError(f"{', '.join(map(str, places))}: no run is there")
    first, curves = next(iter(results)), {}
    for folder, result in results.items():
        for part in ("images", "model", "optim"):
            one, other = ((found | found["config"]).get(part) for found in (result, results[first]))
            if one != other:
                raise UserError(f"{folder}: is a run with another `{part}` than {first}; name the runs of one variant")
        if result["seed"] in curves:
            raise UserError(f"{folder}: a run of seed {result['seed']} was read already; name each seed once")
        curves[result["seed"]] = read_curve(folder)
        if curves[result["seed"]].epochs != next(iter(curves.values())).epochs:
            raise UserError(f"{folder}: was validated after other epochs than {first}; name the runs of one variant")
    classes = results[first].get("images", {}).get("classes")
    if type(classes) is not int:
        raise UserError(f"{first}: does not say of how many classes it is, as runs of version 1; run it again")
    return classes, dict(sorted(curves.items()))


def read_curve(folder: Path) -> Curve:
    """Raises UserError where metrics.csv is missing or damaged."""
    rows = read_epochs(folder)
    try:
        return Curve(
            [int(row["epoch"]) + 1 for row in rows],
            [100.0 * row["val_top1_error"] for row in rows],
            [row["train_epoch_loss"] for row in rows],
        )
    except KeyError as error:
        raise UserError(f"{folder}: metrics.csv has no {error}; remove that folder and run again") from None


def convergence(classes: int, curves: dict[int, Curve]) -> Convergence:
    """Raises UserError where nothing was validated before the last tenth."""
    epochs = next(iter(curves.values())).epochs
    before = [place for place, epoch in enumerate(epochs) if 10 * epoch <= 9 * epochs[-1]]
    if not before:
        raise UserError("nothing was validated before the last tenth of the epochs, so a change in it cannot be seen")
    errors = list(zip(*(curve.errors for curve in curves.values()), strict=True))
    losses = zip(*(curve.losses for curve in curves.values()), strict=True)
    changes = {seed: curve.errors[-1] - curve.errors[before[-1]] for seed, curve in curves.items()}
    sizes = [abs(change) for change in changes.values()]
    left = [epoch for epoch, seen in zip(epochs, losses, strict=True) if max(seen) < LEFT * math.log(classes)]
    return Convergence(
        classes,
        epochs,
        [statistics.mean(values) for values in errors],
        [statistics.stdev(values) for values in errors] if len(curves) > 1 else None,
        [epochs[before[-1]], epochs[-1]],
        changes,
        statistics.mean(sizes),
        max(sizes),
        sum(size > LARGE_CHANGE for size in sizes),
        left[0] if left else None,
    )


def words(found: Convergence) -> list[str]:
    """The table in Markdown, and a line for each of the other numbers."""
    count, (begin, end) = len(found.changes), found.last_tenth
    rows = {"after epoch": [str(epoch) for epoch in found.epochs]}
    rows["top-1 error %, mean"] = [f"{value:.1f}" for value in found.mean]
    if found.deviation is not None:
        rows["standard deviation over the seeds"] = [f"{value:.2f}" for value in found.deviation]
    lines = [f"| {name} | {' | '.join(values)} |" for name, values in rows.items()]
    lines.insert(1, "|---|" + "--:|" * len(found.epochs))
    guess = f"{LEFT} ln({found.classes}) = {LEFT * math.log(found.classes):.2f}"
    return [
        f"{count} run{'s' if count > 1 else ''}, {found.classes} classes",
        "",
        *lines,
        "",
        f"change of the error from epoch {begin} to {end}: {found.mean_change:.2f} points on average, "
        f"{found.largest_change:.2f} at most; over {LARGE_CHANGE} points in {found.large_changes} of {count}",
        f"first epoch with every run's training loss below {guess}: {found.left_guessing or 'none'}",
    ]


def draw(classes: int, curves: dict[int, Curve], found: Convergence) -> bytes:
    """An SVG with a background of its own, for light and dark pages: a line a run, and the mean of the errors."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        figure = Figure(figsize=(8.0, 3.6), facecolor="white", layout="constrained")
        FigureCanvasAgg(figure)
        error_axes, loss_axes = figure.subplots(1, 2)
        for curve in curves.values():
            line: dict[str, Any] = {
                "color": OURS,
                "lw": 0.9,
                "alpha": 0.45,
            }
            error_axes.plot(curve.epochs, curve.errors, **line)
            loss_axes.plot(curve.epochs, curve.losses, **line)
        error_axes.plot(found.epochs, found.mean, color=TEXT, lw=1.8)
        loss_axes.axhline(math.log(classes), color=FAINT, lw=1, ls="--")
        loss_axes.annotate(
            f"ln({classes}): guessing",
            (1, math.log(classes)),
            (-4, 4),
            ("axes fraction", "data"),
            "offset points",
            ha="right",
            size=9,
            color=FAINT,
        )
        for axes, title in ((error_axes, "validation, top-1 error in %"), (loss_axes, "training loss")):
            axes.set_title(title, color=TEXT, size=11)
            axes.set_xlabel("epoch", color=TEXT, size=9)
            axes.set_ylim(bottom=0)
            axes.tick_params(colors=FAINT, labelsize=9)
            for side, spine in axes.spines.items():
                spine.set_visible(side in ("bottom", "left"))
                spine.set_color(FAINT)
        error_axes.annotate(
            f"each of {len(curves)} seeds, and their mean",
            (1, 1),
            (-4, -12),
            "axes fraction",
            "offset points",
            ha="right",
            size=9,
            color=FAINT,
        )
        content = io.BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="of runs, or of a sweep with them in it")
    parser.add_argument("--svg", type=Path, default=Path("converged.svg"), help="where the curves are drawn")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    asked = parser.parse_args()
    try:
        classes, curves = read_runs(asked.folders)
        found = convergence(classes, curves)
        write_bytes(asked.svg, draw(classes, curves, found))
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {asked.svg}: cannot be written ({error.strerror}); name another place with --svg")
    print(json.dumps(asdict(found)) if asked.json else "\n".join(words(found)))


if __name__ == "__main__":
    main()
