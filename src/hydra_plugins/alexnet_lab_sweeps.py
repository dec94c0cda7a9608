"""The sweepers and the launcher, where Hydra looks for plug-ins.

A sweeper turns a command line into jobs and checks every one before the first starts. A launcher runs each job in a
fresh interpreter: Hydra's own run them one after the other inside one process, where one job's distributed ranks,
trackers and environment leak into the next.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write


@dataclass
class ValidatingSweeperConfig:
    _target_: str = "hydra_plugins.alexnet_lab_sweeps.ValidatingSweeper"
    # An experiment of experiments/, or the path of another's file, whose variants multiply what the command line sweeps
    # over.
    experiment: str | None = None
    # The scale of experiments/scales/ at which its variants are meant.
    scale: str | None = None
    # Whether to end when every job is checked, before the first is started.
    only_check: bool = False
    # A search by Optuna over params and what the command line gives several values: how many trials; null: none.
    n_trials: int | None = None
    # By key, what it may be: choice(a,b), range(1,9), interval(0.1,1), tag(log, interval(0.001,0.1)).
    params: dict[str, str] = field(default_factory=dict)
    # What of a run's result is searched for, and whether it is to be small (minimize) or large (maximize).
    metric: str = "best_val_top1_error"
    direction: str = "minimize"
    # tpe, random, gp or cmaes, with this seed; n_jobs trials are proposed at a time.
    sampler: str = "tpe"
    seed: int = 0
    n_jobs: int = 1


@dataclass
class OptunaSweeperConfig(ValidatingSweeperConfig):
    n_trials: int | None = 20


@dataclass
class LocalLauncherConfig:
    _target_: str = "hydra_plugins.alexnet_lab_sweeps.LocalLauncher"
    # Jobs that run at the same time; null: as many as the machine has GPUs or, without GPUs, cores for.
    jobs: int | None = None
    # How often a job that failed is tried again before the sweep gives it up.
    sweep_retries: int = 1


STORE = ConfigStore.instance()
STORE.store(group="hydra/sweeper", name="checked", node=ValidatingSweeperConfig, provider="alexnet_lab")
# Hydra's own makes the same product, for jobs that are not planned.
STORE.store(group="hydra/sweeper", name="basic", node=ValidatingSweeperConfig, provider="alexnet_lab")
STORE.store(group="hydra/sweeper", name="optuna", node=OptunaSweeperConfig, provider="alexnet_lab")
STORE.store(group="hydra/launcher", name="local", node=LocalLauncherConfig, provider="alexnet_lab")


class ValidatingSweeper(Sweeper):
    """The cartesian product of the command line's commas, times an experiment's variants; or a search by Optuna.

    Each job gets its folder, runs/<sweep>/<name>, the same for the same command.
    """

    def __init__(
        self, experiment: str | None, scale: str | None, only_check: bool, n_trials: int | None, **search: Any
    ) -> None:
        self.experiment, self.scale, self.only_check = experiment, scale, only_check
        self.n_trials, self.search_options = n_trials, search

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from alexnet_lab.cli.composition import composition

        self.config: DictConfig = config
        self.hydra_context: HydraContext = hydra_context
        self.composed_from = composition(config.hydra)
        self.local: LocalLauncher | None = None
        if config.hydra.launcher._target_ == LocalLauncherConfig._target_:
            self.local = LocalLauncher(config.hydra.launcher.jobs, config.hydra.launcher.sweep_retries)

    def sweep(self, arguments: list[str]) -> Any:
        from alexnet_lab.claims.experiment import file_of, load_experiment
        from alexnet_lab.core import hydra_compat
        from alexnet_lab.core.errors import UserError
        from alexnet_lab.sweeps.planning import check_size

        if self.local is not None:
            self.local.check()
        overrides = hydra_compat.parsed(arguments, self.hydra_context.config_loader)
        if self.n_trials is not None:
            if self.experiment is not None:
                raise UserError("hydra.sweeper.experiment: has its own variants; drop it, or hydra.sweeper.n_trials")
            return self._search(overrides)
        check_size(overrides)
        product = hydra_compat.combinations(overrides)
        experiment = None if self.experiment is None else load_experiment(self.experiment)
        name = None if self.experiment is None else file_of(self.experiment).stem
        sweep = name if self.config.sweep is None else self.config.sweep
        given = {override.key_or_group for override in overrides}
        variants = {} if experiment is None else variants_of(experiment, self.scale, sweep, given)
        done = []
        for group in [[]] if experiment is None else experiment.in_order(variants):
            plan = self._plan(product, {key: variants[key] for key in group}, sweep)
            if self.only_check:  # of later groups nothing can be said before the runs that they begin with are there
                return []
            self._run(plan, table_of(experiment, plan))
            done += [JobReturn(overrides=job.overrides, status=JobStatus.COMPLETED) for job in plan.jobs]
        return done

    def _plan(self, product: Sequence[Sequence[str]], variants: dict[str, list[str]], sweep: str | None) -> Any:
        from alexnet_lab.cli.preflight import check_job
        from alexnet_lab.sweeps.planning import plan_sweep

        return plan_sweep(product, variants, sweep, self._compose, check_job, whole=self.experiment is not None)

    def _compose(self, job: list[str], number: int) -> DictConfig:
        config: DictConfig = self.hydra_context.config_loader.load_sweep_config(self.config, job)
        with open_dict(config.hydra.job):
            config.hydra.job.num, config.hydra.job.id = number, str(number)
        return config

    def _run(self, plan: Any, results: Any = None) -> None:
        from alexnet_lab.sweeps.launched import launch
        from alexnet_lab.tracking.sync import say_what_waits

        try:
            if self.local is not None:
                self.local.run(plan.jobs, self.composed_from, results)
            else:
                launch(self._launcher_of_others(plan.folder), plan.jobs, self._launchers_name())
        finally:
            say_what_waits(plan.folder)

    def _launchers_name(self) -> str:
        return str(self.config.hydra.runtime.choices["hydra/launcher"])

    def _launcher_of_others(self, folder: Path) -> Any:
        """What hydra/launcher names; its own files go into the sweep's folder."""
        from alexnet_lab.core.errors import UserError
        from alexnet_lab.sweeps.launched import FreshInterpreter

        config = copy.deepcopy(self.config)
        with read_write(config), open_dict(config):
            config.hydra.sweep.dir = str(folder.absolute())
        try:
            return Plugins.instance().instantiate_launcher(
                hydra_context=self.hydra_context, task_function=FreshInterpreter(self.composed_from), config=config
            )
        except ImportError as error:
            raise UserError(f"hydra/launcher={self._launchers_name()}: cannot be loaded ({error})") from None

    def _search(self, overrides: Sequence[Any]) -> list[JobReturn]:
        from alexnet_lab.core import hydra_compat
        from alexnet_lab.core.errors import UserError
        from alexnet_lab.core.paths import RUNS
        from alexnet_lab.runs.paths import sweep_name
        from alexnet_lab.sweeps.search import Search, known_trials, run_search

        params = OmegaConf.to_container(self.search_options.pop("params")) or {}
        assert isinstance(params, dict)
        given = {override.key_or_group: override for override in overrides if override.is_sweep_override()}
        fixed = {
            override.key_or_group: override.input_line for override in overrides if override.key_or_group not in given
        }
        loader = self.hydra_context.config_loader
        space = {
            str(key): hydra_compat.parsed([f"{key!s}={value}"], loader)[0]
            for key, value in params.items()
            if key not in fixed  # the command line comes before the file
        } | given
        options = self.search_options
        search = Search(
            space,
            list(fixed.values()),
            self.n_trials or 0,
            options["metric"],
            options["direction"],
            options["sampler"],
            options["seed"],
            options["n_jobs"],
        )
        search.check()
        sweep = self.config.sweep
        if sweep is None:
            sweep = sweep_name([override.input_line for override in [*space.values(), *overrides]])
        folder = RUNS / str(sweep)

        def run(trials: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
            plan = self._plan([list(fixed.values())], trials, str(sweep))
            try:
                self._run(plan)
            except UserError:  # some failed, as with a learning rate too large: the search goes on without them
                begun = any(job.folder.exists() for job in plan.jobs)
                if not begun or all(job.result is not None for job in plan.jobs):
                    raise  # it is not that
            return {name: job.result for name, job in zip(trials, plan.jobs, strict=True) if job.result is not None}

        if known := known_trials(folder, search):
            self._plan([list(fixed.values())], known, str(sweep))  # refuses folders of runs that were made otherwise
        print(run_search(search, folder, run))
        return []


class LocalLauncher(Launcher):
    """Several jobs at a time on this machine, each a fresh `python src/train.py` without -m."""

    def __init__(self, jobs: int | None, sweep_retries: int) -> None:
        self.jobs, self.sweep_retries = jobs, sweep_retries

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config

    def check(self) -> None:
        """Raise UserError for options that cannot be meant."""
        from alexnet_lab.sweeps.scheduler import check_options

        check_options(self.jobs, self.sweep_retries)

    def run(self, jobs: list[Any], composed_from: Sequence[str], results: Any) -> None:
        """Run planned jobs, which are composed from what the sweep is. results: the live table."""
        from alexnet_lab.sweeps.scheduler import Scheduler

        for job in jobs:
            job.overrides = [*composed_from, *job.overrides]
        Scheduler(jobs, self.jobs, self.sweep_retries, results).run()

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        raise NotImplementedError(
            "jobs are planned by the validating sweeper, the only one that this launcher goes with"
        )


def variants_of(experiment: Any, scale: str | None, sweep: str | None, given: set[str]) -> dict[str, list[str]]:
    """The overrides of an experiment's variants, by name, tuned where the command line does not tune them just now."""
    from alexnet_lab.claims.tuning import tuned_overrides
    from alexnet_lab.core.paths import RUNS

    if experiment.tuning is None or experiment.tuning.option in given:
        return {name: experiment.overrides_of(name, scale) for name in experiment.trained}
    return tuned_overrides(experiment, scale, RUNS / str(sweep))


def table_of(experiment: Any, plan: Any) -> Any:
    """The table of an experiment, for the live view; None where it has none, or other jobs than variants by seeds."""
    if experiment is None or experiment.margin is None:
        return None
    from alexnet_lab.reports.live_table import LiveTable

    table = LiveTable(experiment, plan.seeds)
    return table if table.jobs == {job.name for job in plan.jobs} else None
