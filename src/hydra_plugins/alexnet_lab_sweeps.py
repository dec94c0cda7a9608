"""The sweeper and the launcher, where Hydra looks for plug-ins.

The sweeper turns a command line into jobs and checks every one before the first starts. The launcher
runs each job in a fresh interpreter: Hydra's own runs them one after the other inside one process,
where one job's distributed ranks, trackers and environment leak into the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class ValidatingSweeperConfig:
    _target_: str = "hydra_plugins.alexnet_lab_sweeps.ValidatingSweeper"
    # An experiment of experiments/, or the path of another's file, whose variants multiply what the command line sweeps
    # over.
    experiment: str | None = None


@dataclass
class LocalLauncherConfig:
    _target_: str = "hydra_plugins.alexnet_lab_sweeps.LocalLauncher"
    # Jobs that run at the same time; null: as many as the machine has GPUs or, without GPUs, cores for.
    jobs: int | None = None
    # How often a job that failed is tried again before the sweep gives it up.
    sweep_retries: int = 1


ConfigStore.instance().store(
    group="hydra/sweeper", name="checked", node=ValidatingSweeperConfig, provider="alexnet_lab"
)
ConfigStore.instance().store(group="hydra/launcher", name="local", node=LocalLauncherConfig, provider="alexnet_lab")


class ValidatingSweeper(Sweeper):
    """The cartesian product of the command line's commas, times an experiment's variants.

    Each job gets its folder, runs/<sweep>/<name>, the same for the same command.
    """

    def __init__(self, experiment: str | None) -> None:
        self.experiment = experiment

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config: DictConfig = config
        self.hydra_context: HydraContext = hydra_context
        self.launcher: Any = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from alexnet_lab.claims.experiment import file_of, load_experiment
        from alexnet_lab.cli.preflight import check_job
        from alexnet_lab.core import hydra_compat
        from alexnet_lab.sweeps.planning import check_size, plan_sweep

        loader = self.hydra_context.config_loader
        overrides = hydra_compat.parsed(arguments, loader)
        check_size(overrides)
        product = hydra_compat.combinations(overrides)
        experiment = None if self.experiment is None else load_experiment(self.experiment)
        variants = {} if experiment is None else experiment.variants
        name = None if self.experiment is None else file_of(self.experiment).stem
        plan = plan_sweep(
            product,
            {name: variant.overrides for name, variant in variants.items()},
            name if self.config.sweep is None else self.config.sweep,
            lambda job: loader.load_sweep_config(self.config, job),
            check_job,
        )
        self.launcher.plan, self.launcher.results = plan, table_of(experiment, plan)
        return self.launcher.launch([job.overrides for job in plan.jobs], initial_job_idx=0)


class LocalLauncher(Launcher):
    """Several jobs at a time on this machine, each a fresh `python src/train.py` without -m.

    The sweeper sets what it has composed and checked, which is not done again: `plan`, and `results`, the live table.
    """

    plan: Any
    results: Any

    def __init__(self, jobs: int | None, sweep_retries: int) -> None:
        self.jobs, self.sweep_retries = jobs, sweep_retries

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from alexnet_lab.cli.composition import composition
        from alexnet_lab.sweeps.scheduler import Scheduler
        from alexnet_lab.tracking.sync import say_what_waits

        composed_from = composition(self.config.hydra)
        for job, overrides in zip(self.plan.jobs, job_overrides, strict=True):
            job.overrides = [*composed_from, *overrides]
        try:
            Scheduler(self.plan.jobs, self.jobs, self.sweep_retries, self.results).run()
        finally:
            say_what_waits(self.plan.folder)
        return [JobReturn(overrides=job.overrides, status=JobStatus.COMPLETED) for job in self.plan.jobs]


def table_of(experiment: Any, plan: Any) -> Any:
    """The table of an experiment, for the live view; None where the jobs are not just its variants by its seeds."""
    if experiment is None:
        return None
    from alexnet_lab.reports.live_table import LiveTable

    table = LiveTable(experiment, plan.seeds)
    return table if table.jobs == {job.name for job in plan.jobs} else None
