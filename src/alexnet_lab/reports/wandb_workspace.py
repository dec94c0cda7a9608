"""The W&B workspace of a sweep, as code: what is on the screen, in which order, grouped how.

Seeds are never shown one by one: curves are means over seeds with a band of their standard error, a curve a variant.
"""

from __future__ import annotations

import hashlib
from typing import Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from wandb_workspaces.workspaces import internal

AXIS = "epoch"
VARIANT = "variant"
GPUS = 8  # of a machine, the most that are drawn
COLUMNS = (
    "config:variant.value",
    "config:seed.value",
    "summary:final_val_top1_error",
    "summary:final_val_top5_error",
    "summary:best_val_top1_error",
    "summary:best_epoch",
    "summary:final_train_top1_error",
    "config:parameters.value",
    "summary:images_per_second",
    "run:state",
    "run:runtime",
)


def make_workspace(entity: str, project: str, sweep: str) -> ws.Workspace:
    """The workspace of a sweep; nothing is sent before it is saved."""
    workspace = ws.Workspace(
        entity=entity,
        project=project,
        name=f"AlexNet Lab: {sweep}",
        settings=ws.WorkspaceSettings(
            x_axis=AXIS, smoothing_type="none", max_runs=100, tooltip_number_of_runs="all_runs"
        ),
        runset_settings=ws.RunsetSettings(
            filters=[ws.Metric("Group") == sweep, ws.Metric("JobType") == "train"],
            groupby=[ws.Config(VARIANT)],
            order=[ws.Ordering(ws.Summary("final_val_top1_error"), ascending=True)],
            pinned_columns=list(COLUMNS),
        ),
        sections=[
            ws.Section(name="Table", is_open=True, pinned=True, panels=[*error_bars()]),
            ws.Section(
                name="Learning curves",
                is_open=True,
                panels=[
                    curve("Validation top-1 error", "val_top1_error"),
                    curve("Validation top-5 error", "val_top5_error"),
                    curve("Training top-1 error", "train_top1_error"),
                    curve("Validation loss", "val_loss"),
                    curve("Training loss, step by step", "train_loss", log=True),
                    curve("Learning rate", "learning_rate", log=True),
                ],
            ),
            ws.Section(
                name="Throughput",
                panels=[
                    curve("Images per second", "images_per_second"),
                    bars("Images per second, last", "images_per_second"),
                    wr.ScatterPlot(
                        title="Error against parameters",
                        x=wr.Config("parameters"),
                        y=wr.SummaryMetric("final_val_top1_error"),
                    ),
                ],
            ),
            ws.Section(
                name="Kernels and predictions",
                panels=[
                    media("conv1 kernels", "conv1_kernels"),
                    media("Confusion matrix", "confusion_matrix"),
                    media("Five most probable classes", "top5"),
                    media("Surest mistakes", "misclassified"),
                ],
            ),
            ws.Section(
                name="System",
                panels=[
                    system("GPU used %", *(f"gpu.{number}.gpu" for number in range(GPUS))),
                    system("GPU memory used %", *(f"gpu.{number}.memoryAllocated" for number in range(GPUS))),
                    system("Processor used %", "cpu"),
                    system("Memory of the run, MB", "proc.memory.rssMB"),
                ],
            ),
        ],
    )
    workspace._internal_name = internal_name(sweep)
    return workspace


def save_workspace(workspace: ws.Workspace) -> str:
    """Create the workspace, or put it in the place of the one of its name; returns its address."""
    try:
        known = internal.View.from_name(workspace.entity, workspace.project, workspace._internal_name)
        workspace._internal_id = known.id
    except ValueError:  # there is none yet
        pass
    workspace.save()
    return str(workspace.url)


def internal_name(sweep: str) -> str:
    """The name under which W&B keeps the view: one a sweep, so that saving it again replaces it."""
    return f"nw-{hashlib.sha256(sweep.encode()).hexdigest()[:11]}-v"


def curve(title: str, metric: str, log: bool = False) -> wr.LinePlot:
    """A mean over seeds for each variant, with a band of the standard error."""
    return wr.LinePlot(
        title=title,
        x=AXIS,
        y=[metric],
        log_y=log or None,
        groupby=wr.Config(VARIANT),
        groupby_aggfunc="mean",
        groupby_rangefunc="stderr",
        aggregate=True,
        max_runs_to_show=100,
        point_visualization_method="bucketing-gorilla",
    )


def bars(title: str, metric: str) -> wr.BarPlot:
    """One bar per variant: the mean over seeds, with the standard error."""
    return wr.BarPlot(
        title=title,
        metrics=[wr.SummaryMetric(metric)],
        groupby=wr.Config(VARIANT),
        groupby_aggfunc="mean",
        groupby_rangefunc="stderr",
        aggregate=True,
        max_runs_to_show=100,
    )


def error_bars() -> list[wr.BarPlot]:
    """The table's two columns of errors as bars."""
    return [
        bars("Top-1 error, last epoch", "final_val_top1_error"),
        bars("Top-5 error, last epoch", "final_val_top5_error"),
    ]


def system(title: str, *metrics: str) -> wr.LinePlot:
    """What wandb samples of the machine, one line per run."""
    shown: list[Any] = [f"system/{metric}" for metric in metrics]
    return wr.LinePlot(title=title, x="Relative Time (Process)", y=shown, max_runs_to_show=100)


def media(title: str, key: str) -> wr.MediaBrowser:
    """Images side by side, a column a run, with a slider over the steps."""
    return wr.MediaBrowser(title=title, media_keys=[key], mode="gallery", gallery_axis="run", num_columns=3)
