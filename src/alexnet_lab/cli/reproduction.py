"""What src/reproduce.py does: a claim's runs, what is measured of them, its table and its verdict."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from alexnet_lab.claims.experiment import file_of
from alexnet_lab.claims.measures import MEASURES, together_name
from alexnet_lab.claims.registration import register
from alexnet_lab.claims.statistics import Judgement, seeds_for
from alexnet_lab.claims.verdict import ClaimVerdict, expectation, verdict_on
from alexnet_lab.cli.arguments import choice
from alexnet_lab.cli.reproduction_request import Request, minutes_of, read_requests
from alexnet_lab.core import signals
from alexnet_lab.core.errors import PREEMPTED_EXIT_CODE, STOPPED_EXIT_CODE, UserError
from alexnet_lab.core.files import check_folder_writable
from alexnet_lab.core.paths import EXPERIMENTS
from alexnet_lab.core.progress import duration
from alexnet_lab.reports.ablation_table import AblationTable, make_table, print_table, write_table
from alexnet_lab.reports.claims_table import print_claims, print_verdict, read_claims, write_claims
from alexnet_lab.reports.collect import collect
from alexnet_lab.reports.forest_plot import write_forest_plot
from alexnet_lab.reports.heading import Results, about, cost
from alexnet_lab.runs.paths import job_name, reports_folder
from alexnet_lab.sweeps.sweep_process import run_sweep

GO_ON = "the same command goes on from here"


class SweepFailed(Exception):  # noqa: N818 - its own lines have been printed
    """A sweep has ended otherwise than well: code is its exit code."""

    def __init__(self, code: int) -> None:
        self.code = code


def reproduce(requests: Sequence[Request]) -> None:
    """Run what is missing of each claim, and say what comes out. Exits as a sweep does that was ended or failed."""
    for request in requests:
        check_folder_writable(request.reports)
    try:
        _register([request for request in requests if request.experiment.rows])
        if len(requests) == 1:
            _one(requests[0])
        else:
            _all(requests)
    except SweepFailed as failed:
        sys.exit(failed.code)


def _check_parts(request: Request) -> None:
    """Raise UserError for rivals and figures that there are not, before the runs are made that they need."""
    rivals = [variant.rival for variant in request.experiment.variants.values() if variant.rival is not None]
    if rivals:
        from alexnet_lab.evaluation.rivals import check_rival

        for name in rivals:
            check_rival(name)
    if request.experiment.figures:
        from alexnet_lab.evaluation.figures import FIGURES

        for name in request.experiment.figures:
            choice("figures", name, list(FIGURES))


def _register(requests: Sequence[Request]) -> None:
    """Write down the rules, once it is known that the first claim's runs can be made: a typo leaves nothing behind."""
    if not requests:
        return
    first = requests[0]
    overrides = first.overrides() if first.experiment.tuning is None else first.tuning_overrides()
    _sweep([*overrides, "hydra.sweeper.only_check=true"])
    for request in requests:
        _check_parts(request)
    register(first.folder, ((one.experiment_name, one.experiment, one.scale, one.seeds) for one in requests))


def _one(request: Request) -> None:
    request = run_what_is_missing(request)
    if request.experiment.margin is not None:
        table, results = _write_table(request)
        print_table(table, [*about(results), cost(results)])
        print(f"also in {request.reports / 'table.md'}, table.csv, table.json, forest.svg and forest.png")
    if request.experiment.rows:
        everything, verdicts = _write_all(_others(request))
        print_verdict(verdicts[request.experiment_name])
        print(f"also in {everything / 'claims.md'}, claims.csv, claims.json and claims.tex, with the other claims")


def _all(requests: Sequence[Request]) -> None:
    """Each claim in turn; one that fails leaves the others running, and its exit code at the end."""
    requests = list(requests)
    failed: dict[str, str] = {}
    done, spent = 0.0, 0.0
    for place, request in enumerate(requests):
        before = time.monotonic()
        try:
            print(f"claim {place + 1} of {len(requests)}: {request.experiment_name}", file=sys.stderr, flush=True)
            requests[place] = run_what_is_missing(request)
            if request.experiment.margin is not None:
                _write_table(requests[place])
        except SweepFailed as ended:
            if ended.code in (PREEMPTED_EXIT_CODE, STOPPED_EXIT_CODE):
                sys.exit(ended.code)
            failed[request.experiment_name] = f"exit code {ended.code}"
        except UserError as error:
            failed[request.experiment_name] = str(error)
            print(f"{request.experiment_name}: {error}", file=sys.stderr, flush=True)
        folder, verdicts = _write_all(requests)
        print_claims([verdicts[other.experiment_name] for other in requests])
        done, spent = done + minutes_of(request), spent + time.monotonic() - before
        left = sum(map(minutes_of, requests[place + 1 :]))
        if left and done:
            print(f"about {duration(left * spent / done)} left", file=sys.stderr, flush=True)
    print(f"also in {folder / 'claims.md'}, claims.csv, claims.json and claims.tex")
    if failed:
        name, reason = next(iter(failed.items()))
        raise UserError(
            f"{len(failed)} of {len(requests)} claims failed: {', '.join(failed)}; {name}: {reason}; {GO_ON}"
        )


def run_what_is_missing(request: Request) -> Request:
    """Make the runs of a claim and measure them. Returns the request with its seeds, where these were left open."""
    if request.experiment.tuning is not None:
        _sweep(request.tuning_overrides())
    _sweep(request.overrides())
    measure(request)
    if request.auto and (seeds := seeds_wanted(request)) > request.seeds:
        request = replace(request, seeds=seeds)
        print(f"{request.experiment_name}: {seeds} seeds", file=sys.stderr, flush=True)
        _sweep(request.overrides())
        measure(request)
    return request


def verdict_of(request: Request) -> ClaimVerdict:
    """The verdict on a claim from what is there of its runs."""
    return verdict_on(
        request.experiment_name, request.experiment, request.scale, request.folder, request.seed_list, request.data
    )


def measure(request: Request) -> None:
    """Measure what the rows of a claim need of its finished runs, and draw its figures."""
    rows = request.experiment.rows.values()
    if not rows:
        return
    signals.stop_when_asked(f"what was measured is kept; {GO_ON}")
    folders = {
        variant: [request.folder / job_name(variant, [f"seed={seed}"]) for seed in request.seed_list]
        for variant in request.experiment.variants
    }
    needs: dict[str, dict[str, None]] = {name: {} for name in folders}
    for row in rows:
        for key in (row.of, row.against):
            if key is not None:
                needs[key] |= dict.fromkeys(MEASURES[row.measure].needs)
    if not any(needs.values()) and not request.experiment.figures:
        return
    from alexnet_lab.evaluation.measurement import measure_run, measure_together  # here, because torch takes seconds

    for name, variant in request.experiment.variants.items():
        for seed, folder in zip(request.seed_list, folders[name], strict=True):
            if variant.rival is None:
                measure_run(folder, list(needs[name]))
            else:
                from alexnet_lab.evaluation.rivals import measure_rival

                base = folders[request.experiment.base][request.seed_list.index(seed)]
                measure_rival(variant.rival, folder, base, list(needs[name]))
    for row in rows:
        if MEASURES[row.measure].together:
            views = MEASURES[row.measure].needs[0]
            name = together_name(views, request.seed_list)
            measure_together(folders[row.of], views.removeprefix("val-"), name)
    if request.experiment.figures:
        from alexnet_lab.evaluation.figures import draw_figures

        draw_figures(folders[request.experiment.base][0], request.reports, request.experiment.figures)


def seeds_wanted(request: Request) -> int:
    """How many seeds show the paper's effects with 80 % power at the noise so far, and no more than the time allows."""
    verdict = verdict_of(request)
    deciding = [row for row in verdict.rows if row.judged is not None]
    wanted = [request.seeds]
    for row in deciding:
        if row.mean is None or row.judged is None or row.judged.judgement is not Judgement.CANNOT_TELL:
            continue
        expected = expectation(row.row)
        paper = row.row.paper
        effect = expected.value - abs(row.mean.mean) if expected.word == "within" else None
        if effect is None and paper is not None:
            effect = (math.log(paper) if row.row.how == "ratio" else paper) - expected.value
        if effect and (needed := seeds_for(row.mean, effect, len(deciding))):
            wanted.append(needed)
    own = request.experiment.scales.get(request.scale)
    minutes_a_seed = own.minutes / own.seeds if own else math.inf
    return max(request.seeds, min(max(wanted), int(request.minutes / minutes_a_seed)))


def _write_table(request: Request) -> tuple[AblationTable, Results]:
    """Write a claim's table of errors and its plot, and return it with the results that it is made of."""
    results = collect(request.folder, request.experiment, request.seed_list)
    table = make_table(request.experiment, results, request.seeds)
    request.reports.mkdir(parents=True, exist_ok=True)
    write_table(request.reports, table, about(results))
    write_forest_plot(request.reports, table)
    return table, results


def _sweep(overrides: list[str]) -> None:
    if code := run_sweep(overrides):
        raise SweepFailed(code)


def _others(request: Request) -> list[Request]:
    """Every claim of the same sweep, this one as it is, others with the seeds that they were judged by.

    A file of one's own has its sweep to itself.
    """
    if file_of(request.experiment_name).parent != EXPERIMENTS:
        return [request]
    arguments = ["experiment=all", f"scale={request.scale}", f"sweep={request.sweep}"]
    if request.data != request.experiment.data_at(request.scale):
        arguments.append(f"data={request.data}")
    try:
        kept = read_claims(reports_folder(request.sweep) / "claims.json")
    except UserError:  # what is damaged there is about to be written anew
        kept = []
    judged = {claim["claim"]: claim["seeds"] for claim in kept if claim["verdict"] != Judgement.INCOMPLETE.value}
    others = [
        replace(other, seeds=max(1, judged.get(other.experiment_name, other.seeds)))
        for other in read_requests(arguments)
    ]
    return [request if other.experiment_name == request.experiment_name else other for other in others]


def _write_all(requests: Sequence[Request]) -> tuple[Path, dict[str, ClaimVerdict]]:
    """Write the table of all claims, in the order of the alphabet. Returns its folder, and the verdicts by claim."""
    verdicts, lines = {}, {}
    for request in sorted(requests, key=lambda one: one.experiment_name):
        verdicts[request.experiment_name] = verdict_of(request)
        results = collect(request.folder, request.experiment, request.seed_list)
        if any(results.values()):
            lines[request.experiment_name] = about(results)
    folder = reports_folder(requests[0].sweep)
    write_claims(folder, requests[0].folder, list(verdicts.values()), lines)
    return folder, verdicts
