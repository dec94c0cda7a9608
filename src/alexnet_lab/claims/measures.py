"""What is measured of a run: a name each, what has to be measured after training, and how the number comes of it."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet_lab.core.errors import UserError
from alexnet_lab.runs.measured import Answers, read_answers, read_numbers
from alexnet_lab.runs.metrics import METRICS_FILE
from alexnet_lab.runs.result import read_result

CENTRE, TEN_CROP, TRAINING = "val-centre", "val-ten-crop", "train-centre"
KERNELS, NEIGHBOURS = "kernels", "neighbours"
EQUAL_ERRORS = 0.5  # points: an evaluation rounds otherwise than training did, for a few images in a thousand


class Evidence:
    """What a run's folder holds, read when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def result(self) -> dict[str, Any] | None:
        """Its result.json; None where the run is not complete, or is a rival's, which has none."""
        return read_result(self.folder)

    def answers(self, what: str) -> Answers:
        """Answers that were measured; raises UserError where they were not."""
        found = read_answers(self.folder, what)
        if found is None:
            raise UserError(f"{self.folder}: {what} was not measured; run the same command again")
        error = None if self.result is None or what != CENTRE else 100 * self.result["metrics"]["val_top1_error"]
        if error is not None and abs(error - found.wrong(1).mean()) > EQUAL_ERRORS:
            raise UserError(
                f"{self.folder}: its checkpoint errs by {found.wrong(1).mean():.2f} %, its result by {error:.2f} %; "
                "they are not of one run: remove the folder and run again"
            )
        return found

    def numbers(self, what: str) -> dict[str, float]:
        """Numbers that were measured; raises UserError where they were not."""
        found = read_numbers(self.folder, what)
        if found is None:
            raise UserError(f"{self.folder}: {what} was not measured; run the same command again")
        return found

    def finished(self) -> dict[str, Any]:
        """The result of a run that must be complete."""
        if self.result is None:
            raise UserError(f"{self.folder}: has no result; run the same command again")
        return self.result

    def curve(self, column: str) -> tuple[list[float], list[float]]:
        """Of each validated epoch: how many epochs were done by then, and the column of metrics.csv in percent."""
        path = self.folder / METRICS_FILE
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if row["val_top1_error"]]
            epochs, values = [int(row["epoch"]) + 1.0 for row in rows], [100.0 * float(row[column]) for row in rows]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: is missing or damaged ({error!s:.80}); remove that folder, run again") from None
        if not values or not all(map(math.isfinite, values)):
            raise UserError(f"{path}: has no epoch with {column}; remove that folder and run again")
        return epochs, values


@dataclass(frozen=True)
class Measure:
    """A number of a run. unit: of the number. value: from evidence and level to the number, inf where a run never got
    there. needs: what has to be measured after training. per_image: the same of each image, whose mean is the number.
    together: it is of several runs that answer together, and `needs` what each of them says alone.
    of_colour: images without colour tell nothing of it.
    """

    unit: str
    meaning: str
    value: Callable[[Evidence, float | None], float]
    needs: tuple[str, ...] = ()
    per_image: Callable[[Evidence], NDArray[np.float64]] | None = None
    has_level: bool = False
    together: bool = False
    of_colour: bool = False


def epochs_until(epochs: Sequence[float], errors: Sequence[float], level: float) -> float:
    """How many epochs until an error is first at a level or below, linear between two of them; inf where never."""
    for place, error in enumerate(errors):
        if error <= level:
            if place == 0:
                return epochs[0]
            before, share = errors[place - 1], (errors[place - 1] - level) / (errors[place - 1] - error)
            assert before > level
            return epochs[place - 1] + share * (epochs[place] - epochs[place - 1])
    return math.inf


def together_name(views: str, seeds: Sequence[int]) -> str:
    """The name under which the answers of several seeds' runs together are kept, in the first one's folder."""
    return f"{views}-with-seeds-{'-'.join(map(str, seeds))}"


def _error(what: str, first: int) -> dict[str, Any]:
    """What the measures of an error have in common."""

    def per_image(evidence: Evidence) -> NDArray[np.float64]:
        return evidence.answers(what).wrong(first)

    return {
        "unit": "%",
        "needs": (what,),
        "per_image": per_image,
        "value": lambda evidence, level: float(per_image(evidence).mean()),
    }


def _gain(first: int) -> dict[str, Any]:
    def per_image(evidence: Evidence) -> NDArray[np.float64]:
        return evidence.answers(TEN_CROP).wrong(first) - evidence.answers(CENTRE).wrong(first)

    return {
        "unit": "points",
        "needs": (CENTRE, TEN_CROP),
        "per_image": per_image,
        "value": lambda evidence, level: float(per_image(evidence).mean()),
    }


def _overfitting(evidence: Evidence, level: float | None) -> float:
    return float(evidence.answers(CENTRE).wrong(1).mean() - evidence.answers(TRAINING).wrong(1).mean())


def _until(column: str) -> Callable[[Evidence, float | None], float]:
    def value(evidence: Evidence, level: float | None) -> float:
        assert level is not None
        return epochs_until(*evidence.curve(column), level)

    return value


def _loss_change(evidence: Evidence, level: float | None) -> float:
    assert level is not None
    epochs, losses = evidence.curve("val_loss")
    place = next((place for place, epoch in enumerate(epochs) if epoch >= level), None)
    return math.inf if place is None or losses[place] == 0 else 100.0 * (losses[-1] / losses[place] - 1)


def _hits_above_chance(evidence: Evidence, level: float | None) -> float:
    """In points: how much more often the true class is among five than among any five that are drawn."""
    answers = evidence.answers(CENTRE)
    classes = evidence.finished()["images"]["classes"]
    return float(100.0 - answers.wrong(5).mean() - 100.0 * 5 / classes)


def _number(what: str, name: str) -> Callable[[Evidence, float | None], float]:
    return lambda evidence, level: evidence.numbers(what)[name]


# No single run has a value: it is of several together.
_OF_AN_ENSEMBLE: dict[str, Any] = {
    "unit": "points",
    "needs": (TEN_CROP,),
    "value": lambda evidence, level: math.nan,
    "together": True,
}

MEASURES: dict[str, Measure] = {
    "top1_error": Measure(meaning="validation error of the last epoch, centre view", **_error(CENTRE, 1)),
    "top5_error": Measure(meaning="validation top-5 error of the last epoch, centre view", **_error(CENTRE, 5)),
    "ten_crop_top1_error": Measure(meaning="validation error, softmax averaged over ten views", **_error(TEN_CROP, 1)),
    "ten_crop_top5_error": Measure(meaning="top-5 error, softmax averaged over ten views", **_error(TEN_CROP, 5)),
    "ten_crop_top1_gain": Measure(meaning="error over ten views minus that of the centre", **_gain(1)),
    "ten_crop_top5_gain": Measure(meaning="top-5 error over ten views minus that of the centre", **_gain(5)),
    "ensemble_top1_gain": Measure(
        meaning="ten views: error of the runs together, softmax averaged, minus their mean error", **_OF_AN_ENSEMBLE
    ),
    "ensemble_top5_gain": Measure(
        meaning="ten views: top-5 error of the runs together, softmax averaged, minus their mean top-5 error",
        **_OF_AN_ENSEMBLE,
    ),
    "training_error": Measure(
        meaning="error on the training images at the end, without dropout and augmentation", **_error(TRAINING, 1)
    ),
    "overfitting": Measure(
        unit="points",
        meaning="validation error minus training error, both without dropout and augmentation",
        needs=(CENTRE, TRAINING),
        value=_overfitting,
    ),
    "epochs_to_training_error": Measure(
        unit="epochs",
        meaning="epochs until the training error, of an epoch in training, is at a level",
        value=_until("train_top1_error"),
        has_level=True,
    ),
    "epochs_to_validation_error": Measure(
        unit="epochs",
        meaning="epochs until the validation error is at a level",
        value=_until("val_top1_error"),
        has_level=True,
    ),
    "validation_loss_change": Measure(
        unit="%",
        meaning="change of the validation loss from an epoch to the end, relatively",
        value=_loss_change,
        has_level=True,
    ),
    "seconds_per_image": Measure(
        unit="s",
        meaning="training time over training images, validation and start left out",
        value=lambda evidence, level: 1.0 / evidence.finished()["train_images_per_second"],
    ),
    "top5_hits_above_chance": Measure(
        unit="points",
        meaning="images whose true class is among the five most probable, minus what guessing would give",
        needs=(CENTRE,),
        value=_hits_above_chance,
    ),
    "tower_colour_gap": Measure(
        unit="points",
        meaning="difference of the towers' colour share in conv1, minus that of the same kernels in random halves",
        needs=(KERNELS,),
        of_colour=True,
        value=_number(KERNELS, "gap_above_random"),
    ),
    "neighbours_gain": Measure(
        unit="points",
        meaning="of the six nearest training images those of the true class: by features minus by pixels",
        needs=(NEIGHBOURS,),
        value=lambda evidence, level: (
            evidence.numbers(NEIGHBOURS)["precision_features"] - evidence.numbers(NEIGHBOURS)["precision_pixels"]
        ),
    ),
}
