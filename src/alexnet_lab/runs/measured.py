"""What was measured of a finished run besides its result, kept in its folder so that everything can be computed anew.

RUN/evaluation/measured/<what>.npz, answers to images, for each image of a split in the store's order:

    classes      int32 (N, 5), the most probable classes, the most probable first
    probability  float32 (N,), of the true class
    labels       int32 (N,)
    images       the identity of the store, as text

RUN/evaluation/measured/<what>.json holds numbers by name.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.files import read_bytes, read_json, write_bytes, write_json

FOLDER = Path("evaluation") / "measured"
LARGEST = 2**28  # bytes; those of 50,000 images have one million


@dataclass(frozen=True)
class Answers:
    """What a network, or several together, said of the images of a split."""

    classes: NDArray[np.int32]
    probability: NDArray[np.float32]
    labels: NDArray[np.int32]
    images: str

    def wrong(self, first: int) -> NDArray[np.float64]:
        """(N,) in percent: 100 for an image whose true class is not among the `first` most probable, else 0."""
        return 100.0 * (self.classes[:, :first] != self.labels[:, None]).all(1)


def measured_file(folder: Path, what: str, kind: str) -> Path:
    """Where a run's measured file is. kind: npz or json."""
    return folder / FOLDER / f"{what}.{kind}"


def write_answers(folder: Path, what: str, answers: Answers) -> None:
    """Keep answers in a run's folder: the same bytes for the same answers."""
    file = measured_file(folder, what, "npz")
    file.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    arrays: dict[str, NDArray[Any]] = {
        "classes": answers.classes.astype(np.int32),
        "probability": answers.probability.astype(np.float32),
        "labels": answers.labels.astype(np.int32),
        "images": np.frombuffer(answers.images.encode(), np.uint8),
    }
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            stream = io.BytesIO()
            np.save(stream, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), stream.getvalue(), zipfile.ZIP_DEFLATED)
    write_bytes(file, content.getvalue())


def read_answers(folder: Path, what: str) -> Answers | None:
    """The answers kept in a run's folder, None where none are. Raises UserError where they are damaged."""
    file = measured_file(folder, what, "npz")
    try:
        with np.load(io.BytesIO(read_bytes(file, LARGEST)), allow_pickle=False) as content:
            classes, probability, labels = (content[name] for name in ("classes", "probability", "labels"))
            images = content["images"].tobytes().decode()
        whole = [array.dtype == kind for array, kind in ((classes, np.int32), (labels, np.int32))]
        if not all(whole) or classes.shape != (len(labels), classes.shape[1]) or probability.shape != labels.shape:
            raise ValueError("its arrays do not fit together")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"{file}: is damaged ({error!s:.80}); remove it and run again") from None
    return Answers(classes, probability, labels, images)


def write_numbers(folder: Path, what: str, numbers: dict[str, Any]) -> None:
    """Keep numbers by name in a run's folder."""
    file = measured_file(folder, what, "json")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, numbers)


def read_numbers(folder: Path, what: str) -> dict[str, float] | None:
    """The numbers kept in a run's folder, None where none are. Raises UserError where they are damaged."""
    file = measured_file(folder, what, "json")
    try:
        found = read_json(file)
        if not isinstance(found, dict) or any(type(value) not in (int, float) for value in found.values()):
            raise ValueError("it holds other things than numbers by name")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: is damaged ({error!s:.80}); remove it and run again") from None
    return {key: float(value) for key, value in found.items()}
