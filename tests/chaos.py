"""A sweep under random kills ends as one that is left alone: python tests/chaos.py --kills 50 --seed 0

Kills by SIGKILL: the sweep's process group, the sweep with every job, one job, one rank of a distributed job; now and
then SIGTERM instead. Whenever the sweep has died it is started again, at once or a little later; when it has completed
before there were kills enough, another one is begun. The last line printed is JSON.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1] / "src"), str(Path(__file__).parent)]

import yaml

from alexnet_lab.core.errors import PREEMPTED_EXIT_CODE, UserError
from alexnet_lab.runs import checkpoint_file
from alexnet_lab.runs.result import read_result
from conftest import SOURCE, one_thread
from processes import children_of, working_in

EXPERIMENT = """
title: Chaos
claim: A sweep that is killed again and again ends as one that is left alone.
section: "-"
base: base
seeds: 2
cost: seconds
command: make chaos
margin: {top1: 1.0, top5: 0.5}
variants:
  base:
    label: two towers
  one-tower:
    label: one tower
    overrides: [model.towers=1, model.half_kernels=true]
  two-processes:
    label: two processes that share a batch
    overrides: [trainer=ddp, trainer.devices=2, trainer.accelerator=cpu, trainer.collective_timeout=60]
"""
COMMAND = (
    "experiment=chaos", "jobs=2", "sweep_retries=1000", "trainer.accelerator=cpu", "trainer.max_epochs=6",
    "trainer.checkpoint_steps=5", "data.num_classes=7", "data.train_images_per_class=64",
    "data.val_images_per_class=14", "optim.batch_size=32", "logger=none", "model.width=0.125",
)  # fmt: skip
RUNS = 6
KINDS = ("group", "group", "everything", "job", "job", "rank", "rank", "terminate")
# Both only end what hangs. A job notices within a second that its sweep has died, and saves a checkpoint.
MOST_SECONDS_OF_A_SWEEP, SECONDS_TO_END = 3600.0, 600.0
BESIDE = re.compile(r"^\..+\.\d+$|\.new$")  # files in the making


@dataclass
class Storm:
    """What was done, and what was found."""

    folder: Path
    random: random.Random
    kills: int = 0
    terminations: int = 0
    restarts: int = 0
    sweeps: int = 0
    tables_differ: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    done_twice: list[str] = field(default_factory=list)
    metrics_differ: list[str] = field(default_factory=list)
    left: int = 0
    results: dict[Path, tuple[int, int]] = field(default_factory=dict)  # result.json as it was seen first

    def begin(self, sweep: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(self.folder / "src" / "reproduce.py"), *COMMAND, f"sweep={sweep}"]
        with (self.folder / "said.log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=one_thread(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    def calm(self, sweep: str) -> None:
        process = self.begin(sweep)
        if process.wait(MOST_SECONDS_OF_A_SWEEP):
            raise SystemExit(f"the sweep that was left alone failed: {(self.folder / 'said.log').read_text()[-3000:]}")

    def disturbed(self, sweep: str, kills: int) -> None:
        """One sweep, killed until there are so many kills in all or it has completed."""
        self.sweeps += 1
        process, deadline = self.begin(sweep), time.monotonic() + MOST_SECONDS_OF_A_SWEEP
        while True:
            code = self.wait(process, sweep, 60.0 if self.kills >= kills else self.random.uniform(0.0, 5.0))
            if time.monotonic() > deadline:
                os.killpg(process.pid, signal.SIGKILL)
                raise SystemExit(f"{sweep}: has not ended in {MOST_SECONDS_OF_A_SWEEP:.0f} s")
            if code == 0:
                return
            if code is not None:
                if code not in (-signal.SIGKILL, -signal.SIGTERM, PREEMPTED_EXIT_CODE):
                    raise SystemExit(f"{sweep}: exit code {code}: {(self.folder / 'said.log').read_text()[-3000:]}")
                if self.random.random() < 0.5:
                    self.wait_until_quiet()
                self.restarts += 1
                process = self.begin(sweep)
            elif self.kills < kills and self.something_runs(sweep):
                self.strike(process)

    def wait(self, process: subprocess.Popen[bytes], sweep: str, seconds: float) -> int | None:
        """The exit code, or None where it has not ended meanwhile."""
        deadline = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < deadline:
            self.watch_results(sweep)
            time.sleep(0.05)
        self.watch_results(sweep)
        return process.poll()

    def something_runs(self, sweep: str) -> bool:
        """Whether some job trains; now and then a kill comes earlier than that."""
        states = [text for file in self.jobs(sweep) if (text := _text(file / "progress.json"))]
        return any('"training"' in text or '"validating"' in text for text in states) or self.random.random() < 0.03

    def strike(self, process: subprocess.Popen[bytes]) -> None:
        everything = [pid for pid in working_in(self.folder) if pid != os.getpid()]
        leaders = [pid for pid in everything if _group(pid) == pid and pid != process.pid]
        ranks = [rank for leader in leaders for rank in children_of(leader) if b"LOCAL_RANK=" in _environment(rank)]
        kind = self.random.choice(KINDS)
        targets: list[int] = []
        if kind == "group":
            os.killpg(process.pid, signal.SIGKILL)
            targets = [process.pid]
        elif kind == "everything":
            targets = everything
        elif kind == "job":
            targets = [self.random.choice(leaders)] if leaders else []
        elif kind == "rank":
            both = [*ranks, *(leader for leader in leaders if set(children_of(leader)) & set(ranks))]
            targets = [self.random.choice(both)] if both else []
        else:
            asked = self.random.choice([process.pid, *leaders])
            with suppress(ProcessLookupError):
                os.kill(asked, signal.SIGTERM)
            self.terminations += 1
            self.say(f"SIGTERM to {'the sweep' if asked == process.pid else 'a job'}")
            return
        for pid in targets:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if targets:
            self.kills += 1
            self.say(f"kill {self.kills}: {kind}")

    def watch_results(self, sweep: str) -> None:
        """A result that has been written once stays as it is."""
        for folder in self.jobs(sweep):
            path = folder / "result.json"
            with suppress(FileNotFoundError):
                facts = path.stat()
                seen = self.results.setdefault(path, (facts.st_ino, facts.st_mtime_ns))
                if seen != (facts.st_ino, facts.st_mtime_ns):
                    self.done_twice.append(f"{path}: was written again")

    def wait_until_quiet(self) -> None:
        """Every process of the sweep must end by itself."""
        deadline = time.monotonic() + SECONDS_TO_END
        while working_in(self.folder) and time.monotonic() < deadline:
            time.sleep(0.1)
        for pid in working_in(self.folder):
            self.left += 1
            self.say(f"process {pid} is left: {Path(f'/proc/{pid}/cmdline').read_bytes()[:500]!r}")
            os.kill(pid, signal.SIGKILL)

    def compare(self, sweep: str, calm: str) -> None:
        """The tables, the metrics of each run, and every file."""
        for name in ("table.md", "table.csv", "table.json"):
            one, other = (self.folder / "reports" / of / "chaos" / name for of in (sweep, calm))
            if one.read_bytes() != other.read_bytes():
                self.tables_differ.append(f"{sweep}/{name}")
        for folder in self.jobs(sweep):
            if (times := (folder / "train.log").read_text().count("done: top-1 error")) > 1:
                self.done_twice.append(f"{folder}: {times} times")
            if _rows(folder) != _rows(self.folder / "runs" / calm / folder.name):
                self.metrics_differ.append(str(folder))
        self.damaged += damaged_files(self.folder)

    def jobs(self, sweep: str) -> list[Path]:
        return sorted(folder for folder in (self.folder / "runs" / sweep).glob("*_seed-*") if folder.is_dir())

    def say(self, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def damaged_files(folder: Path) -> list[str]:
    """Files that cannot be read as what they are, or that were left half made."""
    damaged = []
    for path in sorted(path for path in (folder / "runs").rglob("*") if path.is_file()):
        try:
            if BESIDE.search(path.name):
                raise ValueError("was left in the making")
            if path.name == "result.json":
                read_result(path.parent)
            if path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            elif path.suffix == ".yaml":
                yaml.safe_load(path.read_text(encoding="utf-8"))
            elif path.suffix == ".csv":
                rows = list(csv.reader(path.open(newline="", encoding="utf-8"), strict=True))
                if len({len(row) for row in rows}) != 1:
                    raise ValueError("has rows of several lengths")
            elif path.suffix == ".ckpt":
                checkpoint_file.read(path)
            elif path.suffix == ".log" and b"\0" in path.read_bytes():
                raise ValueError("has holes")
        except (OSError, ValueError, UserError, csv.Error, yaml.YAMLError) as error:
            damaged.append(f"{path}: {error}")
    return damaged


def _rows(folder: Path) -> list[dict[str, str]]:
    """metrics.csv without what the clock decides."""
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{key: value for key, value in row.items() if key not in ("seconds", "images_per_second")} for row in rows]


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8")
    return ""


def _group(pid: int) -> int:
    with suppress(ProcessLookupError):
        return os.getpgid(pid)
    return 0


def _environment(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes()
    return b""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name).resolve()
        for part in ("src", "conf"):
            shutil.copytree(SOURCE.parent / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(SOURCE.parent / "experiments" / "scales", folder / "experiments" / "scales")
        (folder / "experiments" / "chaos.yaml").write_text(EXPERIMENT)
        storm = Storm(folder, random.Random(options.seed))
        storm.calm("calm")
        storm.say(f"the sweep that is left alone took {time.monotonic() - started:.0f} s")
        while storm.kills < options.kills:
            sweep = f"stormy-{storm.sweeps}"
            storm.disturbed(sweep, options.kills)
            storm.wait_until_quiet()
            storm.compare(sweep, "calm")
            assert len(storm.jobs(sweep)) == RUNS
    for found in (storm.tables_differ, storm.damaged, storm.done_twice, storm.metrics_differ):
        for text in found:
            print(text)
    report = {
        "kills": storm.kills,
        "table_identical": not storm.tables_differ,
        "metrics_identical": not storm.metrics_differ,
        "damaged_files": len(storm.damaged),
        "runs_done_twice": len(storm.done_twice),
        "left_processes": storm.left,
        "terminations": storm.terminations,
        "restarts": storm.restarts,
        "sweeps": storm.sweeps,
        "runs_of_a_sweep": RUNS,
        "seed": options.seed,
        "minutes": round((time.monotonic() - started) / 60, 1),
    }
    print(json.dumps(report))
    sys.exit(bool(storm.tables_differ or storm.damaged or storm.done_twice or storm.metrics_differ or storm.left))


if __name__ == "__main__":
    main()
