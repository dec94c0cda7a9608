"""The preflight check: what cannot work is refused before a run folder is made."""

from __future__ import annotations

import copy
import dataclasses
import os
import re
import shutil
import socket
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict

from alexnet_lab.cli import command_line
from alexnet_lab.cli.composition import overrides_of_hydra
from alexnet_lab.cli.own_parts import add_folders, check_own_parts
from alexnet_lab.config.checks import typed
from alexnet_lab.config.options import GROUPS, TRACKERS, RunConfig, TrainerConfig
from alexnet_lab.config.own import OwnPart, is_own
from alexnet_lab.core import parent_watchdog, streams
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.files import check_folder_writable, check_no_links, nearest_existing
from alexnet_lab.core.hydra_compat import stored
from alexnet_lab.core.parallel import usable_cores
from alexnet_lab.core.paths import RUNS
from alexnet_lab.runs.lock import hold_for_life, inherited_lock
from alexnet_lab.tracking.installed import check_trackers

CPU_PROCESSES_PER_CORE = 4  # more than that would only wait for each other
FEWEST_CPU_PROCESSES = 8
# Weights, gradients, their sum in the making, velocity; and four files at most: last, the one before, best, a new one.
BYTES_IN_MEMORY, BYTES_ON_DISK = 4 * 4, 4 * 2 * 4  # a parameter
CLASSES_IF_UNKNOWN = 1000
# Options that some schedules read alone.
READ_BY_SCHEDULES = {
    "optim.milestones": ("milestones",),
    "optim.plateau_patience": ("plateau",),
    "optim.divisions": ("plateau",),
}
LABELS = {"model": ("name", "architecture"), "optim": ("name",)}  # by which results and tables tell presets apart


_checked: RunConfig | None = None  # what PreflightCheck has checked


def checked_run(settings: DictConfig, hydra: Any) -> RunConfig:
    """The run that was checked; of a job of a sweep, whose sweeper has checked it, the same from its settings.

    hydra: the `hydra` node of the configuration.
    """
    if _checked is not None:
        return _checked
    run = typed(settings, hydra.runtime.choices)
    add_folders(run, hydra)
    return run


class PreflightCheck(Callback):
    """Hydra calls this before it makes the run folder. A job of a sweep was checked when the sweep was planned."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        global _checked
        with _exit_on_errors():
            if not config.hydra.run.dir:
                raise UserError("hydra.run.dir=: must name a folder")
            folder = Path(str(config.hydra.run.dir))
            if inherited_lock(folder) is None:
                _check_started_once()
                _check_hydra(config.hydra, sweep=False)
                _checked = check_job(config, folder)
            if folder.is_dir():  # the folder itself may be a link: whoever starts a run has named it
                for entry in sorted(folder.iterdir()):
                    check_no_links(entry)
            hold_for_life(folder)
        os.environ.update(parent_watchdog.environment())  # for the other ranks, which this process starts
        _outlive_the_screen()

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        with _exit_on_errors():
            _check_hydra(config.hydra, sweep=True)
        _outlive_the_screen()


class OneAtATime(Callback):
    """Refuses -m for a program that has no sweeps, before Hydra makes folders for one."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        command_line.fail("-m: only src/train.py has sweeps; name one collection at a time")


@contextmanager
def _exit_on_errors() -> Iterator[None]:
    """Hydra goes on after an exception in a callback: a bug of the check would let everything pass."""
    try:
        with command_line.one_line_errors():
            yield
    except Exception:
        traceback.print_exc()
        sys.exit(1)


def _outlive_the_screen() -> None:
    """What a run prints is in its folder too: nothing that happens to the screen may end it."""
    sys.stdout = streams.outliving(sys.stdout)


def _check_hydra(hydra: Any, sweep: bool) -> None:
    """Raise UserError for settings of Hydra's own that would be dropped without a word, or run jobs otherwise."""
    own = stored("hydra/sweeper", "checked")["_target_"]
    if (hydra.sweeper or {}).get("_target_") != own:
        raise UserError("hydra.sweeper: only this project's own gives jobs their folders; drop what changes it")
    chosen = str(hydra.runtime.choices.get("hydra/launcher"))
    if (hydra.launcher or {}).get("_target_") != stored("hydra/launcher", chosen)["_target_"]:
        raise UserError(f"hydra.launcher: must be the class of hydra/launcher={chosen}; drop what changes it")
    if hydra.job.chdir:
        raise UserError(
            "hydra.job.chdir=true: is not available; paths such as data.store_root are meant from where the program "
            "is started"
        )
    for text in overrides_of_hydra(hydra):
        if not sweep and text.startswith("hydra.sweep."):
            raise UserError(f"{text}: is for sweeps; the folder of a single run is hydra.run.dir=FOLDER")
        if sweep and text.startswith("hydra.run."):
            raise UserError(f"{text}: is for single runs; the folder of a sweep is runs/NAME, with sweep=NAME")
        if not sweep and text.startswith(("hydra.launcher.", "hydra.sweeper.", "hydra/launcher=", "hydra/sweeper=")):
            raise UserError(f"{text}: is for sweeps; add -m")


def _check_started_once() -> None:
    copies = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
    if copies != "1" and not ({"RANK", "NODE_RANK"} & set(os.environ)):  # of torchrun, or of who starts ranks by hand
        raise UserError(
            f"srun has started this run {copies} times; say srun --ntasks=1 and trainer=ddp trainer.devices=N, which "
            "starts its own processes"
        )


def check_job(config: DictConfig, folder: Path = RUNS) -> RunConfig:
    """The checked configuration of one job, given its composed configuration, Hydra's own part included.

    folder: where its run folder is to be. Raises UserError, or OmegaConf's error where a value is missing or
    cannot be resolved.
    """
    _check_choices(config)
    own = copy.deepcopy(config)
    with open_dict(own):
        del own["hydra"]
    overrides: Any = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    _check_labels(overrides)
    run = typed(own, config.hydra.runtime.choices)
    _check_switches(run, overrides)
    _check_trackers(run, overrides)
    _check_schedule(run, overrides)
    _check_presets(run, config.hydra.runtime.choices)
    add_folders(run, config.hydra)
    check_machine(run, folder)
    return run


def _check_choices(config: DictConfig) -> None:
    """Refuse several options of a group that takes one, as after model=[mini,alexnet]; trackers may be several."""
    for group in GROUPS:
        if isinstance(config.hydra.runtime.choices.get(group), str):
            continue
        if group != "logger":
            raise UserError(f"{group}: takes one option; python src/train.py --help lists them")
        if not config.logger.name and not is_own(config.logger):
            raise UserError("logger=[]: names no tracker; logger=none does without one")


def _check_trackers(run: RunConfig, overrides: Iterable[str]) -> None:
    """Refuse what is said to a tracker that the run does not have; a file of options may say it for any."""
    for text in overrides:
        key = text.lstrip("+").partition("=")[0]
        words = key.split(".")
        tracker = "wandb" if key in ("logger.project", "logger.log_artifacts") else words[1] if len(words) > 2 else ""
        if words[0] == "logger" and tracker in TRACKERS and tracker not in run.logger.names():
            here = ",".join(run.logger.names()) or run.logger.name
            raise UserError(f"{key}: is read with logger={tracker}, and this run has logger={here}")


def _check_switches(run: RunConfig, overrides: Iterable[str]) -> None:
    """OmegaConf takes any whole number for true; here a 2 is a mistake."""
    for text in overrides:
        key, _, value = text.lstrip("+").partition("=")
        if re.fullmatch(r"-?\d+", value) and value not in ("0", "1"):
            group, _, name = key.rpartition(".")
            node: Any = run
            for word in group.split("."):
                node = getattr(node, word, None)
            fields = dataclasses.fields(node) if dataclasses.is_dataclass(node) and group else ()
            if any(item.name == name and item.type == "bool" for item in fields):
                raise UserError(f"{key}={value}: must be true or false")


def _check_schedule(run: RunConfig, overrides: Iterable[str]) -> None:
    """Refuse what is asked of another schedule or rule than the run has; a preset's is not meant for another one."""
    for text in overrides:
        key, _, value = text.lstrip("+").partition("=")
        if key == "optim.reference_batch_size" and run.optim.learning_rate_rule == "none":
            raise UserError(f"{key}={value:.80}: is read with optim.learning_rate_rule=linear or sqrt")
        schedules = READ_BY_SCHEDULES.get(key, (run.optim.schedule,))
        if run.optim.schedule not in schedules:
            raise UserError(
                f"{key}={value:.80}: is read with optim.schedule={' or '.join(schedules)}, and this run has "
                f"{run.optim.schedule}"
            )


def _check_labels(overrides: Iterable[str]) -> None:
    """Refuse to set what a run is called by in results and tables: it comes with what the run is."""
    for text in overrides:
        key, _, value = text.lstrip("+").partition("=")
        group, _, name = key.partition(".")
        words = [name] if name else re.findall(r"\w+(?=['\"]?\s*:)", value)  # of +model={name: mini}
        for label in LABELS.get(group, ()):
            if label in words:
                raise UserError(f"{group}.{label}: comes with the preset and is no option; choose {group}=NAME")


def _check_presets(run: RunConfig, choices: Mapping[str, Any]) -> None:
    """A preset of somebody's own, in another folder of configurations, is called as its file is."""
    for group in LABELS:
        chosen, name = choices.get(group), getattr(run, group).name
        if chosen is not None and name != chosen and not isinstance(getattr(run, group), OwnPart):
            raise UserError(f"{group}.name={name}: the preset is called {chosen}; name it so in its file")


def check_machine(run: RunConfig, folder: Path = RUNS) -> None:
    """Raise UserError where this machine lacks what the run needs: devices, memory, images, space, permission."""
    check_devices(run.trainer)
    check_trackers(run.logger)
    parameters = check_own_parts(run)
    if parameters is None:
        parameters = run.model.number_of_parameters(getattr(run.data, "num_classes", CLASSES_IF_UNKNOWN))
    _check_memory(run, parameters)
    if run.init_from is not None:
        from alexnet_lab.weights.initial_weights import check_initial_weights  # here: torch takes seconds to load

        check_initial_weights(run, getattr(run.data, "num_classes", CLASSES_IF_UNKNOWN))
    for written in (folder, Path(run.data.store_root)):
        check_folder_writable(written)
    _check_images(run)
    _check_space(folder, BYTES_ON_DISK * parameters, "checkpoints")


def check_devices(choice: TrainerConfig) -> None:
    """Raise UserError where this machine has fewer devices than are asked for."""
    if choice.num_nodes > 1 and "MASTER_ADDR" not in os.environ:
        raise UserError(
            f"trainer.num_nodes={choice.num_nodes}: set MASTER_ADDR, MASTER_PORT and NODE_RANK on each machine, "
            "or start the run with torchrun"
        )
    gpus = 0
    if choice.accelerator == "gpu" or (choice.accelerator == "auto" and (choice.devices > 1 or choice.sync_batchnorm)):
        import torch  # here, because it takes seconds to load and only this question needs it

        gpus = torch.cuda.device_count()
    if (choice.accelerator == "gpu" or gpus) and gpus < choice.devices:
        raise UserError(f"{choice.devices} devices: this machine has {gpus} GPUs; choose the cpu, or fewer devices")
    if choice.sync_batchnorm and not gpus:
        raise UserError("trainer.sync_batchnorm=true: PyTorch has it for GPUs alone; drop it")
    most = max(FEWEST_CPU_PROCESSES, CPU_PROCESSES_PER_CORE * usable_cores())
    if not gpus and choice.devices > most:
        raise UserError(
            f"{choice.devices} devices: this machine has {usable_cores()} cores; {most} processes are the most"
        )
    if choice.devices > 1 and "MASTER_ADDR" not in os.environ:
        _check_loopback(choice.devices)


def _check_loopback(devices: int) -> None:
    """Raise UserError where the processes of one machine could not meet, which they would try until a time limit."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # connecting it asks for a route and sends nothing
        try:
            probe.connect(("127.0.0.1", 1))
        except OSError as error:
            raise UserError(
                f"{devices} devices: their processes cannot meet at 127.0.0.1 ({error.strerror}); bring the loopback "
                "interface up (ip link set lo up)"
            ) from None


def _check_memory(run: RunConfig, parameters: int) -> None:
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    needed = BYTES_IN_MEMORY * parameters
    if needed > there:
        raise UserError(
            f"model: its {parameters:.3g} parameters take {needed / 1e9:,.0f} GB to train, and this machine has "
            f"{there / 1e9:,.0f} GB; choose a smaller model.width, model.kernels, model.units or model.input_size"
        )


def _check_images(run: RunConfig) -> None:
    from alexnet_lab.data.prepare import store_path
    from alexnet_lab.data.sources import check_at_hand, make_source

    source = make_source(run.data)
    check_at_hand(run.data, source)
    root = Path(run.data.store_root)
    # Others are counted, and their space asked for, before the first of their images is read: that takes a while.
    if run.data.source == "fractals" and not store_path(root, source, run.data.packing).exists():
        images = source.count("train") + source.count("val")
        _check_space(root, images * (3 * run.data.image_size**2 + 8), "the images")


def _check_space(folder: Path, needed: int, what: str) -> None:
    there = nearest_existing(folder)
    free = shutil.disk_usage(there).free
    if free < needed:
        raise UserError(
            f"{there}: {needed / 1e6:,.0f} MB are needed for {what} and {free / 1e6:,.0f} MB are free; free some space"
        )
