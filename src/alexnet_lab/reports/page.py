"""The page as HTML: one file that holds all it needs, in parts that `watch` sends again when they change."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.files import make_folder, read_bytes, write_text
from alexnet_lab.reports import page_charts
from alexnet_lab.reports.page_content import LARGEST_FIGURE, Content, Figure, Line, collect_page
from alexnet_lab.reports.run_view import RunReader, RunView
from alexnet_lab.runs.paths import readable, reports_folder

if TYPE_CHECKING:
    from jinja2 import Environment

FILES = Path(__file__).parent / "page_files"
PAGE = "index.html"
MOST_FAILURES = 5  # whose last lines are shown at the top
MARKS = {
    "agrees": "✓",
    "contradicts": "✗",
    "cannot be told": "?",
    "table": "▤",
    "under way": "…",
    "so far": "…",
    "not run": "○",
}
SCALES = {
    "mini": "a small network on small images, on a CPU. What it shows need not be so on ImageNet.",
    "paper": "the paper's own network and data.",
}


@dataclass(frozen=True)
class Rendered:
    """The page's parts as HTML, in their order, and its charts by name."""

    title: str
    parts: Mapping[str, str]
    charts: Mapping[str, Mapping[str, Any]]


def write_page(sweep: Path, reports: Path | None = None) -> Path:
    """Write index.html over a sweep beside its reports: the same bytes for the same runs and reports.

    reports: where they are; None: where src/reproduce.py writes them. Returns the file. Raises UserError where nothing
    has been run, or a report is damaged.
    """
    folder = reports or reports_folder(sweep.name)
    content = collect_page(sweep, RunReader(), strict=True, reports=folder)
    if not content.runs and not content.sections:
        raise UserError(f"{sweep}: nothing has been run there; name the folder of a sweep with sweep=NAME")
    make_folder(folder)
    write_text(folder / PAGE, whole_page(content, render(content, out=folder)))
    return folder / PAGE


def render(content: Content, out: Path | None) -> Rendered:
    """out: the folder of the file, from which it links to run folders; None where it is served, and links to none.

    A page that is a file has a still plot of each chart, for print and where no script runs.
    """
    live = out is None
    macros = _environment(out).get_template("parts.html").module
    parts: dict[str, str] = {}
    charts: dict[str, Mapping[str, Any]] = {}

    def add(name: str, macro: str, *arguments: Any) -> None:
        parts[name] = str(getattr(macros, macro)(*arguments)).strip()

    add("top", "top", content, SCALES.get(content.scale, ""), live)
    add("progress", "progress", content, live)
    add("overview", "overview", content)
    for section in (*(one for one in content.sections if one.is_run), *filter(None, [content.others])):
        labels, curves = [label for label, _ in section.series], [runs for _, runs in section.series]
        own = page_charts.learning_curves(labels, curves, section.levels)
        named = {panel: f"{section.anchor}-{panel}" for panel in own}
        charts |= {named[panel]: spec for panel, spec in own.items()}
        drawn = {panel: "" if live else page_charts.svg(spec, named[panel]) for panel, spec in own.items()}
        add(f"{section.anchor}-head", "section_head", section)
        add(f"{section.anchor}-measured", "section_lines", section)
        add(f"{section.anchor}-tables", "section_tables", section)
        add(f"{section.anchor}-curves", "section_curves", section, drawn)
        add(f"{section.anchor}-figures", "section_figures", section)
        add(f"{section.anchor}-runs", "section_runs", section, live)
    title = "The AlexNet paper, claim by claim" if content.sections else f"Runs of {content.sweep}"
    return Rendered(title, parts, charts)


def whole_page(content: Content, rendered: Rendered, version: str = "") -> str:
    """The document. version: of a page that is served, what it asks for changes since; of a file none."""
    template = _environment(None).get_template("page.html")
    page: str = template.render(
        content=content,
        rendered=rendered,
        version=version,
        policy="" if version else policy(live=False),
        style=_file("page.css"),
        script=_file("page.js"),
        library=_library(),
        charts=json_in_html(rendered.charts),
    )
    return page + "\n"


def policy(live: bool) -> str:
    """The content security policy: the page's own two scripts run, no other, and nothing is fetched from anywhere."""
    own = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in (_library(), _file("page.js"))
    )
    rules = [
        "default-src 'none'",
        f"script-src {own}",
        "style-src 'unsafe-inline'",  # which Vega's tooltip and the charts' sizes need
        "img-src data:",
        f"connect-src {chr(39)}{'self' if live else 'none'}{chr(39)}",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return "; ".join([*rules, "frame-ancestors 'none'"] if live else rules)


def json_in_html(value: Any) -> str:
    """JSON that means nothing to a parser of HTML, whatever texts are in it."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _environment(out: Path | None) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    made = Environment(
        loader=FileSystemLoader(FILES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def plot(line: Line) -> str:
        # The same spec has the same ids, which then mean the same.
        name = hashlib.sha256(json.dumps(line.plot).encode()).hexdigest()[:8]
        return "" if line.plot is None else page_charts.svg(line.plot, f"plot-{name}")

    def folder(run: RunView) -> Markup:
        if out is None:
            return Markup("{}").format(run.name)
        return Markup('<a href="{}">{}</a>').format(quote(os.path.relpath(run.path, out)) + "/", run.name)

    def image(figure: Figure) -> Markup:
        try:
            content = read_bytes(figure.path, LARGEST_FIGURE)
        except (OSError, UserError) as error:  # too large, or gone meanwhile
            return Markup("<p>{}</p>").format(str(error))
        data = base64.b64encode(content).decode()
        return Markup('<img alt="{}" src="data:image/png;base64,{}">').format(figure.alternative, data)

    filters: dict[str, Callable[..., Any]] = {
        "svg": plot,
        "folder": folder,
        "image": image,
        "slug": lambda text: readable(str(text)).lower(),
        "anchor": readable,
    }
    made.filters.update(filters)
    made.globals.update(marks=MARKS, colours=page_charts.COLOURS, most_failures=MOST_FAILURES)
    return made


@lru_cache
def _file(name: str) -> str:
    return (FILES / name).read_text(encoding="utf-8")


@lru_cache
def _library() -> str:
    return page_charts.library().replace("</script", "<\\/script").replace("<!--", "<\\!--")
