"""The claims with their verdicts, as Markdown, CSV, JSON, LaTeX and on the screen: the same bytes for the same runs."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from alexnet_lab.claims.experiment import Row
from alexnet_lab.claims.measures import MEASURES
from alexnet_lab.claims.registration import registration_in_words
from alexnet_lab.claims.statistics import Judgement
from alexnet_lab.claims.verdict import ClaimVerdict, RowVerdict, rule_in_words
from alexnet_lab.core.console import output_console
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.files import read_json, write_json, write_text
from alexnet_lab.core.paths import as_called
from alexnet_lab.reports.ablation_table import p_in_words
from alexnet_lab.reports.markdown import markdown_table

SCHEMA_VERSION = 1
TEXT, NUMBER = str, (int, float, type(None))
LARGEST_NUMBER = 1e15  # that is shown
CLAIM_KINDS: dict[str, Any] = {
    **dict.fromkeys(("claim", "title", "statement", "section", "scale", "verdict", "reason", "rule"), TEXT),
    **dict.fromkeys(("rule_digest", "rule_registered", "command"), TEXT),
    "seeds": int,
    "about": list,
    "rows": list,
}
ROW_KINDS: dict[str, Any] = {
    **dict.fromkeys(("row", "label", "measure", "of", "how", "unit", "source", "expected"), TEXT),
    **dict.fromkeys(("paper", "mean", "low", "high", "p_corrected"), NUMBER),
    **dict.fromkeys(("against", "judgement"), (str, type(None))),
    **dict.fromkeys(("n", "images"), int),
    **dict.fromkeys(("at_least", "decides"), bool),
}
COLUMNS = ("claim", "section", "what", "paper", "here", "n", "p", "verdict")
LEFT = ("claim", "section", "what", "verdict")
STYLES = {
    Judgement.AGREES: "green",
    Judgement.CONTRADICTS: "red",
    Judgement.CANNOT_TELL: "yellow",
    Judgement.INCOMPLETE: "dim",
}
WORDS = {
    Judgement.AGREES: "agrees",
    Judgement.CONTRADICTS: "contradicts",
    Judgement.CANNOT_TELL: "cannot be told",
    Judgement.INCOMPLETE: "not complete",
}
NOTES = (
    "Paper: as it states it, single runs on ImageNet or CIFAR-10. Here: mean and 95 % interval of that row alone. "
    "Differences are paired by seed; a ratio is a geometric mean, its interval Student's on the logarithms.",
    "n: seeds; x I: on the same I images each, over which the interval holds too. p: Holm's, over the deciding rows "
    "of a claim; of no effect or, where the paper states none, of one as large as the margin. Rows without p do not "
    "decide.",
)


def write_claims(folder: Path, runs: Path, verdicts: Sequence[ClaimVerdict], about: Mapping[str, list[str]]) -> None:
    """claims.md, claims.csv, claims.json and claims.tex in `folder`.

    runs: the sweep's folder. about: by claim, lines on the runs that it is made of.
    """
    folder.mkdir(parents=True, exist_ok=True)
    records = [claim_record(verdict, runs, about.get(verdict.name, [])) for verdict in verdicts]
    write_text(folder / "claims.md", markdown(verdicts, about))
    write_text(folder / "claims.csv", _csv(records))
    write_text(folder / "claims.tex", latex(verdicts))
    write_json(folder / "claims.json", {"schema_version": SCHEMA_VERSION, "notes": list(NOTES), "claims": records})


def read_claims(path: Path) -> list[dict[str, Any]]:
    """The records of a claims.json that anybody may have put there; none where there is no such file.

    Raises UserError where it is damaged, or of another version.
    """
    try:
        found = read_json(path)
        if not isinstance(found, dict) or found.get("schema_version") != SCHEMA_VERSION:
            raise ValueError("it is of another version")
        claims = found.get("claims")
        if not isinstance(claims, list):
            raise ValueError("it has no claims")
        for claim in claims:
            _check(claim, CLAIM_KINDS)
            Judgement(claim["verdict"])
            for row in claim["rows"]:
                _check(row, ROW_KINDS)
                if not re.fullmatch(r"(above|below|within) -?\d+(\.\d+)?", row["expected"]):
                    raise ValueError(f"expected is {row['expected']!r:.40}")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: is damaged ({error!s:.120}); make the claims again") from None
    return claims


def _check(record: Any, kinds: Mapping[str, Any]) -> None:
    if not isinstance(record, dict):
        raise ValueError("a record is no object")
    for key, kind in kinds.items():
        value = record.get(key)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{key} is {value!r:.40}")
        if isinstance(value, (int, float)) and abs(value) > LARGEST_NUMBER:
            raise ValueError(f"{key} is a number that nothing measures")


def claim_record(verdict: ClaimVerdict, runs: Path, about: Sequence[str]) -> dict[str, Any]:
    """A claim with its rows, for JSON; what is unknown is None."""
    experiment = verdict.experiment
    return {
        "claim": verdict.name,
        "title": experiment.title,
        "statement": experiment.claim,
        "section": experiment.section,
        "scale": verdict.scale,
        "seeds": verdict.seeds,
        "verdict": str(verdict.judgement),
        "reason": verdict.reason,
        "rule": rule_in_words(experiment),
        "rule_digest": verdict.digest,
        "rule_registered": registration_in_words(runs, verdict.name, verdict.digest),
        "command": as_called(experiment.command),
        "about": list(about),
        "rows": [row_record(row) for row in verdict.rows],
    }


def row_record(verdict: RowVerdict) -> dict[str, Any]:
    """A row, for JSON and CSV, on the scale that people read."""
    row, mean, judged = verdict.row, verdict.mean, verdict.judged
    found = mean is not None and math.isfinite(mean.mean)
    return {
        "row": verdict.name,
        "label": row.label,
        "measure": row.measure,
        "level": row.level,
        "of": row.of,
        "against": row.against,
        "how": row.how,
        "unit": unit(row),
        "paper": row.paper,
        "source": row.source,
        "expected": row.expected,
        "mean": verdict.on_scale(mean.mean) if found and mean else None,
        "low": verdict.on_scale(mean.low) if mean else None,
        "high": verdict.on_scale(mean.high) if mean else None,
        "at_least": verdict.at_least,
        "n": mean.n if mean else 0,
        "images": mean.images if mean else 0,
        "method": mean.method if mean else None,
        "decides": row.decides,
        "p": judged.p if judged else None,
        "p_corrected": judged.p_corrected if judged else None,
        "judgement": str(judged.judgement) if judged else None,
    }


def unit(row: Row) -> str:
    """The unit of what a row shows."""
    if row.how == "ratio":
        return "x"
    measured = MEASURES[row.measure].unit
    return "points" if row.how == "difference" and measured == "%" else measured


def in_words(record: Mapping[str, Any]) -> str:
    """What a row found, of its record: +1.7 [+1.2, +2.2] points; 6.0 [5.1, 7.0] x; at least 3.2 x."""
    if record["n"] == 0:
        return ""
    if record["mean"] is None:
        return "never got there"
    sign = _sign(record)
    values = [record[key] for key in ("mean", "low", "high")]
    width = None if values[1] is None or values[2] is None else abs(values[2] - values[1]) / 2
    decimals = _decimals(width)
    shown = [None if value is None else f"{value + 0.0:{sign}.{decimals}f}" for value in values]
    interval = f" [{shown[1]}, {shown[2]}]" if width is not None else ""
    return f"{'at least ' if record['at_least'] else ''}{shown[0]}{interval} {record['unit']}".rstrip()


def _sign(record: Mapping[str, Any]) -> str:
    return "+" if record["unit"] == "points" or record["how"] == "difference" else ""


def _decimals(half_width: float | None) -> int:
    if half_width is None or half_width <= 0 or half_width >= 0.5:
        return 1 if half_width is None or half_width < 50 else 0
    return min(6, 1 - math.floor(math.log10(half_width)))


def paper_in_words(record: Mapping[str, Any]) -> str:
    """What the paper says of a row, of its record: its figure, or else only the direction."""
    if record["paper"] is None:
        return str(record["expected"])
    return f"{record['paper']:{_sign(record)}g} {record['unit']}".rstrip()


def count(record: Mapping[str, Any]) -> str:
    """Seeds of a row, of its record, and images where the interval holds over them: 5 x 5,000."""
    if record["n"] == 0:
        return ""
    return f"{record['n']}" + (f" x {record['images']:,}" if record["images"] else "")


def summary(verdicts: Sequence[ClaimVerdict]) -> str:
    """19 claims: 12 agree, 3 contradict, 4 cannot be told."""
    counts = Counter(verdict.judgement for verdict in verdicts)
    words = {
        Judgement.AGREES: "agree",
        Judgement.CONTRADICTS: "contradict",
        Judgement.CANNOT_TELL: "cannot be told",
        Judgement.INCOMPLETE: "not complete",
    }
    return f"{len(verdicts)} claims: " + ", ".join(
        f"{counts[key]} {word}" for key, word in words.items() if counts[key]
    )


def cells(verdict: ClaimVerdict) -> list[list[str]]:
    """The rows of a claim, a text for each of COLUMNS; the claim's own words stand in the first alone."""
    made = []
    for place, record in enumerate(map(row_record, verdict.rows)):
        made.append(
            [
                verdict.name if place == 0 else "",
                verdict.experiment.section if place == 0 else "",
                record["label"],
                paper_in_words(record),
                in_words(record),
                count(record),
                p_in_words(record["p_corrected"]),
                WORDS[verdict.judgement] if place == 0 else "",
            ]
        )
    return made


def markdown(verdicts: Sequence[ClaimVerdict], about: Mapping[str, list[str]]) -> str:
    """The table of all claims, then for each its statement, rule, and what its runs were."""
    scales = " and ".join(sorted({verdict.scale for verdict in verdicts}))
    rows = [row for verdict in verdicts for row in cells(verdict)]
    lines = [
        f"# The claims of the paper, at scale {scales}",
        "",
        f"{summary(verdicts)}.",
        "",
    ]
    lines += [*markdown_table(COLUMNS, rows, LEFT), "", *(f"{note}  " for note in NOTES), ""]
    for verdict in verdicts:
        experiment = verdict.experiment
        lines += [
            f"## {verdict.name}: {WORDS[verdict.judgement]}",
            "",
            experiment.claim + f" (section {experiment.section})",
        ]
        lines += ["", *([verdict.reason[0].upper() + verdict.reason[1:] + ".", ""] if verdict.reason else [])]
        lines += [f"Rule {verdict.digest[:12]}: {rule_in_words(experiment)}  "]
        lines += [f"    {as_called(experiment.command)}".replace("    ", "Command: `", 1) + "`  "]
        lines += [*(f"{line}  " for line in about.get(verdict.name, [])), ""]
    return "\n".join(lines)


def latex(verdicts: Sequence[ClaimVerdict]) -> str:
    """The table for a paper, with booktabs."""
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{tabular}{lllrrrrl}",
        r"\toprule",
        " & ".join(COLUMNS).replace("section", r"\S").capitalize() + r" \\",
        r"\midrule",
    ]
    for place, verdict in enumerate(verdicts):
        lines += [r"\addlinespace"] if place else []
        lines += [" & ".join(map(_latex_text, row)) + r" \\" for row in cells(verdict)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def _latex_text(text: str) -> str:
    escaped = re.sub(r"[\\~^&%$#_{}]", lambda found: _LATEX.get(found[0], "\\" + found[0]), text)
    escaped = re.sub(r"(?<![\w])([+-])(?=\d)", lambda found: f"${found[1]}$", escaped)
    return re.sub(r"(?<=[\d\]]) x(?= |$)", r" $\\times$", escaped).replace("<", "$<$")


def _csv(records: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    flat = [
        {
            "claim": claim["claim"],
            "section": claim["section"],
            "scale": claim["scale"],
            **row,
            "verdict": claim["verdict"],
        }
        for claim in records
        for row in claim["rows"]
    ]
    if flat:
        writer = csv.DictWriter(text, list(flat[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
    return text.getvalue()


def print_claims(verdicts: Sequence[ClaimVerdict]) -> None:
    """The table on standard output, as wide as it needs where that is not a terminal."""
    console = output_console(width=180)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in LEFT else "right", overflow="fold")
    for verdict in verdicts:
        for row in cells(verdict):
            table.add_row(*map(Text, row[:-1]), Text(row[-1], STYLES[verdict.judgement]))
    console.print(table)
    console.print(Text(summary(verdicts), "bold"))


def print_verdict(verdict: ClaimVerdict) -> None:
    """One claim on standard output: its rows, the verdict and the reason."""
    print_claims([verdict])
    because = f" ({verdict.reason})" if verdict.reason else ""
    print(f"{verdict.name}: {WORDS[verdict.judgement]}{because}")
