"""The W&B report of a sweep, as code: the paper's figures beside ours, then the evidence."""

from __future__ import annotations

from typing import Any

import wandb
import wandb_workspaces.expr as expr
import wandb_workspaces.reports.v2 as wr

from alexnet_lab.claims.experiment import Experiment
from alexnet_lab.reports import wandb_workspace
from alexnet_lab.reports.ablation_table import in_words
from alexnet_lab.reports.markdown import markdown_table

TITLES = {"top1": "top-1 error %", "top5": "top-5 error %"}


def make_report(
    entity: str, project: str, sweep: str, experiment: Experiment | None, table: dict[str, Any] | None
) -> wr.Report:
    """The report of a sweep. table: what table.json holds, or None where the sweep has no table (yet)."""
    title = f"{experiment.title if experiment else 'Sweep'}: {sweep}"

    def grid(*panels: Any) -> wr.PanelGrid:
        runs = wr.Runset(
            entity=entity,
            project=project,
            name=sweep,
            filters=[expr.Metric("Group") == sweep, expr.Metric("JobType") == "train"],
            groupby=[f"config.{wandb_workspace.VARIANT}"],
        )
        return wr.PanelGrid(runsets=[runs], panels=list(panels))

    blocks: list[Any] = []
    if experiment is not None:
        blocks += [wr.P(text=f"{experiment.claim} (section {experiment.section} of the paper)")]
    blocks += [wr.H1(text="Ours beside the paper's")]
    if table is None:
        blocks += [wr.P(text="There is no table yet: it is made when every variant has finished runs.")]
    else:
        blocks += [wr.P(text=table["about"]), wr.MarkdownBlock(text=comparison(table["rows"]))]
        blocks += [wr.P(text=note) for note in table["notes"]]
    if experiment is not None:
        blocks += [wr.H1(text="The original program's errors"), wr.MarkdownBlock(text=originals(experiment))]
    blocks += [
        wr.H1(text="Errors"),
        grid(*wandb_workspace.error_bars()),
        wr.H1(text="Learning curves"),
        wr.P(text="Means over seeds; the bands are standard errors."),
        grid(
            wandb_workspace.curve("Validation top-1 error", "val_top1_error"),
            wandb_workspace.curve("Training top-1 error", "train_top1_error"),
        ),
        wr.H1(text="Kernels and predictions"),
        grid(
            wandb_workspace.media("conv1 kernels", "conv1_kernels"),
            wandb_workspace.media("Surest mistakes", "misclassified"),
        ),
    ]
    if experiment is not None:
        blocks += [wr.H1(text="How to repeat it"), wr.MarkdownBlock(text=f"`{experiment.command}`")]
    return wr.Report(entity=entity, project=project, title=title[:128], width="fixed", blocks=blocks)


def comparison(rows: list[dict[str, Any]]) -> str:
    """The table in Markdown: one row per variant, ours and the paper's difference side by side."""
    head = ["variant", "n"]
    for title in TITLES.values():
        head += [title, "against base", "paper"]
    table = []
    for row in rows:
        cells = [row["label"], str(row["n"])]
        for metric in TITLES:
            ours = _in_words(row[f"{metric}_difference"], row[f"{metric}_difference_half_width"], signed=True)
            if ours:
                ours += f" ({row[f'{metric}_verdict_in_words']})"
            cells += [
                _in_words(row[f"{metric}_error"], row[f"{metric}_half_width"]),
                ours or "base",
                _in_words(row[f"{metric}_paper_difference"], None, signed=True),
            ]
        table.append(cells)
    return "\n".join(markdown_table(head, table, left=("variant",)))


def originals(experiment: Experiment) -> str:
    """What the 2012 program itself reached, ten views."""
    rows = [
        [variant.label, str(known.top1), str(known.top5), known.source]
        for variant in experiment.variants.values()
        if (known := variant.original) is not None
    ]
    return "\n".join(markdown_table(["variant", *TITLES.values(), "run"], rows, left=("variant", "run")))


def save_report(report: wr.Report) -> str:
    """Create the report, or put it in the place of the one of its title; returns its address."""
    for known in wandb.Api().reports(f"{report.entity}/{report.project}"):
        if known.display_name == report.title:
            report.id = known.id
    report.save()
    return str(report.url)


def _in_words(value: float | None, half_width: float | None, signed: bool = False) -> str:
    """As the table and the page say it."""
    return "" if value is None else in_words(value, half_width, signed)
