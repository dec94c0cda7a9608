"""How every figure is drawn and written: colours, letters, SVG beside PNG."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alexnet_lab.core.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Blue and vermilion of Okabe and Ito, which colour-blind people tell apart; the markers differ besides.
OURS, PAPER, BAND, TEXT, FAINT = "#0072B2", "#D55E00", "#E6ECF0", "#1F2328", "#59636E"
COLOURS = (OURS, PAPER, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # the others of theirs, without yellow and black
SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "alexnet-lab",  # ids of the SVG's parts, at random otherwise
    "svg.fonttype": "path",  # the same on every machine, whatever fonts it has
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "text.parse_math": False,
    "font.size": 10,
}


def write_figure(folder: Path, name: str, draw: Callable[[], Figure]) -> None:
    """NAME.svg and NAME.png in `folder`: the same bytes for the same figure.

    Both have a background of their own, so that they can be read on light and dark pages.
    """
    import matplotlib  # here, because only what is written needs it

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # nobody's own matplotlibrc
        matplotlib.rcParams.update(SETTINGS)
        figure = draw()
        for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
            content = io.BytesIO()
            figure.savefig(content, format=kind, dpi=150, metadata=metadata)
            write_bytes(folder / f"{name}.{kind}", content.getvalue())
