"""Where the project's own files are, in a checkout and where it is installed, and where what it makes goes."""

from __future__ import annotations

import re
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_SHIPPED = _PACKAGE / "shipped"  # in a wheel, made by setup.py: src/*.py, conf/ and experiments/ as in a checkout
INSTALLED = _SHIPPED.is_dir()
_ROOT = _SHIPPED if INSTALLED else _PACKAGE.parents[1]

SOURCE = _PACKAGE.parent  # what a process has on its path that imports the package
SCRIPTS = _ROOT / "src"
TRAIN = SCRIPTS / "train.py"
CONF = _ROOT / "conf"
LOCAL_CONF = CONF / "local"  # somebody's own options, which git ignores
EXPERIMENTS = _ROOT / "experiments"
RUNS = Path("runs")  # from where the program is started
REPORTS = Path("reports")  # likewise


def as_called(text: str) -> str:
    """The text with each `python src/train.py` in it as that program is called here."""
    return re.sub(r"(?<![\w/.])(?:python )?src/(\w+)\.py\b", r"alexnet-lab \1", text) if INSTALLED else text
