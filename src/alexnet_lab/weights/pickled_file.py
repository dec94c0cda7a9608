"""Files of torch.save, read without running what they may ask to run."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import torch

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.stored_archive import check_stored
from alexnet_lab.weights.file_kind import check_file


def read_pickled(path: Path) -> Any:
    """What torch.save wrote, on the CPU: tensors and plain containers, nothing else.

    Raises UserError for a file that asks for any other Python object, is damaged, or unpacks to more than it holds.
    """
    check_file(path)
    check_stored(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about ways of pickling: either it is read, or one line says why not
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file may fail anywhere in there, and never mends by a traceback
        wanted = re.search(r"(?:GLOBAL|class|function) ((?:\w+\.)+\w+)", str(error))
        if wanted:
            reason = f"it holds Python objects ({wanted[1]:.80}) where weights are tensors alone"
            raise UserError(f"{path}: refused, {reason}") from None
        raise UserError(f"{path}: cannot be read; it is damaged, cut short, or not a file of weights") from None
