"""The table of a sweep as an artifact on W&B, made from the weights of its runs: which runs, that is its lineage."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import wandb

from alexnet_lab.tracking.run_identity import ID_FILE
from alexnet_lab.tracking.wandb_process import PRIVATE

TABLE_FILES = ("table.md", "table.csv", "table.json")


def save_table(entity: str, project: str, sweep: str, tables: Path, folder: Path) -> bool:
    """Log the sweep's table as a version of its artifact, where it has changed; False where there is no table.

    tables: the folder of its files; folder: that of the runs.
    """
    files = [tables / name for name in TABLE_FILES if (tables / name).exists()]
    if not files:
        return False
    artifact = wandb.Artifact(f"table-{artifact_name(sweep)}", "table")
    for file in files:
        # Neither copied nor cached: the manifest that W&B is sent names the file's place, which is relative here.
        artifact.add_file(str(file), name=file.name, policy="immutable", skip_cache=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        wandb.init(
            entity=entity,
            project=project,
            id=f"table-{hashlib.sha256(sweep.encode()).hexdigest()[:8]}",
            name=f"table of {sweep}",
            group=sweep,
            job_type="table",
            resume="allow",
            dir=scratch,
            settings=wandb.Settings(**PRIVATE | {"program": "src/dashboard.py"}, x_disable_stats=True),  # type: ignore[arg-type]
        ) as run,
    ):
        for name in weights_of(folder):
            try:
                run.use_artifact(f"{entity}/{project}/{name}:best", type="model")
            except (wandb.Error, ValueError):
                continue  # a run that is not uploaded, or kept no weights
        run.log_artifact(artifact)
    return True


def weights_of(folder: Path) -> list[str]:
    """Names of the artifacts with the weights of a sweep's runs."""
    return [f"weights-{path.read_text(encoding='ascii').strip()}" for path in sorted(folder.glob(f"*/{ID_FILE}"))]


def artifact_name(sweep: str) -> str:
    """The sweep's name in the letters that W&B allows an artifact."""
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in sweep)[:100]
