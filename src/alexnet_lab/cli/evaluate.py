"""What src/evaluate.py does: from its command line to errors on the screen and in files."""

from __future__ import annotations

import os
import sys
import time

from alexnet_lab.cli.arguments import choice, flag, path, read_arguments, whole_number
from alexnet_lab.cli.evaluation_request import default_folder, run_folders
from alexnet_lab.cli.preflight import check_devices
from alexnet_lab.config.options import TrainerConfig
from alexnet_lab.config.parts import refuse_strangers
from alexnet_lab.core import parent_watchdog, signals
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.files import check_folder_writable, check_no_links
from alexnet_lab.runs.config_snapshot import CONFIG_FILE, configuration_of

NAMED_BY_RUNS = ("model", "data")  # what an evaluation makes of what a run's folder names
KEYS = {
    "run": None,
    "views": "centre",
    "checkpoint": "last",
    "devices": "1",
    "accelerator": "auto",
    "data.root": "",
    "data.store_root": "",
    "out": "",
    "trust": "false",
}


def evaluate() -> None:
    """Evaluate what sys.argv asks for. Raises UserError before torch is loaded, where it can tell."""
    asked = read_arguments(sys.argv[1:], KEYS)
    trust = flag("trust", asked["trust"])
    runs = run_folders(asked["run"])
    for run in runs:
        refuse_strangers(configuration_of(run), NAMED_BY_RUNS, run / CONFIG_FILE, trust)
    views, checkpoint = choice("views", asked["views"], ("centre", "ten-crop")), asked["checkpoint"]
    choice("checkpoint", checkpoint, ("last", "best"))
    choice("accelerator", asked["accelerator"], ("auto", "cpu", "gpu"))
    os.environ.update(parent_watchdog.environment())  # for the other ranks, which this process starts
    devices = whole_number("devices", asked["devices"], 1, 1024)
    check_devices(TrainerConfig(accelerator=asked["accelerator"], devices=devices))
    folder = path(asked["out"]) if asked["out"] else default_folder(runs, views, checkpoint)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"out={folder}: is a file; name a folder")
    if not asked["out"] and len(runs) == 1:
        check_no_links(folder.parent)
    check_folder_writable(folder)
    signals.stop_when_asked("nothing was written")
    moved = {key: asked[key] for key in ("data.root", "data.store_root") if asked[key]}

    from alexnet_lab.core.environment import commit, hardware, versions
    from alexnet_lab.data.images_at_hand import facts
    from alexnet_lab.evaluation import evaluator, report  # here, because torch takes seconds to load
    from alexnet_lab.evaluation.members import load_members

    started = time.monotonic()
    members, store = load_members(runs, checkpoint, moved, devices, trust)
    counts, is_first = evaluator.evaluate(members, store, views, asked["accelerator"], devices)
    if not is_first:
        return
    about = {"views": views, "checkpoint": checkpoint, "images_of": str(store.path), "devices": devices}
    about |= {"images": facts(store)}
    about |= {"seconds": time.monotonic() - started, "hardware": hardware(), "versions": versions(), "commit": commit()}
    report.write(folder, counts, runs, store.class_names, about)
    report.show(counts, runs, views, checkpoint)
    print(f"{folder}: top-1 error {100 * counts[-1].top1_error:.2f} %, top-5 error {100 * counts[-1].top5_error:.2f} %")
