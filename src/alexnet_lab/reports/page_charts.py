"""The page's charts as Vega-Lite: a plot of each interval, and learning curves with bands over the seeds.

Vega-Lite because one description is a static SVG, for print and without JavaScript, and an interactive chart; it needs
no network, brings 0.9 MB (Plotly 4.8, Bokeh 1.3 and a browser for its SVG) and is well kept. vl-convert holds both.
Colours are variables of the page's style, so that the same chart serves light and dark.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

VEGA_LITE = "6.4"  # the version that vl-convert is asked for
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"  # a name; nothing is fetched
COLOURS = 6  # then dashes tell apart, which the same colours have again
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
MOST_EPOCHS = 300  # of a curve; of more, evenly spread ones are drawn
WIDTH, HEIGHT = 240, 30  # of an interval's plot, in pixels
PANELS = {"validation": "Validation top-1 error, %", "training": "Training top-1 error, %"}
SAID = {"mean": "mean", "lowest": "low", "highest": "high"}  # of each epoch, by its word
FONT = "system-ui, 'Liberation Sans', Arial, sans-serif"
CONFIG: dict[str, Any] = {
    "background": None,
    "font": FONT,
    "view": {"stroke": None},
    "aria": False,  # the figure around it has the words
    "axis": {
        "labelColor": "var(--faint)",
        "titleColor": "var(--faint)",
        "tickColor": "var(--line)",
        "domainColor": "var(--line)",
        "gridColor": "var(--line)",
        "titleFontWeight": "normal",
        "labelFontSize": 11,
        "titleFontSize": 11,
    },
}

Curve = Mapping[int, tuple[float, ...]]


def interval(
    *,
    mean: float | None,
    low: float | None,
    high: float | None,
    paper: float | None,
    claimed: tuple[float | None, float | None],
    zero: float,
    ratio: bool,
    reach: tuple[float, float],
    at_least: bool = False,
    shade: str = "claimed",
) -> dict[str, Any]:
    """A row's mean with its interval, the paper's figure as a diamond, and shaded where what is claimed holds.

    claimed: from, to; None where that side is open. shade: its colour. zero: no effect. ratio: on a logarithmic scale.
    reach: of the axis.
    """
    scale: dict[str, Any] = {"domain": list(reach), "nice": False, "clamp": True, "zero": False}
    if ratio:
        scale["type"] = "log"
    start, end = (reach[side] if bound is None else bound for side, bound in enumerate(claimed))
    axis: dict[str, Any] = {"title": None, "grid": False, "domain": False, "tickSize": 3, "labelFontSize": 10}
    axis |= {"tickCount": 4, "labelOverlap": True, "labelFlush": True}
    x = {"type": "quantitative", "scale": scale, "axis": axis}

    def layer(mark: Mapping[str, Any], encoding: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        return {"data": {"values": [values]}, "mark": {"tooltip": None, **mark}, "encoding": encoding}

    first, second = {"field": "a", **x}, {"field": "b"}
    layers = [
        layer({"type": "rect", "color": f"var(--{shade})"}, {"x": first, "x2": second}, {"a": start, "b": end}),
        layer({"type": "rule", "color": "var(--faint)"}, {"x": first}, {"a": zero}),
    ]
    if low is not None and high is not None:
        mark = {"type": "rule", "color": "var(--ours)", "strokeWidth": 2.5}
        layers.append(layer(mark, {"x": first, "x2": second}, {"a": low, "b": high}))
    if paper is not None:
        mark = {"type": "point", "shape": "diamond", "size": 75, "filled": True, "opacity": 1}
        mark |= {"fill": "var(--ground)", "stroke": "var(--paper)", "strokeWidth": 1.8}
        layers.append(layer(mark, {"x": first}, {"a": paper}))
    if mean is not None:
        mark = {"type": "point", "filled": True, "size": 60, "color": "var(--ours)", "opacity": 1}
        mark |= {"shape": "triangle-right" if at_least else "circle"}
        layers.append(layer(mark, {"x": first}, {"a": mean}))
    return {"$schema": SCHEMA, "width": WIDTH, "height": HEIGHT, "padding": 2, "layer": layers, "config": CONFIG}


def reach_of(values: Sequence[float | None], zero: float, ratio: bool) -> tuple[float, float]:
    """An axis that has all of these and no effect within it, with some room."""
    known = [zero, *(value for value in values if value is not None and math.isfinite(value))]
    if ratio:
        logs = [math.log(value) for value in known if value > 0]
        room = max(0.1, 0.12 * (max(logs) - min(logs)))
        return math.exp(min(logs) - room), math.exp(max(logs) + room)
    room = 0.12 * (max(known) - min(known)) or 1.0
    return min(known) - room, max(known) + room


def learning_curves(
    labels: Sequence[str], runs: Sequence[Sequence[Curve]], levels: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """By panel, the mean of each variant's runs with a band from the lowest to the highest of them.

    runs: by variant, the curves of its seeds. levels: by panel, the error to which a claim counts epochs. A click on a
    name of the page's legend sets the signal `shown`.
    """
    values: dict[str, list[dict[str, Any]]] = {panel: [] for panel in PANELS}
    for place, own in enumerate(runs):
        epochs = sorted({epoch for curve in own for epoch in curve})
        if len(epochs) > MOST_EPOCHS:
            step = (len(epochs) - 1) / (MOST_EPOCHS - 1)
            epochs = sorted({epochs[round(number * step)] for number in range(MOST_EPOCHS)})
        for epoch in epochs:
            found = [curve[epoch] for curve in own if epoch in curve]
            for column, panel in enumerate(PANELS):
                errors = [point[column] for point in found]
                values[panel].append(
                    {
                        "v": place,
                        "variant": labels[place],
                        "epoch": epoch,
                        "mean": _short(math.fsum(errors) / len(errors)),
                        "low": _short(min(errors)),
                        "high": _short(max(errors)),
                        "runs": len(errors),
                    }
                )
    return {
        panel: _panel(values[panel], len(labels), title, levels.get(panel))
        for panel, title in PANELS.items()
        if values[panel]
    }


def _panel(values: list[dict[str, Any]], variants: int, title: str, level: float | None) -> dict[str, Any]:
    order = list(range(variants))
    colour = {
        "field": "v",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": order, "range": [f"var(--c{place % COLOURS})" for place in order]},
    }
    dash = {
        "field": "v",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": order, "range": [DASHES[place // COLOURS % len(DASHES)] for place in order]},
    }
    x = {
        "field": "epoch",
        "type": "quantitative",
        "title": "epoch",
        "axis": {"format": "d", "labelExpr": "datum.value % 1 ? '' : datum.label", "ticks": False, "grid": False},
        "scale": {"zero": False, "nice": False},
    }
    y = {"type": "quantitative", "title": None, "scale": {"zero": True}}
    mean = {"x": x, "y": {"field": "mean", **y}, "color": colour, "strokeDash": dash}
    few = len({value["epoch"] for value in values}) < 4  # whose line would hardly be seen
    # Said as an expression, because the nearest point's cell has the point as its `datum`, which Vega-Lite's own
    # tooltips overlook where a value is a text.
    point = "(datum.datum || datum)"
    percent = [f"'{word}, %': format({point}.{key}, '.1f')" for word, key in SAID.items()]
    tooltip = ", ".join([f"variant: {point}.variant", f"epoch: {point}.epoch", *percent, f"runs: {point}.runs"])
    hover = {"name": "hover", "select": {"type": "point", "on": "pointerover", "nearest": True, "clear": "pointerout"}}
    seen = {"condition": {"param": "hover", "empty": False, "value": 1}, "value": 0}
    counted_to = {
        "data": {"values": [{"level": level}]},
        "mark": {"type": "rule", "color": "var(--paper)", "strokeDash": [5, 4], "tooltip": None},
        "encoding": {"y": {"field": "level", **y}},
    }
    return {
        "$schema": SCHEMA,
        "width": 420,
        "height": 230,
        "padding": 4,
        "title": {"text": title, "anchor": "start", "color": "var(--ink)", "fontSize": 12, "fontWeight": "normal"},
        "params": [{"name": "shown", "value": order}],
        "data": {"name": "curves", "values": values},
        "transform": [{"filter": "indexof(shown, datum.v) >= 0"}],
        "layer": [
            *([] if level is None else [counted_to]),
            {
                "mark": {"type": "area", "opacity": 0.16, "tooltip": None},
                "encoding": {"x": x, "y": {"field": "low", **y}, "y2": {"field": "high"}, "color": colour},
            },
            {"mark": {"type": "line", "strokeWidth": 1.8, "point": few, "tooltip": None}, "encoding": mean},
            {
                "params": [hover],
                "mark": {"type": "point", "filled": True, "size": 55, "tooltip": {"expr": f"{{{tooltip}}}"}},
                "encoding": mean | {"opacity": seen},
            },
        ],
        "config": CONFIG,
    }


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def svg(spec: Mapping[str, Any], name: str) -> str:
    """The chart as SVG, the same text for the same spec. name: what its ids begin with, unique in a page."""
    return re.sub(r'(\bid="|url\(#)', rf"\g<1>{name}-", _svg(json.dumps(spec, allow_nan=False)))


@lru_cache(maxsize=4096)
def _svg(spec: str) -> str:
    import vl_convert  # here, because it takes a while to load

    drawn = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)
    # No width and height of its own: the page gives it its room.
    return re.sub(r'(<svg[^>]*?) width="[\d.]+" height="[\d.]+"', r'\1 aria-hidden="true"', drawn, count=1)


@lru_cache(maxsize=1)
def library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, which sets window.vegaEmbed."""
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE))
