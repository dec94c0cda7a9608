"""A claim of the paper: its runs, what is measured of them, its table and its verdict.

python src/reproduce.py experiment=towers [scale=mini] [seeds=5] [jobs=2] [sweep=NAME] [overrides of src/train.py]
python src/reproduce.py experiment=all [scale=paper data.root=DIR]
python src/reproduce.py [--config-dir DIR] experiment=DIR/NAME.yaml ...      one of your own (docs/extending.md)
python src/reproduce.py status [experiment=towers [seeds=5] [scale=paper]] [sweep=NAME or FOLDER]

Runs what is missing. Claims of a scale share the folder runs/<scale>/ and the runs in it that several need.
seeds=auto [minutes=20] takes as many as the paper's effects need, and no more than fit into so many minutes.
reports/<claim>/ gets the table and the figures, reports/claims.md (.csv, .json, .tex) the verdicts.
status shows where a sweep stands, with an experiment's table so far, while it runs too, and changes nothing.
"""

import sys

from alexnet_lab.cli import command_line
from alexnet_lab.cli.reproduction import reproduce
from alexnet_lab.cli.reproduction_request import read_requests, read_status_request
from alexnet_lab.core import signals
from alexnet_lab.reports.ablation_table import make_table, print_table
from alexnet_lab.reports.collect import collect
from alexnet_lab.reports.heading import about
from alexnet_lab.sweeps.status import print_status, print_sweeps, sweep_status


def status() -> None:
    asked = read_status_request(sys.argv[2:])
    if asked is None:
        print_sweeps()
    else:
        print_status(asked.folder, sweep_status(asked.folder, asked.jobs))
        if asked.experiment is not None and asked.experiment.margin is not None:
            results = collect(asked.folder, asked.experiment, asked.seeds)
            if results[asked.experiment.base]:
                print_table(make_table(asked.experiment, results, len(asked.seeds)), about(results))


if __name__ == "__main__":
    signals.leave_when_asked()
    is_status = sys.argv[1:2] == ["status"]
    command_line.help_or_run(status if is_status else lambda: reproduce(read_requests(sys.argv[1:])), __doc__)
