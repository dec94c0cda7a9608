"""Every private part of Lightning that this project touches, each with the public feature that is missed.

`tests/training/test_lightning_compat.py` tries each against the Lightning that is installed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from subprocess import Popen
from typing import Any

import lightning
from lightning.fabric.plugins.environments import ClusterEnvironment
from lightning.fabric.utilities.distributed import _set_num_threads_if_needed
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher


def leave_signals_alone(trainer: lightning.Trainer) -> None:
    """Missed: a trainer that installs no handlers of signals. Its own start a collective in the middle of another, and
    end an evaluation with exit code 0.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]


def ask_for_no_signals(trainer: lightning.Trainer) -> None:
    """Missed: steps without asking rank zero whether it was asked to end, which takes a rank that has gone for a no."""
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]


class DescribedBar(RichProgressBar):
    """Missed: the words before the progress bar of training, as other bars have attributes for theirs."""

    def describe(self, epoch: int) -> str:
        """The words for an epoch, which counts from 0."""
        raise NotImplementedError

    def _get_train_description(self, current_epoch: int) -> str:
        return self.describe(current_epoch).ljust(len(self.validation_description))


class StartedBy(DDPStrategy):
    """Missed: a launcher as an argument of DDPStrategy. make_launcher: from the environment, processes a machine, and
    machines.
    """

    def __init__(self, make_launcher: Callable[[ClusterEnvironment, int, int], RankLauncher], **options: Any) -> None:
        super().__init__(**options)
        self._make_launcher = make_launcher

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        self._launcher = self._make_launcher(self.cluster_environment, self.num_processes, self.num_nodes)


class RankLauncher(_SubprocessScriptLauncher):
    """Missed: DDP's launcher without the thread that kills rank zero when another rank has ended.

    before and after: called around the start of the other ranks of this machine, by the process that starts them.
    """

    def __init__(
        self,
        cluster_environment: ClusterEnvironment,
        num_processes: int,
        num_nodes: int,
        before: Callable[[range], None],
        after: Callable[[list[Popen[bytes]]], None],
    ) -> None:
        super().__init__(cluster_environment, num_processes, num_nodes)
        self._before, self._after = before, after

    def launch(self, function: Any, *args: Any, trainer: lightning.Trainer | None = None, **kwargs: Any) -> Any:
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not self.cluster_environment.creates_processes_externally:
            first = self.cluster_environment.node_rank() * self.num_processes
            self._before(range(first, first + self.num_processes))
            self._call_children_scripts()
            self._after(self.procs)
        _set_num_threads_if_needed(num_processes=self.num_processes)
        return function(*args, **kwargs)


def shorten_epoch(trainer: lightning.Trainer, batches: int) -> None:
    """Missed: an epoch with fewer batches than the others, after which it is validated."""
    trainer.fit_loop.max_batches = trainer.val_check_batch = batches


def set_loops(loops: dict[str, Any], epoch: int, batches: int, step: int, trainer: lightning.Trainer) -> None:
    """Missed: a position to continue from, said in epochs and batches.

    Sets the counters of Lightning's loops as they are when so many batches of an epoch are done. loops: "fit_loop" of
    the "loops" of a checkpoint.
    """
    whole = batches == trainer.num_training_batches
    each = trainer.accumulate_grad_batches
    steps = math.ceil(batches / each)  # of this epoch

    def counters(template: dict[str, int], done: int, begun: int) -> None:
        for key in template:
            template[key] = begun if key in ("ready", "started") else done

    def progress(name: str, total: int, current: int, begun: int = 0) -> None:
        counters(loops[name]["total"], total, total + begun)
        counters(loops[name]["current"], current, current + begun)

    progress("epoch_progress", epoch, epoch, begun=int(batches > 0))
    progress("epoch_loop.batch_progress", (step - steps) * each + batches, batches)
    loops["epoch_loop.batch_progress"]["is_last_batch"] = whole
    optimizer = loops["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]
    for part in optimizer.values():
        counters(part["total"], step, step)
        counters(part["current"], steps, steps)
    progress("epoch_loop.scheduler_progress", step, steps)
    # One begun batch tells Lightning to go back into validation, which then starts with its first.
    progress("epoch_loop.val_loop.batch_progress", 0, 0)
    counters(loops["epoch_loop.val_loop.batch_progress"]["total"], 0, int(whole))
    loops["epoch_loop.state_dict"]["_batches_that_stepped"] = step - int(whole)
    loops["state_dict"].pop("combined_loader", None)
