"""A search over options: Optuna proposes, runs answer, and search.json in the sweep's folder keeps what was proposed.

The answers are in the run folders, so that a search that was interrupted goes on with the trials that it had begun, and
one that is complete ends in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.files import read_json, write_json
from alexnet_lab.core.hydra_compat import sweep_values

SEARCH_FILE = "search.json"
METRICS = ("best_val_top1_error", "val_top1_error", "val_top5_error", "val_loss", "train_loss")
SAMPLERS = ("tpe", "random", "gp", "cmaes")
MOST_TRIALS = 10_000
FIRST_FAILURES = 3  # trials that fail, where none has ended well, end the search: it is not their options


@dataclass(frozen=True)
class Search:
    """What is searched for.

    space: by key, the values it may have, as a sweep's override. fixed: overrides of every trial. metric: of
    result.json, one of METRICS. seed: of the sampler. at_once: trials that are proposed together.
    """

    space: Mapping[str, Override]
    fixed: Sequence[str]
    trials: int
    metric: str
    direction: str
    sampler: str
    seed: int
    at_once: int

    def check(self) -> None:
        """Raise UserError for what cannot be meant."""
        for key, value, choices in (
            ("metric", self.metric, METRICS),
            ("direction", self.direction, ("minimize", "maximize")),
            ("sampler", self.sampler, SAMPLERS),
        ):
            if value not in choices:
                raise UserError(f"hydra.sweeper.{key}={value}: must be one of {', '.join(choices)}")
        for key, number, most in (("n_trials", self.trials, MOST_TRIALS), ("n_jobs", self.at_once, 1000)):
            if not 1 <= number <= most:
                raise UserError(f"hydra.sweeper.{key}={number}: must be from 1 to {most}")
        if not 0 <= self.seed < 2**31:
            raise UserError(f"hydra.sweeper.seed={self.seed}: must be from 0 to {2**31 - 1}")
        if not self.space:
            raise UserError(
                "hydra.sweeper.params: names nothing to search over; say KEY=interval(0.001,0.1), KEY=choice(a,b) or "
                "KEY=range(1,9) on the command line or in hparams_search"
            )
        if odd := {"seed", "sweep"} & self.space.keys():
            raise UserError(
                f"{min(odd)}: says nothing of an option; search over others, and run the best with several seeds"
            )
        _optuna()
        for key, override in self.space.items():
            _distribution(key, override)

    def described(self) -> dict[str, Any]:
        """What a search that is continued must have been begun with."""
        space = {key: str(override.input_line).partition("=")[2] for key, override in sorted(self.space.items())}
        fixed = sorted(text for text in self.fixed if not text.startswith("sweep="))
        return {"space": space, "fixed": fixed, "metric": self.metric, "direction": self.direction}


def run_search(search: Search, folder: Path, run: Callable[[dict[str, list[str]]], dict[str, dict[str, Any]]]) -> str:
    """Propose and run trials until there are enough. Returns the best, in words.

    run: from overrides to results, both by trial; of one that failed there is none.
    Raises UserError where the folder holds another search, or nothing but failures.
    """
    optuna = _optuna()
    distributions = {key: _distribution(key, override) for key, override in search.space.items()}
    trials = _read(folder, search)

    def study_of(known: Sequence[dict[str, Any]]) -> Any:
        # Anew for each proposal, with a seed of its own: so an interrupted search proposes what another one would.
        study = optuna.create_study(direction=search.direction, sampler=_sampler(search, len(known)))
        for trial in known:
            state = optuna.trial.TrialState.FAIL if trial["value"] is None else optuna.trial.TrialState.COMPLETE
            study.add_trial(
                optuna.trial.create_trial(
                    state=state, params=trial["params"], distributions=distributions, value=trial["value"]
                )
            )
        return study

    def answered() -> list[dict[str, Any]]:
        return [trial for trial in trials if "value" in trial]

    while len(answered()) < search.trials:
        open_trials = [trial for trial in trials if "value" not in trial][: search.at_once]
        if not open_trials:
            study = study_of(answered())
            for _ in range(min(search.at_once, search.trials - len(trials))):
                asked = study.ask(distributions)
                open_trials.append({"name": f"trial-{len(trials):03d}", "params": dict(asked.params)})
                trials.append(open_trials[-1])
            _write(folder, search, trials)
        results = run({trial["name"]: _overrides(trial["params"]) for trial in open_trials})
        for trial in open_trials:
            result = results.get(trial["name"])
            trial["value"] = None if result is None else result["metrics"][search.metric]
        _write(folder, search, trials)
        if len(answered()) >= FIRST_FAILURES and all(trial["value"] is None for trial in answered()):
            raise UserError(
                f"{folder}: the first {len(answered())} trials failed; {SEARCH_FILE} and their folders say how"
            )
    return _best(search, trials)


def known_trials(folder: Path, search: Search) -> dict[str, list[str]]:
    """The overrides of every trial that has been proposed, by name."""
    return {trial["name"]: _overrides(trial["params"]) for trial in _read(folder, search)}


def _overrides(parameters: Mapping[str, Any]) -> list[str]:
    return [f"{key}={value!r}" if isinstance(value, float) else f"{key}={value}" for key, value in parameters.items()]


def _best(search: Search, trials: Sequence[dict[str, Any]]) -> str:
    ended = [trial for trial in trials if trial.get("value") is not None]
    if not ended:
        raise UserError(f"all {len(trials)} trials of the search failed; their folders say how")
    best = (min if search.direction == "minimize" else max)(ended, key=lambda trial: trial["value"])
    failed = f", {len(trials) - len(ended)} of them failed" if len(ended) < len(trials) else ""
    return (
        f"best of {len(trials)} trials{failed}: {best['name']}, {search.metric} {best['value']:.4f}, "
        f"{' '.join(_overrides(best['params']))}"
    )


def _read(folder: Path, search: Search) -> list[dict[str, Any]]:
    path = folder / SEARCH_FILE
    try:
        content = read_json(path)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: is damaged ({error}); remove {folder} and search again") from None
    try:
        trials = content["trials"]
        if content["search"] != search.described():
            raise UserError(f"{path}: is of another search; choose another sweep=NAME, or remove {folder}")
        for number, trial in enumerate(trials):
            value = trial.get("value")
            if trial["name"] != f"trial-{number:03d}" or trial["params"].keys() != search.space.keys():
                raise ValueError(f"trial {number} is none of this search")
            if value is not None and not isinstance(value, (int, float)):
                raise ValueError(f"the value of trial {number} is no number")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{path}: is damaged ({error}); remove {folder} and search again") from None
    return list(trials)


def _write(folder: Path, search: Search, trials: Sequence[Mapping[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / SEARCH_FILE, {"search": search.described(), "trials": list(trials)})


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise UserError("hydra/sweeper=optuna: Optuna is not installed; pip install 'alexnet-lab[search]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _sampler(search: Search, number: int) -> Any:
    samplers, seed = _optuna().samplers, search.seed + 7919 * number
    if search.sampler == "tpe":
        return samplers.TPESampler(seed=seed % 2**32, constant_liar=search.at_once > 1)
    kinds = {"random": samplers.RandomSampler, "gp": samplers.GPSampler, "cmaes": samplers.CmaEsSampler}
    return kinds[search.sampler](seed=seed % 2**32)


def _distribution(key: str, override: Override) -> Any:
    """What Optuna draws from; raises UserError for what is no set of values."""
    distributions, values = _optuna().distributions, override.value()
    tags: set[str] = getattr(values, "tags", set())
    try:
        if isinstance(values, IntervalSweep):
            low, high = values.start, values.end
            assert low is not None  # interval(LOW, HIGH) names both
            assert high is not None
            if "int" in tags or (isinstance(low, int) and isinstance(high, int)):
                return distributions.IntDistribution(int(low), int(high), log="log" in tags)
            return distributions.FloatDistribution(float(low), float(high), log="log" in tags)
        if isinstance(values, RangeSweep) and all(isinstance(part, int) for part in (values.start, values.stop)):
            numbers = [int(text) for text in sweep_values(override)]
            return distributions.IntDistribution(min(numbers), max(numbers), step=abs(int(values.step)))
        if isinstance(values, ChoiceSweep | RangeSweep):
            return distributions.CategoricalDistribution(sweep_values(override))
    except (ValueError, TypeError) as error:
        raise UserError(f"{override.input_line}: {str(error).splitlines()[0]}") from None
    raise UserError(f"{key}: must be interval(), choice() or range() to be searched over")
