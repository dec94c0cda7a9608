"""Workspace, report and table of a sweep on W&B, made or brought up to date."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from alexnet_lab.claims.experiment import load_experiment
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.paths import EXPERIMENTS
from alexnet_lab.reports.ablation_table import read_table
from alexnet_lab.runs.paths import reports_folder
from alexnet_lab.tracking.wandb_access import find_access


def save_dashboard(folder: Path, experiment_name: str, project: str, entity: str) -> Iterator[tuple[str, str]]:
    """Save all three; yields each one's name and address. Saving again changes them and makes no new ones.

    Without an experiment's name: the one after which the sweep is named, if there is one. Raises UserError where
    there is no such sweep, no account, or no network.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such sweep; run it first")
    sweep = folder.name
    name = experiment_name or (sweep if (EXPERIMENTS / f"{sweep}.yaml").exists() else "")
    experiment = load_experiment(name) if name else None
    tables = reports_folder(sweep) / name
    table = read_table(tables / "table.json")
    access = find_access(wanted=True)
    if access.mode != "online":
        raise UserError(f"W&B: {access.reason}; {access.remedy}, or say terminal=true")

    import wandb

    try:
        from alexnet_lab.reports import wandb_report, wandb_table, wandb_workspace
    except ImportError as error:
        raise UserError(f"{error.name} is not installed; pip install wandb-workspaces") from None

    try:
        owner = entity or str(wandb.Api().default_entity)
        yield "workspace", wandb_workspace.save_workspace(wandb_workspace.make_workspace(owner, project, sweep))
        yield "report", wandb_report.save_report(wandb_report.make_report(owner, project, sweep, experiment, table))
        if wandb_table.save_table(owner, project, sweep, tables, folder):
            yield "table", f"artifact table-{wandb_table.artifact_name(sweep)}"
    except Exception as error:
        if not type(error).__module__.startswith("wandb"):
            raise  # a mistake of ours
        raise UserError(f"W&B: {' '.join(str(error).split())[:200]}; the same command tries again") from None
